"""Pools that are thin pools of LVM: volumes, snapshots, clones and moves in them, crashes, and what is said when they are full. LVM's programs take
minutes where all is emulated, so they are run when HOSTLER_TEST_LVM is set; needs lvm2 and thin-provisioning-tools."""
import json
import os
import pathlib
import subprocess

from api import ENDED
from harness import Daemon, limit, skip, wait_until
from inner import Host

MIB = 1 << 20
GROUP = "vg0"


def tool(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout


def make_thin_pool(mib):
    """One of LVM, on a file of the inner host, where no udev makes device nodes."""
    pathlib.Path("/etc/lvm/lvmlocal.conf").write_text("activation { udev_sync=0 udev_rules=0 }\n")
    disk = pathlib.Path("/data/thin.img")
    with open(disk, "wb") as file:
        file.truncate((mib + 64) * MIB)
    device = tool("losetup", "--find", "--show", disk).strip()
    tool("vgcreate", "-q", GROUP, device)
    tool("lvcreate", "-q", "--type", "thin-pool", "-L", f"{mib}M", "--poolmetadatasize", "4M", "-n", "thin", GROUP)


def volumes_of_lvm():
    report = json.loads(tool("lvs", "--reportformat", "json", "-o", "lv_name,lv_tags,pool_lv", "-S", "segtype=thin", GROUP))
    return [row for row in report["report"][0]["lv"] if row["pool_lv"] == "thin"]


def entries(daemon):
    return sorted(path for path in (daemon.state / "pools" / "thin").rglob("*") if not path.is_dir())


def check_even(daemon, where):
    """Each entry leads to a logical volume, and each of those has one."""
    found = entries(daemon)
    assert all(path.is_symlink() and path.is_block_device() for path in found), f"{where}: {found}"
    targets = sorted(os.path.basename(os.readlink(path)) for path in found)
    assert targets == sorted(row["lv_name"] for row in volumes_of_lvm()), f"{where}: {targets}, {volumes_of_lvm()}"


def io(path, *commands):
    return tool("qemu-io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), path)


def head(daemon, vm, disk):
    row = next(row for row in daemon.json("volume", "ls", "--pool", "thin") if row.get("vm") == vm and row.get("disk") == disk)
    return daemon.state / "pools" / "thin" / daemon.show(vm)["id"] / row["name"]


def put(daemon, vm, pattern):
    io(head(daemon, vm, "disk1"), f"write -P {pattern} 1M 2M", f"write -P {pattern} 30M 64k")


def check_holds(daemon, vm, pattern):
    said = io(head(daemon, vm, "disk1"), f"read -P {pattern} 1M 2M", f"read -P {pattern} 30M 64k", "read -P 0 3M 1M")
    assert "failed" not in said, f"{vm}: {said}"


def check_refused(daemon):
    refusal = daemon.refused(2, "pool", "create", "thin", "--type", "lvm-thin", "--source", f"{GROUP}/none")
    assert f"no thin pool {GROUP}/none" in refusal and f"there is {GROUP}/thin" in refusal and "lvcreate" in refusal, refusal
    for words in (["--path", "/srv"], ["--source", "../thin"], ["--source", f"-x/{GROUP}"], []):
        daemon.refused(2, "pool", "create", "thin", "--type", "lvm-thin", *words)
    daemon.refused(2, "pool", "create", "thin", "--source", f"{GROUP}/thin")


def check_pool(daemon):
    check_refused(daemon)
    daemon.hostler("pool", "create", "thin", "--type", "lvm-thin", "--source", f"{GROUP}/thin")
    pool = daemon.json("pool", "show", "thin")
    assert (pool["state"], pool["type"], pool["source"], pool["volumes"]) == ("ready", "lvm-thin", f"{GROUP}/thin", 0), pool
    assert pool["size"] == pool["free"] == 192 * MIB and pool["used"] == pool["tables"] < 20, pool
    assert "already" in daemon.refused(4, "pool", "create", "again", "--type", "lvm-thin", "--source", f"{GROUP}/thin")


def check_volumes(daemon):
    made = daemon.json("volume", "create", "thin", "data", "--size", "32M")
    assert made["size"] == 32 * MIB and made["format"] == "qcow2" and made["allocated"] < MIB, made
    assert "qcow2 volumes only" in daemon.refused(2, "volume", "create", "thin", "plain", "--size", "32M", "--format", "raw")
    assert daemon.json("volume", "grow", "thin", "data", "--size", "400M")["size"] == 400 * MIB
    entry = entries(daemon)[0]
    io(entry, "write -P 7 390M 4M")
    foreign, out = daemon.folder / "foreign.img", daemon.folder / "out.vmdk"
    foreign.write_bytes(bytes(MIB) + b"hostler!" * 1024 + bytes(3 * MIB - 8192))
    daemon.hostler("volume", "import", "thin", "in", foreign, "--from", "raw")
    daemon.hostler("volume", "export", "thin", "in", out, "--format", "vmdk")
    flat = daemon.folder / "flat.img"
    tool("qemu-img", "convert", "-O", "raw", out, flat)
    assert flat.read_bytes() == foreign.read_bytes()
    rows = {row["name"]: row for row in daemon.json("volume", "ls", "--pool", "thin")}
    assert set(rows) == {"data.qcow2", "in.qcow2"} and 4 * MIB <= rows["data.qcow2"]["allocated"] < 8 * MIB, rows
    check_even(daemon, "volumes")
    daemon.hostler("volume", "rm", "thin", "in")
    daemon.hostler("volume", "rm", "thin", "data")
    assert volumes_of_lvm() == [] and not list((daemon.state / "pools").glob("*.*"))


def check_snapshots(daemon):
    daemon.hostler("create", "vm", "memory.size=64M", "disk1.size=64M", "disk1.pool=thin")
    put(daemon, "vm", 1)
    daemon.hostler("snapshot", "create", "vm", "one")
    put(daemon, "vm", 2)
    daemon.hostler("snapshot", "create", "vm", "two")
    put(daemon, "vm", 3)
    assert len(volumes_of_lvm()) == 3
    check_even(daemon, "snapshots")
    daemon.hostler("revert", "vm", "one")
    check_holds(daemon, "vm", 1)
    daemon.hostler("revert", "vm", "two")
    check_holds(daemon, "vm", 2)
    daemon.hostler("snapshot", "rm", "vm", "one")
    check_holds(daemon, "vm", 2)


def check_clones(daemon):
    daemon.hostler("clone", "vm", "linked", "--linked")
    daemon.hostler("clone", "vm", "full", "--full")
    for name in ("linked", "full"):
        check_holds(daemon, name, 2)
    daemon.hostler("flatten", "linked")
    put(daemon, "linked", 4)
    daemon.hostler("snapshot", "rm", "vm", "two")
    for name, pattern in (("vm", 2), ("full", 2), ("linked", 4)):
        check_holds(daemon, name, pattern)
    check_even(daemon, "clones")
    for name in ("linked", "full"):
        daemon.hostler("rm", "--now", "-y", name)
    check_even(daemon, "clones are gone")


def check_live(daemon):
    """With QEMU on it, which runs no system: it opens, overlays, grows, merges and moves."""
    daemon.hostler("start", "vm")
    daemon.hostler("snapshot", "create", "vm", "live", "--disk-only")
    daemon.hostler("set", "vm", "disk1.size=500M")
    daemon.hostler("snapshot", "rm", "vm", "live")
    daemon.hostler("disk", "add", "vm", "data", "--size", "16M", "--pool", "thin")
    daemon.hostler("disk", "move", "vm", "data", "--pool", "default")
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "default")
    assert len(volumes_of_lvm()) == 0
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "thin")
    daemon.restart()
    daemon.hostler("stop", "--hard", "vm")
    daemon.hostler("disk", "rm", "vm", "data")
    check_holds(daemon, "vm", 2)
    check_even(daemon, "live")
    daemon.hostler("disk", "rm", "vm", "disk1", "--keep")
    kept = daemon.json("volume", "ls", "--pool", "thin")
    assert [row["was"] for row in kept] == ["vm/disk1"] and kept[0]["size"] == 500 * MIB, kept
    daemon.hostler("disk", "add", "vm", "disk1", "--volume", f"thin/{kept[0]['name']}")
    check_holds(daemon, "vm", 2)
    assert "disks of vm are in it" in daemon.refused(4, "pool", "rm", "thin")
    daemon.hostler("rm", "--now", "-y", "vm")
    assert volumes_of_lvm() == []


