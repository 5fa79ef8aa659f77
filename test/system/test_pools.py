"""Pools: disks of guests in other places than the state folder, through snapshots, clones and restarts; and what happens when a place is full."""
import contextlib
import subprocess

from harness import skip, wait_until

MIB = 1 << 20


def pool(daemon, name):
    return next((entry for entry in daemon.json("pool", "ls") if entry["name"] == name), None)


def files(folder):
    return sorted(path.name for path in folder.rglob("*.qcow2"))


def volumes(daemon, pool):
    return {(row["name"], row.get("vm"), row.get("disk")) for row in daemon.json("volume", "ls", "--pool", pool)}


def device_of(daemon, vm, disk):
    """/dev/NAME of a disk, by its serial number."""
    return wait_until(lambda: daemon.guest(vm, "sh", "-c", f"for d in /sys/block/vd*; do [ $(cat $d/serial) != {disk} ] || echo /dev/${{d##*/}}; done"), 30)


def write(daemon, vm, disk, text):
    path = device_of(daemon, vm, disk)
    daemon.guest(vm, "sh", "-c", f"echo '{text}' > /tmp/w && dd if=/tmp/w of={path} bs=4096 conv=sync,fsync 2>/dev/null")


def read(daemon, vm, disk):
    path = device_of(daemon, vm, disk)
    return daemon.guest(vm, "sh", "-c", f"dd if={path} bs=4096 count=1 iflag=direct 2>/dev/null | head -n 1")


def make_pool(daemon, name):
    folder = daemon.folder / name
    folder.mkdir()
    daemon.hostler("pool", "create", name, "--path", folder)
    return folder


def check_snapshots(daemon, folder):
    """Layers are where the disk is; going back and merging keep what was written."""
    write(daemon, "vm", "disk1", "first")
    daemon.hostler("snapshot", "create", "vm", "one")
    assert "disk1.1.qcow2" in files(folder) and not list(daemon.state.rglob("disk1*.qcow2"))
    write(daemon, "vm", "disk1", "second")
    daemon.hostler("revert", "vm", "one")
    assert read(daemon, "vm", "disk1") == "first"
    write(daemon, "vm", "disk1", "third")
    daemon.hostler("snapshot", "rm", "vm", "one")
    assert read(daemon, "vm", "disk1") == "third"
    assert len([row for row in volumes(daemon, "fast") if row[1] == "vm"]) == 2, "merged into one layer each"


def check_clones(daemon, folder):
    daemon.hostler("clone", "vm", "linked", "--linked")
    daemon.hostler("clone", "vm", "full", "--full")
    for name in ("linked", "full"):
        assert (folder / daemon.show(name)["id"] / "disk1.qcow2").exists()
        daemon.hostler("start", name, "--wait", "agent")
        assert read(daemon, name, "disk1") == "third", name
        write(daemon, name, "disk1", name)
        daemon.hostler("rm", "--now", "-y", name)
    assert read(daemon, "vm", "disk1") == "third"
    assert {row[1] for row in volumes(daemon, "fast")} == {"vm"} and len(list(folder.iterdir())) == 2


def test_disks_live_in_a_pool(daemon):
    folder = make_pool(daemon, "fast")
    assert pool(daemon, "default")["state"] == pool(daemon, "fast")["state"] == "ready"
    assert "already" in daemon.refused(4, "pool", "create", "other", "--path", folder)
    assert "no pool" in daemon.refused(2, "create", "no", "--image", "tiny", "disk0.pool=slow")
    daemon.create("vm", "disk1.size=16M", "disk1.pool=fast")
    daemon.hostler("disk", "add", "vm", "data", "--size", "32M", "--pool", "fast")
    assert files(folder) == ["data.qcow2", "disk1.qcow2"] and pool(daemon, "fast")["volumes"] == 2
    write(daemon, "vm", "data", "on data")
    assert "disks of vm are in it" in daemon.refused(4, "pool", "rm", "fast")
    check_snapshots(daemon, folder)
    check_clones(daemon, folder)
    daemon.restart()
    daemon.hostler("restart", "vm", "--wait", "agent")
    assert read(daemon, "vm", "data") == "on data" and read(daemon, "vm", "disk1") == "third"
    daemon.hostler("disk", "rm", "vm", "data")
    assert not any(name.startswith("data") for name in files(folder))
    daemon.hostler("rm", "-y", "--keep-disks", "vm")
    kept = [row for row in volumes(daemon, "fast")]
    assert len(kept) == 1 and kept[0][1:] == (None, None) and kept[0][0].startswith("vm-"), kept
    assert "no VM has" in daemon.refused(4, "pool", "rm", "fast")
    daemon.hostler("volume", "rm", "fast", kept[0][0])
    daemon.hostler("pool", "rm", "fast")
    assert pool(daemon, "fast") is None and not (folder / ".hostler-pool").exists()


