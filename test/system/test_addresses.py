"""Addresses as guests see them: given out, kept, resolved by name, and the way out through NAT, on a made-up host and a made-up world in
network namespaces of their own."""
import contextlib
import ctypes
import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess

from harness import Daemon, limit, skip, wait_until
from test_switch import restart

CRASHED_BY_HAND = ("switch.confirm",)
CLONE_NEWNET = 0x40000000
# One answer of three is enough on a machine that has much to do.
PATIENTLY = ("-c", "3", "-i", "0.2", "-W", "1")
SMALL = ("memory.size=128M", "memory.boot=128M", "memory.max=128M")


def enter_network(path=None):
    """A network namespace, a new one without @path, for this process and all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    if path is None:
        done = libc.unshare(CLONE_NEWNET)
    else:
        with open(path) as namespace:
            done = libc.setns(namespace.fileno(), CLONE_NEWNET)
    if done != 0:
        skip(f"network namespaces: {os.strerror(ctypes.get_errno())}")


def ip(*arguments, namespace=None):
    enter = ["nsenter", "-n", "-t", str(namespace)] if namespace else []
    return subprocess.run([*enter, "ip", *arguments], check=True, capture_output=True, text=True).stdout


class World:
    """What is outside: 192.0.2.2 and 2001:db8::2, behind the made-up host's device out0."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        wait_until(lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 20)
        pid = str(self.process.pid)
        ip("link", "set", "lo", "up")
        ip("link", "add", "out0", "type", "veth", "peer", "name", "in0", "netns", pid)
        ip("addr", "add", "192.0.2.1/24", "dev", "out0")
        ip("addr", "add", "2001:db8::1/64", "dev", "out0", "nodad")
        ip("link", "set", "out0", "up")
        ip("route", "add", "default", "via", "192.0.2.2")
        ip("addr", "add", "192.0.2.2/24", "dev", "in0", namespace=pid)
        ip("addr", "add", "2001:db8::2/64", "dev", "in0", "nodad", namespace=pid)
        ip("link", "set", "in0", "up", namespace=pid)
        ip("route", "add", "10.77.0.0/16", "via", "192.0.2.1", namespace=pid)
        ip("route", "add", "fd00:77::/64", "via", "2001:db8::1", namespace=pid)
        self.server = subprocess.Popen(["nsenter", "-n", "-t", pid, "python3", "-u", "-c", SERVER])

    def reaches(self, address):
        done = subprocess.run(["nsenter", "-n", "-t", str(self.process.pid), "ping", *PATIENTLY, address], capture_output=True)
        return done.returncode == 0

    def close(self):
        for process in (self.server, self.process):
            process.kill()
            process.wait()


SERVER = """
import socket
with socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    while True:
        with server.accept()[0] as client:
            client.sendall(f"you are {client.getpeername()[0].removeprefix('::ffff:')}".encode())
"""


@contextlib.contextmanager
def made_up_host():
    """A daemon on a host of its own, whose firewall lets nothing through, as Docker leaves it."""
    for program in ("dnsmasq", "nft", "ovs-vswitchd"):
        if not shutil.which(program, path="/usr/sbin:/usr/bin"):
            skip(f"{program} is not installed")
    if os.geteuid() != 0:
        skip("network namespaces need root")
    daemon = Daemon(start=False)
    with open("/proc/self/ns/net") as here:
        enter_network()
        world = None
        try:
            world = World()
            for setting, value in (("ipv4/ip_forward", "0"), ("ipv6/conf/all/forwarding", "0"), ("ipv6/conf/out0/accept_ra", "1")):
                with open(f"/proc/sys/net/{setting}", "w") as file:
                    file.write(value)
            firewall()
            daemon.start("--system")
            with daemon:
                yield daemon, world
        finally:
            if world:
                world.close()
            enter_network(f"/proc/self/fd/{here.fileno()}")