def crash(daemon, point, *words):
    daemon.stop()
    daemon.start(environment={"HOSTLER_CRASH_AT": point})
    daemon.run(*words)
    daemon.process.wait(60)
    daemon.start()
    # What was cut short is undone beside what is asked meanwhile.
    wait_until(lambda: all(job["state"] in ENDED for job in daemon.json("job", "ls")), 60, "all is undone or finished")
    check_even(daemon, point)


def check_crashes(daemon):
    for point in ("create", "place", "@end"):
        crash(daemon, f"volume.create:{point}", "volume", "create", "thin", "v", "--size", "16M")
        assert len(volumes_of_lvm()) == (point == "@end"), point
    crash(daemon, "volume.rm:delete", "volume", "rm", "thin", "v")
    assert volumes_of_lvm() == []
    # What a lvcreate that was cut off leaves: an entry that leads nowhere.
    daemon.hostler("volume", "create", "thin", "half", "--size", "16M")
    tool("lvremove", "-q", "-y", f"{GROUP}/{os.path.basename(os.readlink(entries(daemon)[0]))}")
    daemon.hostler("volume", "rm", "thin", "half")
    assert entries(daemon) == []


def check_full(daemon):
    """A write fails when it is made, and who makes a volume is told why it cannot be."""
    daemon.hostler("volume", "create", "thin", "big", "--size", "1G")
    entry = entries(daemon)[0]
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-t", "none", "-c", "write -P 1 0 300M", entry], capture_output=True, text=True)
    assert "No space left" in done.stdout + done.stderr, done
    pool = daemon.json("pool", "show", "thin")
    assert pool["used"] == 100 and pool["free"] < 2 * MIB, pool
    refusal = daemon.run("volume", "create", "thin", "more", "--size", "16M")
    assert refusal.returncode == 6 and "pool thin is full" in refusal.stderr and "lvextend" in refusal.stderr, refusal
    assert len(entries(daemon)) == 1
    check_even(daemon, "full")
    daemon.hostler("volume", "rm", "thin", "big")
    assert daemon.json("pool", "show", "thin")["used"] < 20


def check_gone(daemon):
    tool("lvchange", "-an", f"{GROUP}/thin")
    assert daemon.json("pool", "show", "thin")["state"] == "missing"
    assert "lvchange --activate y" in daemon.refused(1, "volume", "create", "thin", "x", "--size", "16M")
    tool("lvchange", "-ay", f"{GROUP}/thin")
    daemon.hostler("pool", "rm", "thin")
    assert "hostler" not in tool("lvs", "-o", "lv_tags", f"{GROUP}/thin") and not (daemon.state / "pools" / "thin").exists()


def in_a_thin_pool():
    make_thin_pool(192)
    with Daemon(images=(), environment={"HOSTLER_ACCEL": "kvm"}) as daemon:
        for check in (check_pool, check_volumes, check_snapshots, check_clones, check_live, check_crashes, check_full, check_gone):
            print(check.__name__, flush=True)
            check(daemon)


@limit(1200)
def test_in_a_thin_pool():
    if not os.environ.get("HOSTLER_TEST_LVM"):
        skip("it is run when HOSTLER_TEST_LVM is set")
    with Host(modules=("dm_thin_pool", "kvm_amd")) as host:
        host.call(in_a_thin_pool, timeout=250)
