"""Snapshots of real guests: what is on their disks and in their memory comes back, whatever the order of taking, going back and removing."""
import json

from harness import limit, wait_until

MIB = 1 << 20


def shell(daemon, command, vm="web1"):
    return daemon.guest(vm, "sh", "-c", command)


def remember(daemon, text):
    """Writes it to a file system on a disk, to a bare disk, and to memory."""
    shell(daemon, f"echo {text} > /root/note; printf '%-16s' {text} | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync; echo {text} > /tmp/mem/note")


def remembered(daemon):
    disk, memory = shell(daemon, "cat /root/note"), shell(daemon, "cat /tmp/mem/note")
    assert disk == shell(daemon, "dd if=/dev/vdb bs=16 count=1 2>/dev/null").strip() == memory, (disk, memory)
    return disk


def create(daemon):
    daemon.create("web1", "disk1.size=16M")
    shell(daemon, "mkdir -p /tmp/mem; mount -t tmpfs none /tmp/mem")


def snapshots(daemon):
    return {snapshot["name"]: snapshot for snapshot in daemon.json("snapshot", "ls", "web1")}


def files(daemon):
    folder, = (daemon.state / "vms").iterdir()
    return sorted(path.name for path in folder.glob("disk*")) + sorted(path.name for path in (folder / "snapshots").glob("*"))


def test_there_and_back_with_disks_and_memory(daemon):
    create(daemon)
    remember(daemon, "one")
    uptime = float(shell(daemon, "cut -d' ' -f1 /proc/uptime"))
    daemon.hostler("snapshot", "create", "web1", "one", "--description", "the first")
    assert daemon.power("web1") == "running"
    remember(daemon, "two")
    daemon.hostler("snapshot", "create", "web1")
    remember(daemon, "three")
    assert daemon.json("revert", "web1", "one")["status"]["power"] == "running"
    assert remembered(daemon) == "one"
    assert uptime <= float(shell(daemon, "cut -d' ' -f1 /proc/uptime")) < uptime + 60
    daemon.hostler("revert", "web1", "snap1")
    assert remembered(daemon) == "two"
    tree = snapshots(daemon)
    assert tree["snap1"]["parent"] == "one" and tree["snap1"]["current"] and tree["one"]["description"] == "the first"
    assert tree["one"]["kind"] == "full" and tree["one"]["memory"] > MIB


@limit(400)
def test_a_tree_is_pruned_while_the_guest_goes_on(daemon):
    create(daemon)
    for name in ("root", "left", "leaf"):
        remember(daemon, name)
        daemon.hostler("snapshot", "create", "web1", name)
    daemon.hostler("revert", "web1", "root")
    remember(daemon, "right")
    daemon.hostler("snapshot", "create", "web1", "right")
    assert [line.split()[0] for line in daemon.hostler("snapshot", "ls", "web1").splitlines()[1:]] == ["root", "├─", "│", "└─"]
    for gone, left in (("left", ("root", "leaf", "right")), ("root", ("leaf", "right"))):
        daemon.hostler("snapshot", "rm", "web1", gone)
        assert set(snapshots(daemon)) == set(left) and remembered(daemon) == "right"
    daemon.hostler("revert", "web1", "leaf")
    assert remembered(daemon) == "leaf"
    daemon.restart(kill=True)
    daemon.hostler("revert", "web1", "right")
    assert remembered(daemon) == "right"
    for name in ("leaf", "right"):
        daemon.hostler("snapshot", "rm", "web1", name)
    assert len(files(daemon)) == 2, f"each disk is one file again: {files(daemon)}"
    assert remembered(daemon) == "right"
    daemon.hostler("restart", "--hard", "web1", "--wait", "agent")
    assert shell(daemon, "cat /root/note") == "right"


def test_disks_only_and_of_a_vm_that_is_off(daemon):
    create(daemon)
    remember(daemon, "running")
    daemon.hostler("snapshot", "create", "web1", "running", "--disk-only")
    remember(daemon, "later")
    daemon.hostler("stop", "web1")
    daemon.hostler("snapshot", "create", "web1", "off")
    assert {name: snapshot["kind"] for name, snapshot in snapshots(daemon).items()} == {"running": "disks", "off": "disks"}
    daemon.hostler("revert", "web1", "running")
    assert daemon.power("web1") == "off"
    daemon.hostler("start", "web1", "--wait", "agent")
    assert shell(daemon, "cat /root/note") == "running" and not shell(daemon, "dmesg | grep -i 'ext4.*error' || true")
    daemon.hostler("revert", "web1", "off")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert shell(daemon, "cat /root/note") == "later"
    daemon.hostler("stop", "web1")
    for name in ("running", "off"):
        daemon.hostler("snapshot", "rm", "web1", name)
    assert len(files(daemon)) == 2
    daemon.hostler("start", "web1", "--wait", "agent")
    assert shell(daemon, "cat /root/note") == "later"