def nft(*words):
    return subprocess.run(["nft", *words], check=True, capture_output=True, text=True).stdout


def forwards():
    """Whether the host forwards IPv4, IPv6, and still listens to the routers of its own network."""
    values = []
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/out0/accept_ra"):
        with open(f"/proc/sys/net/{setting}") as file:
            values.append(file.read().strip())
    return values


def firewall():
    for family in ("ip", "ip6"):
        nft(f"add table {family} filter; add chain {family} filter FORWARD {{ type filter hook forward priority 0; policy drop; }}")


def reaches_world(daemon, vm, address):
    """The world's answer to a guest, by the address that the world sees."""
    done = daemon.run("exec", vm, "--", "nc", "-w", "2", address, "80")
    return done.stdout.strip() if done.returncode == 0 else None


def soon_reaches_world(daemon, vm):
    for there, seen in (("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")):
        assert wait_until(lambda: reaches_world(daemon, vm, there), 60, f"{there} answers") == f"you are {seen}"


def address_of(daemon, vm):
    """Its IPv4 address, once it has one."""
    def look():
        found = re.search(r"inet (10\.\d+\.\d+\.\d+/\d+)", daemon.guest(vm, "ip", "-4", "addr", "show", "eth0"))
        return found and found.group(1)
    return wait_until(look, 60, f"{vm} has an address")


def own_v6(daemon, vm):
    """What follows from an adapter's MAC in the prefix: RFC 4291, appendix A."""
    mac = bytes.fromhex(daemon.show(vm)["spec"]["nic0"]["mac"].replace(":", ""))
    return str(ipaddress.IPv6Address(ipaddress.IPv6Address("fd00:77::").packed[:8] + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]))


def pid_of(daemon, word):
    return [pid for pid, command in daemon.processes().items() if word in command and "keeper" not in command]


def check_first_look(daemon):
    assert address_of(daemon, "web1") == "10.77.1.2/24" and address_of(daemon, "web2") == "10.77.1.3/24"
    assert "default via 10.77.1.1" in daemon.guest("web1", "ip", "route")
    names = daemon.guest("web1", "cat", "/etc/resolv.conf")
    assert "nameserver 10.77.1.1" in names and "search internal" in names
    daemon.guest("web1", "ping", "-c", "1", "-W", "5", "web2")
    assert "10.77.1.3" in daemon.guest("web1", "nslookup", "web2.internal")
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/mtu") == "1450"


# What dhclient is told to call instead of its own script: what it was given is kept, nothing is configured.
KEEP_LEASE = """#!/bin/sh
[ "$reason" = BOUND6 ] && echo "$new_ip6_address $new_dhcp6_name_servers $new_dhcp6_domain_search" > /tmp/bound6
exit 0
"""
# It gives itself a name of its own making and not its MAC, which the router knows from its neighbours.
OWN_NAME = 'default-duid "\\000\\002\\000\\000\\000\\007hostler";\n'


def ask_dhcp6(daemon, vm):
    """What a client of DHCPv6 in the guest is given: address, name servers and domains. tiny has none, so it gets Debian's."""
    for path, text in (("script", KEEP_LEASE), ("leases", OWN_NAME)):
        (daemon.folder / path).write_text(text)
        daemon.hostler("cp", daemon.folder / path, f"{vm}:/tmp/{path}")
    daemon.hostler("cp", "/sbin/dhclient", f"{vm}:/tmp/dhclient")
    daemon.guest(vm, "chmod", "+x", "/tmp/dhclient", "/tmp/script")
    daemon.guest(vm, "/tmp/dhclient", "-6", "-1", "-sf", "/tmp/script", "-lf", "/tmp/leases", "-pf", "/tmp/pid", "eth0")
    return daemon.guest(vm, "cat", "/tmp/bound6").split()


