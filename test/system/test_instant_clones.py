"""Instant clones of a running guest: each goes on where the source was, with an identity of its own, and shares its memory."""
import pathlib
import re

from crash import check_whole, make
from harness import limit, wait_until
from test_crash_steps import Case, Clones, run

MIB = 1 << 20


def shell(daemon, vm, command):
    return daemon.guest(vm, "sh", "-c", command)


def source(daemon, *more):
    daemon.create("web1", *more, wait="ip")
    shell(daemon, "web1", "mkdir -p /tmp/mem; mount -t tmpfs none /tmp/mem; echo secret > /tmp/mem/note; echo 0 > /tmp/mem/ticks;"
          "(while :; do echo $(($(cat /tmp/mem/ticks) + 1)) > /tmp/mem/ticks; sleep 0.1; done) > /dev/null 2>&1 &")


def wait_own_identity(daemon, *vms):
    for vm in vms:
        wait_until(lambda: "identity_of" not in daemon.show(vm)["status"], 300, f"{vm} has an identity of its own")


def ticks(daemon, vm):
    return int(shell(daemon, vm, "until grep . /tmp/mem/ticks; do :; done"))


def private_bytes(daemon, vm):
    rollup = pathlib.Path(f"/proc/{daemon.show(vm)['status']['pid']}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) << 10


@limit(600)
def test_clones_of_a_running_guest_go_on(daemon):
    source(daemon)
    before, uptime = ticks(daemon, "web1"), float(shell(daemon, "web1", "cut -d' ' -f1 /proc/uptime"))
    names = [f"ci{number}" for number in range(4)]
    daemon.hostler("clone", "web1", *names, "--instant")
    assert {daemon.power(name) for name in ("web1", *names)} == {"running"}
    wait_own_identity(daemon, *names)
    seen = set()
    for name in names:
        daemon.hostler("wait", name, "ip")
        assert shell(daemon, name, "cat /tmp/mem/note") == "secret" and ticks(daemon, name) > before
        assert float(shell(daemon, name, "cut -d' ' -f1 /proc/uptime")) > uptime
        mac = shell(daemon, name, "cat /sys/class/net/eth0/address")
        assert mac == daemon.show(name)["spec"]["nic0"]["mac"] and shell(daemon, name, "hostname") == name
        seen |= {mac, shell(daemon, name, "head -c 16 /dev/urandom | md5sum")}
        first = ticks(daemon, name)
        wait_until(lambda: ticks(daemon, name) > first, 30, "it goes on counting")
        shell(daemon, name, f"echo {name} > /root/note; echo {name} > /tmp/mem/note; sync")
    assert len(seen) == 2 * len(names), "each has its own address and random numbers"
    assert shell(daemon, "web1", "cat /tmp/mem/note; cat /root/note 2> /dev/null || true") == "secret"
    assert [shell(daemon, name, "cat /tmp/mem/note") for name in names] == names
    # What they have in common is there once.
    assert all(private_bytes(daemon, name) < private_bytes(daemon, "web1") for name in names)
    assert not list((daemon.state / "vms").glob("*/mould"))
    # Each is an ordinary VM from now on: it can be suspended, have snapshots, and boot.
    daemon.hostler("suspend", "ci0")
    daemon.hostler("resume", "ci0", "--wait", "agent")
    assert shell(daemon, "ci0", "cat /tmp/mem/note") == "ci0"
    daemon.hostler("snapshot", "create", "ci1", "one")
    shell(daemon, "ci1", "echo later > /tmp/mem/note")
    daemon.hostler("revert", "ci1", "one")
    assert shell(daemon, "ci1", "cat /tmp/mem/note") == "ci1"
    daemon.hostler("restart", "--hard", "ci2", "--wait", "agent")
    assert shell(daemon, "ci2", "cat /sys/class/net/eth0/address") == daemon.show("ci2")["spec"]["nic0"]["mac"]
    daemon.hostler("stop", "--hard", "ci3")
    daemon.hostler("start", "ci3", "--wait", "agent")
    assert shell(daemon, "ci3", "cat /root/note") == "ci3"
    check_whole(daemon)


def test_what_speaks_against_it_is_said_before(daemon):
    daemon.hostler("create", "web1", "--image", "tiny", "memory.size=256M", "memory.max=1G")
    assert "start it" in daemon.refused(4, "clone", "web1", "a", "--instant")
    assert "one of" in daemon.refused(2, "clone", "web1", "a", "--instant", "--full")
    daemon.hostler("start", "web1")
    daemon.hostler("wait", "web1", "agent")
    plan = daemon.json("clone", "web1", "a", "--instant", "--dry-run")
    assert "mould" in str(plan) and [vm["name"] for vm in daemon.json("ls")] == ["web1"]
    daemon.hostler("set", "web1", "memory.size=384M")
    assert "grown" in daemon.refused(1, "clone", "web1", "a", "--instant")
    assert [vm["name"] for vm in daemon.json("ls")] == ["web1"]


class Instant(Clones):
    def prepare(self, daemon, name):
        self.daemon = daemon
        make(daemon, name, nic0=None, disk1={"size": MIB})


@limit(900)
def test_crashes():
    live = Instant()
    clone = lambda name: ("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a", f"{name}-b"], "instant": True})
    run(Case("vm.clone", clone, live.made("a", "b"), prepare=live.prepare, before=live.made(), refusal="exists", reset=live.reset, same_process=True))