def test_the_spec_comes_back_too(daemon):
    create(daemon)
    daemon.hostler("snapshot", "create", "web1", "before")
    daemon.hostler("set", "web1", "cpu.count=2", "nic1.model=virtio-net-pci")
    assert "nic1" in daemon.show("web1")["spec"]
    daemon.hostler("revert", "web1", "before")
    vm = daemon.show("web1")
    assert "nic1" not in vm["spec"] and vm["spec"]["cpu"]["count"] == 1 and vm["status"]["pending"] == []
    assert shell(daemon, "ls /sys/class/net | grep -c eth") == "1"


def test_refusals(daemon):
    create(daemon)
    daemon.hostler("snapshot", "create", "web1", "one")
    assert "already" in daemon.refused(4, "snapshot", "create", "web1", "one")
    assert "no snapshot" in daemon.refused(3, "revert", "web1", "none") and "no snapshot" in daemon.refused(3, "snapshot", "rm", "web1", "none")
    daemon.hostler("disk", "add", "web1", "later", "--size", "8M")
    assert "came after" in daemon.refused(4, "revert", "web1", "one")
    daemon.hostler("disk", "rm", "web1", "later")
    daemon.hostler("stop", "--hard", "web1")
    assert "snapshot" in daemon.refused(4, "rm", "web1", "--keep-disks")
    # A damaged memory is not loaded, and nothing has changed.
    memory, = (daemon.state / "vms").glob("*/snapshots/one.state")
    with open(memory, "r+b") as file:
        file.seek(4096)
        file.write(b"damage")
    assert "damaged" in daemon.refused(1, "revert", "web1", "one")
    assert set(snapshots(daemon)) == {"one"} and daemon.power("web1") == "off"


def test_a_dry_run_takes_nothing(daemon):
    create(daemon)
    plan = json.loads(daemon.hostler("snapshot", "create", "web1", "one", "--dry-run", "-o", "json"))
    assert "layers" in json.dumps(plan) and not snapshots(daemon)


def test_a_disk_that_a_snapshot_holds_can_go_and_come_back(daemon):
    create(daemon)
    remember(daemon, "one")
    daemon.hostler("snapshot", "create", "web1", "one")
    shell(daemon, "umount /dev/vdb 2>/dev/null; true")
    daemon.hostler("disk", "rm", "web1", "disk1")
    wait_until(lambda: "vdb" not in shell(daemon, "cat /proc/partitions"), 20, "the guest lets go of the disk")
    daemon.hostler("revert", "web1", "one")
    assert remembered(daemon) == "one"


@limit(400)
def test_snapshots_by_the_clock(daemon):
    create(daemon)
    remember(daemon, "one")
    daemon.hostler("snapshot", "create", "web1", "by-hand", "--disk-only")
    row = daemon.json("snapshot", "schedule", "web1", "--every", "5s", "--keep", "2", "--disk-only")
    assert (row["every"], row["keep"]) == (5000, 2) and row["next"]
    taken = set()

    def four():
        taken.update(snapshots(daemon))
        return len(taken) >= 5 and len(snapshots(daemon)) == 3
    wait_until(four, 120, "four were taken, and all but two are gone again", every=0.5)
    assert all(snapshot["scheduled"] and snapshot["frozen"] for name, snapshot in snapshots(daemon).items() if name != "by-hand")
    daemon.restart(kill=True)
    before = set(snapshots(daemon))
    wait_until(lambda: set(snapshots(daemon)) - before, 60, "the next daemon goes on with it")
    daemon.hostler("snapshot", "schedule", "web1", "--off")
    assert "next" not in daemon.json("snapshot", "schedule", "web1", "--off")
    assert "by-hand" in snapshots(daemon) and remembered(daemon) == "one"
    assert "how often" in daemon.refused(2, "snapshot", "schedule", "web1")