def check_v6(daemon, world):
    """An address and a way out by what the router says, the same address by DHCPv6, each other by name, the world by NAT."""
    own = {vm: own_v6(daemon, vm) for vm in ("web1", "web2")}
    for vm, address in own.items():
        wait_until(lambda: f"{address}/64" in daemon.guest(vm, "ip", "-6", "addr", "show", "dev", "eth0"), 60, f"{vm} has {address}")
    wait_until(lambda: "default via fe80::" in daemon.guest("web1", "ip", "-6", "route"), 30)
    daemon.guest("web1", "ping", "-6", "-c", "1", "-W", "5", "web2")
    assert own["web2"] in daemon.guest("web1", "nslookup", "web2.internal", "fd00:77::1")
    assert not world.reaches(own["web1"])
    daemon.guest("web1", "ping", "-6", "-c", "1", "-W", "5", "fd00:77::1")
    address, server, *domains = ask_dhcp6(daemon, "web1")
    assert address == own["web1"] and server == "fd00:77::1" and [name.rstrip(".") for name in domains] == ["internal"], (address, server, domains)
    wait_until(lambda: set(known(daemon, "web1", own["web1"]).get("source", "").split(",")) == {"agent", "lease", "nd"}, 60)


def check_dnsmasq(daemon):
    """It is not root, and what it may do beyond its user is the network's: CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW."""
    with open(f"/proc/{pid_of(daemon, 'dnsmasq')[0]}/status") as file:
        status = dict(line.split(":", 1) for line in file)
    assert "0" not in status["Uid"].split() and int(status["CapEff"], 16) & ~(1 << 10 | 1 << 12 | 1 << 13) == 0, status


def check_mtu(daemon):
    """Less at once, in the guest as on its way; more than the switch carries never, more than it was started with later."""
    row, = daemon.json("set", "web1", "nic0.mtu=1300")
    assert (row["state"], row["guest"]) == ("applied", "1300"), row
    assert daemon.guest("web1", "cat", "/sys/class/net/eth0/mtu") == "1300"
    assert "the switch carries 1450" in daemon.refused(2, "set", "web1", "nic0.mtu=1451")
    assert [row["state"] for row in daemon.json("set", "web1", "nic0.mtu=1400")] == ["pending"]
    daemon.hostler("set", "web1", "nic0.mtu=1300")


def known(daemon, vm, address):
    return next((row for row in daemon.show(vm)["status"]["addresses"] if row["address"] == address and row.get("nic") == "nic0"), {})


def check_learned(daemon):
    """Who says that a guest has an address, and who has it by right; names follow their VMs."""
    wait_until(lambda: set(known(daemon, "web1", "10.77.1.2").get("source", "").split(",")) == {"agent", "lease", "arp"}, 60)
    daemon.guest("web2", "ip", "addr", "add", "10.77.1.2/24", "dev", "eth0")
    daemon.run("exec", "web2", "--", "ping", "-c", "1", "-W", "1", "-I", "10.77.1.2", "10.77.1.1")
    wait_until(lambda: known(daemon, "web2", "10.77.1.2").get("conflict") == "web1.nic0", 30)
    daemon.guest("web2", "ip", "addr", "del", "10.77.1.2/24", "dev", "eth0")
    assert "conflict" not in known(daemon, "web1", "10.77.1.2")
    wait_until(lambda: daemon.run("exec", "web1", "--", "sh", "-c", "ip neigh flush dev eth0; ping -c 1 -W 2 10.77.1.1").returncode == 0, 30, "its own again")
    daemon.hostler("rename", "web2", "front")
    wait_until(lambda: "10.77.1.3" in daemon.run("exec", "web1", "--", "nslookup", "front.internal").stdout, 10)
    daemon.hostler("rename", "front", "web2")


def check_firewall(daemon, world):
    """Out, not in; also where others drop, and after somebody has swept the table clean."""
    soon_reaches_world(daemon, "web1")
    assert not world.reaches("10.77.1.2")
    nft("flush", "ruleset")
    firewall()
    soon_reaches_world(daemon, "web1")
    assert not world.reaches("10.77.1.2")