def golden(daemon):
    daemon.hostler("create", "golden", "--image", "tiny", "memory.size=160M")
    daemon.hostler("template", "golden")


def tick(daemon, name):
    return float(shell(daemon, name, "cut -d' ' -f1 /proc/uptime"))


@limit(600)
def test_a_template_is_booted_once(daemon):
    golden(daemon)
    assert "ready" in str(daemon.json("clone", "golden", "a", "--instant", "--dry-run")) and len(daemon.json("ls")) == 1
    names = [f"ci{number:02}" for number in range(20)]
    daemon.hostler("clone", "golden", *names[:2], "--instant")
    ready = daemon.show("golden.ready")
    assert ready["status"]["power"] == "off" and 16 * MIB < ready["status"]["mould"] <= 160 * MIB
    daemon.hostler("clone", "golden", *names[2:], "--instant")
    assert daemon.show("golden.ready")["status"]["since"] == ready["status"]["since"], "it is not booted again"
    assert daemon.power("golden") == "off" and {daemon.power(name) for name in names} == {"running"}
    wait_own_identity(daemon, *names)
    before = {name: tick(daemon, name) for name in names}
    seen = [shell(daemon, name, "hostname; cat /sys/class/net/eth0/address; head -c 16 /dev/urandom | md5sum").split("\n") for name in names]
    assert [words[0] for words in seen] == names and [words[1] for words in seen] == [daemon.show(name)["spec"]["nic0"]["mac"] for name in names]
    assert len({words[1] for words in seen}) == len({words[2] for words in seen}) == len(names)
    assert all(tick(daemon, name) > before[name] for name in names), "each goes on"
    for words in (("clone", "golden.ready", "x"), ("template", "golden.ready", "--off"), ("rm", "golden.ready"), ("start", "golden.ready")):
        assert "golden" in daemon.refused(4, *words)
    # An ordinary VM again: what clones stand on stays, the memory does not; and nothing at all when none do.
    daemon.hostler("template", "golden", "--off")
    assert "mould" not in daemon.show("golden.ready")["status"]
    daemon.hostler("restart", "--hard", "ci00", "--wait", "agent")
    daemon.hostler("rm", "--now", "-y", *names)
    daemon.hostler("template", "golden.ready", "--off")
    daemon.hostler("rm", "--now", "golden.ready")
    check_whole(daemon)
    # Cut off while it is made, nothing of it stays.
    daemon.hostler("template", "golden")
    daemon.stop()
    daemon.start(environment={"HOSTLER_CRASH_AT": "vm.clone:keep"})
    daemon.run("clone", "golden", "a", "--instant")
    wait_until(lambda: daemon.process.poll() is not None, 60)
    daemon.start()
    wait_until(lambda: [vm["name"] for vm in daemon.json("ls")] == ["golden"], 60)
    daemon.hostler("clone", "golden", "a", "--instant")
    daemon.restart(kill=True)
    # A QEMU waits for the next one, whatever it will be called.
    daemon.hostler("host", "set", "--pool-warm", "1")
    wait_until(lambda: daemon.json("host", "show")["spares"] == 1, 60)
    waiting = daemon.processes()
    daemon.hostler("clone", "golden", "b", "--instant")
    assert daemon.show("b")["status"]["pid"] in waiting
    wait_own_identity(daemon, "b")
    assert shell(daemon, "b", "hostname; cat /sys/class/net/eth0/address; grep -c vda /proc/partitions").split("\n")[:2] == ["b", daemon.show("b")["spec"]["nic0"]["mac"]]
    wait_until(lambda: daemon.json("host", "show")["spares"] == 1, 60)
    daemon.restart(kill=True)
    daemon.hostler("host", "set", "--pool-warm", "0")
    wait_until(lambda: daemon.json("host", "show")["spares"] == 0, 60)
    daemon.hostler("rm", "--now", "-y", "a", "b")
    daemon.hostler("template", "golden", "--off")
    assert [vm["name"] for vm in daemon.json("ls")] == ["golden"]
    check_whole(daemon)
