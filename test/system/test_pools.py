"""Pools: disks of guests in other places than the state folder, through snapshots, clones and restarts; and what happens when a place is full."""
from harness import wait_until


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
    assert "kept" in daemon.refused(4, "pool", "rm", "fast")
    (folder / "volumes" / kept[0][0]).unlink()
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