def check_by_hand(daemon):
    """An address by hand, told to the guest at once and found by name; then the pool's again."""
    row = next(row for row in daemon.json("set", "web2", "nic0.ip_address=10.77.1.50,fd00:77::5/64", "nic0.search_domain=a.example,b.example") if row["property"] == "nic0.ip_address")
    assert row["state"] == "applied" and "10.77.1.50/24" in row["guest"] and "fd00:77::5/64" in row["guest"], row
    assert address_of(daemon, "web2") == "10.77.1.50/24"
    own = own_v6(daemon, "web2")
    assert f"{own}/64" in row["guest"] and "nameserver fd00:77::1" in daemon.guest("web2", "cat", "/etc/resolv.conf")
    assert "search a.example b.example" in daemon.guest("web2", "cat", "/etc/resolv.conf")
    assert "default via 10.77.1.1" in daemon.guest("web2", "ip", "route")
    wait_until(lambda: "10.77.1.50" in daemon.run("exec", "web1", "--", "nslookup", "web2.internal").stdout, 30)
    wait_until(lambda: "fd00:77::5" in daemon.run("exec", "web1", "--", "nslookup", "web2.internal").stdout.split(), 30)
    for taken in ("10.77.1.50", "fd00:77::5", own):
        assert f"web2.nic0 has {taken}" in daemon.refused(2, "set", "web1", f"nic0.ip_address={taken}")
    daemon.hostler("portgroup", "set", "lan", "web", "address_spoofing=reject")
    soon_reaches_world(daemon, "web2")
    daemon.guest("web2", "ip", "addr", "add", "10.77.1.60/24", "dev", "eth0")
    assert daemon.run("exec", "web2", "--", "ping", "-c", "1", "-W", "2", "-I", "10.77.1.60", "10.77.1.1").returncode != 0
    daemon.guest("web2", "ip", "addr", "add", "fd00:77::60/64", "dev", "eth0")
    wait_until(lambda: "tentative" not in daemon.guest("web2", "ip", "-6", "addr", "show", "dev", "eth0"), 20)

    def pings_from(source):
        return daemon.run("exec", "web2", "--", "ping", "-6", "-c", "1", "-W", "2", "-I", source, "fd00:77::1").returncode == 0
    assert not pings_from("fd00:77::60")
    for source in ("fd00:77::5", own):
        wait_until(lambda: pings_from(source), 30)
    daemon.hostler("portgroup", "set", "lan", "web", "address_spoofing=")
    row = next(row for row in daemon.json("set", "web2", "nic0.ip_address=", "nic0.search_domain=") if row["property"] == "nic0.ip_address")
    assert "10.77.1.3/24" in row["guest"] and own in row["guest"] and "fd00:77::5/64" not in row["guest"], row


def check_crashes(daemon):
    for word in ("dnsmasq", "ovs-vswitchd"):
        os.kill(pid_of(daemon, word)[0], signal.SIGKILL)
        wait_until(lambda: pid_of(daemon, word), 30)
    soon_reaches_world(daemon, "web1")
    restart(daemon)
    soon_reaches_world(daemon, "web1")
    daemon.guest("web1", "sh", "-c", "ip addr flush dev eth0; kill -USR1 $(pidof udhcpc)")
    assert address_of(daemon, "web1") == "10.77.1.2/24"