def test_a_place_that_is_not_mounted_gets_no_volumes(daemon):
    folder = make_pool(daemon, "share")
    daemon.hostler("create", "vm", "--image", "tiny")
    folder.rename(daemon.folder / "elsewhere")
    folder.mkdir()
    assert pool(daemon, "share")["state"] == "missing"
    assert "mount" in daemon.refused(1, "disk", "add", "vm", "data", "--size", "1M", "--pool", "share")
    assert list(folder.iterdir()) == [] and [disk["name"] for disk in daemon.json("disk", "ls", "vm")] == ["disk0"]
    folder.rmdir()
    (daemon.folder / "elsewhere").rename(folder)
    daemon.hostler("disk", "add", "vm", "data", "--size", "1M", "--pool", "share")
    assert files(folder) == ["data.qcow2"]
    folder.rename(daemon.folder / "elsewhere")
    folder.mkdir()
    refusal = daemon.refused(1, "start", "vm")
    assert "data cannot be had: pool share is not there" in refusal and f"mount what belongs at {folder}" in refusal, refusal
    assert daemon.power("vm") == "off"
    folder.rmdir()
    (daemon.folder / "elsewhere").rename(folder)
    next(folder.rglob("data.qcow2")).rename(daemon.folder / "lost")
    assert "the volume of data is missing" in daemon.refused(1, "start", "vm")


@contextlib.contextmanager
def small_pool(daemon, mib):
    """A pool whose file system holds so much, of which two thirds are taken; and what takes them."""
    folder = daemon.folder / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}M", "none", folder], capture_output=True).returncode != 0:
        skip("no file system can be mounted here")
    try:
        daemon.hostler("pool", "create", "small", "--path", folder)
        filler = folder / "filler"
        filler.write_bytes(bytes(mib * MIB * 2 // 3))
        yield filler
        daemon.hostler("stop", "--hard", "vm")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def condition(daemon):
    return next((row["detail"] for row in daemon.show("vm")["status"].get("conditions", []) if row["type"] == "pool-full"), None)


def marks(daemon):
    return [event["data"]["mark"] for event in daemon.json("event", "ls", "--object", "pool/small") if event["kind"] == "pool-space"]


def resize(file, size):
    """Without being small in between."""
    with open(file, "ab") as opened:
        opened.write(bytes(max(0, size - file.stat().st_size)))
        opened.truncate(size)


def check_marks(daemon, filler):
    """Told of once on the way up, once on the way down."""
    size = pool(daemon, "small")["size"]
    for percent, mark in ((85, 80), (92, 90), (99, 95), (10, 0)):
        resize(filler, size * percent // 100)
        wait_until(lambda: (marks(daemon) or [None])[-1] == mark, 30, f"mark {mark} at {percent} %: {marks(daemon)}")
    assert marks(daemon) == [80, 90, 95, 0], marks(daemon)


def check_written(daemon, path):
    assert daemon.guest("vm", "cat", "/tmp/done") == "0"
    assert daemon.guest("vm", "sh", "-c", f"dd if={path} bs=1M count=40 iflag=direct 2>/dev/null | tr -d x | wc -c") == "0"


def test_a_full_pool_makes_the_guest_wait_for_space(daemon):
    daemon.create("vm")
    with small_pool(daemon, 60) as filler:
        check_marks(daemon, filler)
        filler.write_bytes(bytes(40 * MIB))
        daemon.hostler("disk", "add", "vm", "data", "--size", "64M", "--pool", "small")
        path = device_of(daemon, "vm", "data")
        daemon.guest("vm", "sh", "-c", f"(tr '\\0' x < /dev/zero | dd of={path} bs=1M count=40 iflag=fullblock conv=fsync; echo $? > /tmp/done) > /dev/null 2>&1 &")
        wait_until(lambda: daemon.power("vm") == "paused", 60, "the guest stands still")
        assert "pool small" in condition(daemon) and "data" in condition(daemon), condition(daemon)
        assert pool(daemon, "small")["used"] > 95
        told = [event["data"] for event in daemon.json("event", "ls") if event["kind"] == "vm-condition" and event["data"]["type"] == "pool-full"]
        assert told and told[-1]["present"] and "small" in told[-1]["detail"], told
        daemon.restart(kill=True)
        wait_until(lambda: "pool small has no space left for data" in (condition(daemon) or ""), 30, "the next daemon knows why it stands still")
        filler.unlink()
        wait_until(lambda: daemon.power("vm") == "running", 60, "the guest goes on by itself")
        wait_until(lambda: daemon.run("exec", "vm", "--", "cat", "/tmp/done").returncode == 0, 60, "it has written all")
        check_written(daemon, path)
        assert condition(daemon) is None
