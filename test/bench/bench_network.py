"""Switches: flows compiled and installed at once, and changed; throughput and latency of the pipeline against Open vSwitch's own learning
switch on the same datapath and against a Linux bridge. Needs root."""
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from measure import Table, interleave

BUILD = pathlib.Path(os.environ["HOSTLER_BUILD"])
SECONDS = 2
PINGS = 200


def flows():
    """Compile and install, for switches of some sizes."""
    table = Table("network")
    output = subprocess.run([BUILD / "test/switch/bench-switch", "5"], capture_output=True, text=True, check=True).stdout
    rows = {}
    for line in output.splitlines():
        ports, count, *times = line.split()
        rows.setdefault((int(ports), int(count)), []).append([float(number) for number in times])
    for (ports, count), times in rows.items():
        compiled, installed, changed = zip(*times)
        table.add(f"{ports} ports, {count} flows: compile", compiled)
        table.add(f"{ports} ports, {count} flows: compile, install", [sum(pair) for pair in zip(compiled, installed)], goal=50 if count < 9000 else None)
        table.add(f"{ports} ports: change of one", changed)
    table.show()


# ---- traffic ----

SERVER = """
import socket, sys, time
listener = socket.create_server(("0.0.0.0", 5001)); print("ready", flush=True)
peer, _ = listener.accept(); begin = time.perf_counter(); total = 0
while data := peer.recv(1 << 20): total += len(data)
print(total * 8 / (time.perf_counter() - begin) / 1e6)
"""
CLIENT = """
import socket, sys, time
peer = socket.create_connection((sys.argv[1], 5001)); end = time.perf_counter() + float(sys.argv[2]); data = bytes(65536)
while time.perf_counter() < end: peer.send(data)
"""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options).stdout


class Lab:
    """Two namespaces that are joined twice: by an Open vSwitch of our own (10.8.0.x) and by a Linux bridge (10.9.0.x)."""

    def __init__(self, stack):
        self.name = f"hb{os.getpid()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-bench-ovs-"))
        stack.callback(shutil.rmtree, self.folder, True)
        self.environment = os.environ | {name: str(self.folder) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")}
        for space in ("m", "a", "b"):
            run("ip", "netns", "add", self.name + space)
            stack.callback(run, "ip", "netns", "del", self.name + space)
        self.inside("m", "ip", "link", "add", "name", "lan0", "type", "bridge")
        self.inside("m", "ip", "link", "set", "lan0", "up")
        for number, space in enumerate("ab"):
            for net, device in ((8, "s"), (9, "l")):
                self.join(space, device, f"10.{net}.0.{number + 1}", f"02:00:00:00:0{0 if net == 8 else 1}:0{number}")
            self.inside("m", "ip", "link", "set", f"l{space}", "master", "lan0")
        self.start(stack)

    def inside(self, space, *words):
        return run("ip", "netns", "exec", self.name + space, *words, env=self.environment)

    def join(self, space, device, address, mac):
        inner, outer = f"{device}0", f"{device}{space}"
        run("ip", "link", "add", outer, "netns", self.name + "m", "type", "veth", "peer", "name", inner, "netns", self.name + space)
        self.inside(space, "ip", "link", "set", inner, "address", mac, "up")
        self.inside(space, "ip", "addr", "add", f"{address}/24", "dev", inner)
        self.inside("m", "ip", "link", "set", outer, "up")
        for where, name in ((space, inner), ("m", outer)):
            self.inside(where, "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off")

    def start(self, stack):
        """The processes end with their connections here: they are children."""
        database = f"unix:{self.folder}/db.sock"
        run("ovsdb-tool", "create", self.folder / "conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        for program in (["ovsdb-server", self.folder / "conf.db", f"--remote=p{database}"], ["ovs-vswitchd", database]):
            process = subprocess.Popen(["ip", "netns", "exec", self.name + "m", *program, "-vconsole:off"], env=self.environment, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        self.vsctl = ["ovs-vsctl", f"--db={database}", "--retry", "-t", "20"]
        run(*self.vsctl, "--no-wait", "init")
        run(*self.vsctl, "add-br", "sw", "--", "set", "bridge", "sw", "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow14",
            "--", "add-port", "sw", "sa", "--", "set", "interface", "sa", "ofport_request=1", "--", "add-port", "sw", "sb", "--", "set", "interface", "sb", "ofport_request=2")

    def set_flows(self, text):
        (self.folder / "flows").write_text(text)
        run("ovs-ofctl", "-O", "OpenFlow14", "replace-flows", f"unix:{self.folder}/sw.mgmt", self.folder / "flows")

    def megabits(self, address):
        server = subprocess.Popen(["ip", "netns", "exec", self.name + "b", sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        server.stdout.readline()
        self.inside("a", sys.executable, "-c", CLIENT, address, SECONDS)
        return float(server.communicate(timeout=30)[0])

    def ping_ms(self, address):
        text = self.inside("a", "ping", "-q", "-c", PINGS, "-i", "0.002", address)
        return float(re.search(r"= [\d.]+/([\d.]+)/", text)[1])


def traffic():
    ours = run(BUILD / "test/switch/bench-switch", "--flows")
    with contextlib.ExitStack() as stack:
        lab = Lab(stack)

        def through(text, address, measure):
            if text:
                lab.set_flows(text)
            return measure(address)
        paths = {"pipeline": (ours, "10.8.0.2"), "NORMAL": ("actions=NORMAL\n", "10.8.0.2"), "Linux bridge": (None, "10.9.0.2")}
        speeds = interleave({name: functools.partial(through, *path, lab.megabits) for name, path in paths.items()}, rounds=5)
        delays = interleave({name: functools.partial(through, *path, lab.ping_ms) for name, path in paths.items()}, rounds=5)
    for title, unit, samples in (("network: TCP", "Mbit/s", speeds), ("network: ping", "ms", delays)):
        table = Table(title, unit)
        for name, numbers in samples.items():
            table.add(name, numbers, floor=samples["NORMAL"] if name == "pipeline" else None)
        table.show()


def main():
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK) or not shutil.which("ovs-vswitchd", path="/usr/sbin:/usr/bin"):
        print("network: needs root, /dev/net/tun and Open vSwitch", file=sys.stderr)
        return
    flows()
    if not shutil.which("ping"):
        print("network: without ping there is no latency to measure", file=sys.stderr)
        return
    traffic()


main()