class Cable:
    """A card of the host, eth1 with 203.0.113.1, and what is at the other end: 203.0.113.2."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        wait_until(lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 20)
        self.pid = str(self.process.pid)
        ip("link", "add", "eth1", "type", "veth", "peer", "name", "in1", "netns", self.pid)
        ip("link", "set", "eth1", "up")
        for address in ("203.0.113.1/24", "fd00:113::1/64"):
            ip("addr", "add", address, "dev", "eth1")
        for address in ("203.0.113.2/24", "fd00:113::2/64"):
            ip("addr", "add", address, "dev", "in1", namespace=self.pid)
        ip("link", "set", "in1", "up", namespace=self.pid)
        ip("route", "add", "198.51.100.0/24", "via", "203.0.113.2", "metric", "50")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def host_reaches(self):
        return subprocess.run(["ping", *PATIENTLY, "203.0.113.2"], capture_output=True).returncode == 0

    def reaches(self, address):
        return subprocess.run(["nsenter", "-n", "-t", self.pid, "ping", *PATIENTLY, address], capture_output=True).returncode == 0

    def answers_in_vlan(self, vid, address):
        """Whether somebody in a VLAN says, in that VLAN, that the address is theirs."""
        done = subprocess.run(["nsenter", "-n", "-t", self.pid, "python3", "-c", ASK_IN_VLAN, str(vid), address], capture_output=True, text=True)
        return done.stdout.strip() == str(vid)


# A tag that came with a frame is not in the frame any more, but beside it: packet(7), PACKET_AUXDATA.
ASK_IN_VLAN = """
import socket, struct, sys
vid, address = int(sys.argv[1]), socket.inet_aton(sys.argv[2])
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(("in1", 0))
link.setsockopt(263, 8, 1)
link.settimeout(2)
own = link.getsockname()[4]
link.send(b"\\xff" * 6 + own + struct.pack(">HHHHHBBH", 0x8100, vid, 0x806, 1, 0x800, 6, 4, 1) + own + bytes(10) + address)
while True:
    frame, extra, _, _ = link.recvmsg(2000, 200)
    if frame[12:14] == b"\\x08\\x06" and frame[20:22] == b"\\0\\2" and frame[28:32] == address:
        print(struct.unpack("=IIIHHHH", extra[0][2][:20])[5] & 0xfff)
        break
"""


def has_its_card(cable):
    """The host as it was before: addresses and routes on the card, no bridge."""
    return ("203.0.113.1/24" in ip("addr", "show", "dev", "eth1") and "fd00:113::1/64" in ip("addr", "show", "dev", "eth1") and "fe80:" in ip("addr", "show", "dev", "eth1")
            and "via 203.0.113.2 dev eth1 metric 50" in ip("route") and "hsu" not in ip("link") and cable.host_reaches())


def check_uplink(daemon):
    """A guest on the network that a card of the host is in, untagged and in a VLAN; the host and the cable's other end reach it."""
    with Cable() as cable:
        daemon.hostler("switch", "create", "wan", "uplink=eth1")
        daemon.hostler("switch", "confirm", "wan")
        daemon.hostler("portgroup", "create", "wan", "out")
        daemon.hostler("set", "web2", "nic0.network=wan/out")
        daemon.guest("web2", "ip", "addr", "add", "203.0.113.7/24", "dev", "eth0")
        daemon.guest("web2", "ping", "-c", "1", "-W", "5", "203.0.113.2")
        daemon.guest("web2", "ping", "-c", "1", "-W", "5", "203.0.113.1")
        assert cable.reaches("203.0.113.7") and cable.reaches("203.0.113.1") and not cable.answers_in_vlan(10, "203.0.113.7")
        daemon.hostler("set", "web2", "nic0.vlan=10")
        assert cable.answers_in_vlan(10, "203.0.113.7") and not cable.answers_in_vlan(11, "203.0.113.7") and not cable.reaches("203.0.113.7")
        daemon.hostler("set", "web2", "nic0.vlan=")
        restart(daemon)
        os.kill(pid_of(daemon, "ovs-vswitchd")[0], signal.SIGKILL)
        assert cable.host_reaches() and cable.reaches("203.0.113.1")
        wait_until(lambda: cable.reaches("203.0.113.7"), 30)
        daemon.hostler("set", "web2", "nic0.network=lan/web")
        daemon.hostler("switch", "rm", "wan")
        wait_until(lambda: has_its_card(cable), 20)


def test_uplinks_on_trial():
    """A card is given back unless that is confirmed, by a daemon that runs and without one; and it is not taken from others."""
    with made_up_host() as (daemon, world), Cable() as cable:
        assert "has the host's default route" in daemon.refused(4, "switch", "create", "wan", "uplink=out0")
        assert daemon.json("switch", "ls") == []
        daemon.hostler("switch", "create", "wan", "uplink=eth1", "--trial", "5s")
        shown = daemon.json("switch", "show", "wan")
        assert shown["trial"] == "eth1" and "trial_ends" in shown and "uplink" not in shown["spec"]
        assert cable.host_reaches() and "via 203.0.113.2 dev hsu" in ip("route") and "203.0.113.1" not in ip("addr", "show", "dev", "eth1")
        assert "eth1 is its uplink on trial" in daemon.refused(4, "switch", "set", "wan", "mac_changes=reject")
        assert "switch wan has eth1" in daemon.refused(4, "switch", "create", "other", "uplink=eth1")
        wait_until(lambda: has_its_card(cable), 30, "given back by itself")
        wait_until(lambda: "trial" not in daemon.json("switch", "show", "wan"), 20)
        assert "no uplink on trial" in daemon.refused(4, "switch", "confirm", "wan")
        daemon.hostler("switch", "set", "wan", "uplink=eth1", "--trial", "5s")
        daemon.kill()
        assert not has_its_card(cable)
        wait_until(lambda: has_its_card(cable), 30, "given back without a daemon")
        daemon.start("--system", environment={"HOSTLER_CRASH_AT": "switch.confirm:confirm"})
        daemon.hostler("switch", "set", "wan", "uplink=eth1")
        assert daemon.run("switch", "confirm", "wan").returncode != 0
        daemon.process.wait(timeout=60)
        daemon.start("--system")
        wait_until(lambda: has_its_card(cable), 30, "given back by the next daemon, for the confirmation came to nothing")
        wait_until(lambda: [job["state"] for job in daemon.json("job", "ls") if job["verb"] == "switch.confirm"][0] == "failed", 20)
        daemon.hostler("switch", "set", "wan", "uplink=eth1", "--trial", "8s")
        assert daemon.json("switch", "confirm", "wan")["spec"]["uplink"] == "eth1"
        assert "its uplink eth1 only 1500" in daemon.refused(2, "switch", "set", "wan", "mtu=9000")
        assert not any("later" in command for command in daemon.processes().values()) and cable.host_reaches()
        daemon.hostler("switch", "set", "wan", "uplink=")
        assert has_its_card(cable)
        ip("link", "add", "br7", "type", "bridge")
        ip("link", "set", "eth1", "master", "br7")
        assert "eth1 is part of br7" in daemon.refused(4, "switch", "set", "wan", "uplink=eth1")
        ip("link", "set", "eth1", "nomaster")
        with socket.create_server(("203.0.113.1", 22)) as server:
            client = subprocess.Popen(["nsenter", "-n", "-t", cable.pid, "python3", "-c", "import socket, time; s = socket.create_connection(('203.0.113.1', 22)); time.sleep(600)"])
            with server.accept()[0]:
                assert "port 22 of 203.0.113.1 with 203.0.113.2" in daemon.refused(4, "switch", "set", "wan", "uplink=eth1")
                daemon.hostler("switch", "set", "wan", "uplink=eth1", "--force")
            client.kill()
            client.wait()
        daemon.hostler("switch", "rm", "wan")
        wait_until(lambda: has_its_card(cable), 20)


@limit(300)
def test_guests_with_addresses():
    before = os.listdir("/run")
    with made_up_host() as (daemon, world):
        daemon.hostler("switch", "create", "lan", "uplink=nat", "subnet=10.77.1.0/24", "ipv6_prefix=fd00:77::/64", "mtu=1450")
        daemon.hostler("portgroup", "create", "lan", "web")
        for vm in ("web1", "web2"):
            daemon.hostler("create", vm, "--image", "tiny", "--start", "nic0.network=lan/web", *SMALL)
        for vm in ("web1", "web2"):
            daemon.hostler("wait", vm, "agent", timeout=180)
        check_first_look(daemon)
        assert forwards() == ["1", "1", "2"]
        check_v6(daemon, world)
        check_dnsmasq(daemon)
        check_firewall(daemon, world)
        check_by_hand(daemon)
        check_learned(daemon)
        check_mtu(daemon)
        check_crashes(daemon)
        check_uplink(daemon)
        for vm in ("web1", "web2"):
            daemon.hostler("stop", "--hard", vm)
            daemon.hostler("rm", "--now", "-y", vm)
        daemon.hostler("switch", "rm", "lan")
        wait_until(lambda: not pid_of(daemon, "dnsmasq") and not pid_of(daemon, "ovs"), 20)
        wait_until(lambda: forwards() == ["0", "0", "1"], 20, "the host forwards no more")
        assert not [name for name in os.listdir("/run") if name.startswith("hostler-dns-") and name not in before]
        assert "hostler" not in nft("list", "ruleset") and "hsg" not in ip("link")


def check_old_firewall(daemon):
    """One that nft cannot change is told of."""
    def seen():
        return next(check for check in daemon.json("doctor") if check["name"] == "forwarding")
    assert seen()["ok"]
    if shutil.which("iptables-legacy", path="/usr/sbin") and subprocess.run(["/usr/sbin/iptables-legacy", "-P", "FORWARD", "DROP"]).returncode == 0:
        assert not seen()["ok"] and "iptables-legacy" in seen()["hint"]


# What a host in the prefix, here the router itself, hears from the world.
ASK_WORLD = "import socket; print(socket.create_connection(('2001:db8::2', 80), 5, ('fd00:77::1', 0)).recv(100).decode())"


def test_way_out_of_a_prefix():
    """By the host's address, past a firewall and after it was swept clean; not in; and the host is what it was when the prefix is gone."""
    with made_up_host() as (daemon, world):
        assert forwards() == ["0", "0", "1"]
        daemon.hostler("switch", "create", "lan", "uplink=nat", "subnet=10.77.1.0/24")
        assert forwards() == ["1", "0", "1"] and "table ip6 hostler" not in nft("list", "ruleset")
        daemon.hostler("switch", "set", "lan", "ipv6_prefix=fd00:77::/64")
        assert forwards() == ["1", "1", "2"]

        def ask():
            done = subprocess.run(["nsenter", "-n", "-t", str(pid_of(daemon, "dnsmasq")[0]), "python3", "-c", ASK_WORLD], capture_output=True, text=True)
            return done.stdout.strip()
        for _ in range(2):
            assert wait_until(ask, 60) == "you are 2001:db8::1"
            assert not world.reaches("fd00:77::1")
            nft("flush", "ruleset")
            firewall()
        daemon.hostler("switch", "set", "lan", "ipv6_prefix=")
        wait_until(lambda: "table ip hostler" in nft("list", "ruleset") and "table ip6 hostler" not in nft("list", "ruleset"), 30)
        daemon.hostler("switch", "rm", "lan")
        wait_until(lambda: forwards() == ["0", "0", "1"] and "fd00:77::" not in ip("-6", "route"), 30)


def test_bad_addresses():
    with made_up_host() as (daemon, world):
        bad = {"subnet=10.77.1.5/24": "10.77.1.0/24", "subnet=10.77.1.0/30": "from /8 to /29", "subnet=192.0.2.0/25": "the host has a route",
               "gateway=10.77.1.1": "it needs a subnet", "ipv6_prefix=fd00:77::/64": "it needs a subnet", "uplink=elsewhere": "there is no network card elsewhere", "uplink=lo": "no Ethernet card"}
        for word, why in bad.items():
            assert why in daemon.refused(2, "switch", "create", "lan", word), word
        bad = {"ipv6_prefix=fd00:77::5/64": "which is fd00:77::/64", "ipv6_prefix=fd00::/48": "a prefix is a /64", "ipv6_prefix=fe80::/64": "not addresses that guests can have",
               "ipv6_prefix=2001:db8::/64": "the host has a route", "mtu=1000": "needs an mtu of 1280", "dns=fd00:::1": "is no IP address"}
        for word, why in bad.items():
            assert why in daemon.refused(2, "switch", "create", "lan", "subnet=10.77.1.0/24", *([] if "prefix" in word else ["ipv6_prefix=fd00:77::/64"]), word), word
        daemon.hostler("switch", "create", "lan", "subnet=10.77.1.0/24", "ipv6_prefix=fd00:77::/64", "mtu=1400")
        daemon.hostler("portgroup", "create", "lan", "web")
        assert daemon.hostler("complete", "switch").split() == ["lan"] and daemon.hostler("complete", "portgroup", "lan").split() == ["web"]
        assert "lan has 10.77.1.0/24" in daemon.refused(2, "switch", "create", "wan", "subnet=10.77.0.0/16")
        assert "lan has fd00:77::/64" in daemon.refused(2, "switch", "create", "wan", "subnet=10.78.0.0/16", "ipv6_prefix=fd00:77::/64")
        assert "its VLAN has a subnet already" in daemon.refused(2, "portgroup", "set", "lan", "web", "subnet=10.77.2.0/24")
        assert "several VLANs" in daemon.refused(2, "portgroup", "create", "lan", "all", "vlan=all", "subnet=10.77.2.0/24")
        assert "no address of a host" in daemon.refused(2, "switch", "set", "lan", "gateway=10.77.2.1")
        daemon.hostler("create", "web1", "--image", "tiny", "nic0.network=lan/web", "nic0.ip_address=10.77.1.9")
        bad = {"nic0.ip_address=10.77.2.9": "is no address of a host in 10.77.1.0/24", "nic0.ip_address=10.77.1.999": "no IP address",
               "nic0.ip_address=fd00:78::9": "is no address of a host in fd00:77::/64", "nic0.ip_address=fd00:77::1": "the switch has fd00:77::1", "nic0.mtu=1279": "needs 1280",
               "nic0.ip_address=10.77.1.1": "the switch has 10.77.1.1", "nic0.ip_address=224.0.0.1": "not an address that a guest can have",
               "nic0.netmask=255.0.255.0": "is no netmask", "nic0.gateway=10.77.2.1": "in no network of its addresses",
               "nic0.mtu=1500": "the switch carries 1400", "nic0.ip_address=dhcp,10.77.1.9": "either", "nic0.dns=1.2.3": "nic0"}
        for word, why in bad.items():
            assert why in daemon.refused(2, "set", "web1", word), word
        mac = daemon.show("web1")["spec"]["nic0"]["mac"]
        assert f"web1.nic0 has {mac}" in daemon.refused(2, "create", "web2", "--image", "tiny", "nic0.network=lan/web", f"nic0.mac={mac}")
        for bad in ("nic0.mac=01:00:5e:00:00:01", "nic0.vlan=4096", "nic0.vlan=trunk:0"):
            daemon.refused(2, "set", "web1", bad)
        assert "web1.nic0" in daemon.refused(4, "portgroup", "rm", "lan", "web")
        check_old_firewall(daemon)
        assert "web1.nic0 has 10.77.1.9" in daemon.refused(2, "create", "web2", "--image", "tiny", "nic0.network=lan/web", "nic0.ip_address=10.77.1.9")
        daemon.hostler("rm", "--now", "-y", "web1")
        daemon.hostler("switch", "rm", "lan")
