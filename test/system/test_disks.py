"""Disks: added and removed live, found in the guest by their serial numbers, kept where that was asked for."""
from harness import wait_until


def sectors(daemon, vm):
    """{serial: sectors} of the guest's disks."""
    lines = daemon.guest(vm, "sh", "-c", 'for d in /sys/block/vd*; do echo "$(cat $d/serial) $(cat $d/size)"; done').splitlines()
    return {serial: int(size) for serial, size in (line.split() for line in lines)}


def device(daemon, vm, serial):
    return daemon.guest(vm, "sh", "-c", f'for d in /sys/block/vd*; do [ "$(cat $d/serial)" != {serial} ] || echo /dev/${{d##*/}}; done')


def test_add_use_and_remove_live(daemon):
    daemon.create("web1")
    added = daemon.json("disk", "add", "web1", "--size", "32M")
    assert added["name"] == "disk1" and added["state"] == "attached" and added["size"] == 32 << 20
    wait_until(lambda: sectors(daemon, "web1").get("disk1") == 32 * 2048, 10)
    path = device(daemon, "web1", "disk1")
    daemon.guest("web1", "sh", "-c", f"mke2fs {path} > /dev/null 2>&1 && mount {path} /mnt && echo data > /mnt/note && umount /mnt")
    daemon.hostler("disk", "add", "web1", "data", "--size", "16M")
    wait_until(lambda: "data" in sectors(daemon, "web1"), 10)
    assert {disk["name"]: disk["state"] for disk in daemon.json("disk", "ls", "web1")} == {
        "disk0": "attached", "disk1": "attached", "data": "attached"}
    daemon.hostler("disk", "rm", "web1", "data")
    wait_until(lambda: "data" not in sectors(daemon, "web1"), 10)
    assert not list(daemon.state.glob("vms/*/data*")) and "data" not in daemon.show("web1")["spec"]
    # The slot is free again, and what is on the other disk outlives a start.
    daemon.hostler("disk", "add", "web1", "data", "--size", "8M")
    wait_until(lambda: sectors(daemon, "web1").get("data") == 8 * 2048, 10)
    daemon.hostler("restart", "web1", "--wait", "agent")
    daemon.hostler("stop", "web1")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert sectors(daemon, "web1").keys() == {"disk0", "disk1", "data"}
    assert daemon.guest("web1", "sh", "-c", f"mount {device(daemon, 'web1', 'disk1')} /mnt && cat /mnt/note") == "data"


def test_while_off_and_kept(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert daemon.json("disk", "add", "web1", "--size", "8M")["state"] == "stored"
    assert [disk["image"] for disk in daemon.json("disk", "ls", "web1") if disk["name"] == "disk0"] == ["tiny"]
    daemon.hostler("disk", "rm", "web1", "disk1", "--keep")
    assert [disk["name"] for disk in daemon.json("disk", "ls", "web1")] == ["disk0"]
    assert list(daemon.state.rglob("*disk1*.qcow2")), "the volume was to be kept"


def test_refusals(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "disk0" in daemon.refused(4, "disk", "add", "web1", "disk0", "--size", "8M")
    assert "disk7" in daemon.refused(3, "disk", "rm", "web1", "disk7")
    daemon.refused(3, "disk", "rm", "web1", "nic0")
    daemon.refused(2, "disk", "add", "web1", "--size", "1000001")
    daemon.refused(2, "disk", "add", "web1", "--size", "100P")
    daemon.refused(2, "disk", "add", "web1", "Bad,Name", "--size", "8M")
    daemon.refused(2, "disk", "add", "web1")
    assert [disk["name"] for disk in daemon.json("disk", "ls", "web1")] == ["disk0"]
    assert not [path for path in daemon.state.glob("vms/*/*.qcow2") if path.name != "disk0.qcow2"]


def test_a_disk_the_guest_uses_can_be_added_many_times(daemon):
    """More disks than one start has: every one is seen, in its own slot, and all go again."""
    daemon.create("web1")
    for number in range(1, 7):
        daemon.hostler("disk", "add", "web1", "--size", f"{number}M")
    wait_until(lambda: len(sectors(daemon, "web1")) == 7, 20)
    assert {f"disk{number}": number * 2048 for number in range(1, 7)}.items() <= sectors(daemon, "web1").items()
    for number in range(1, 7):
        daemon.hostler("disk", "rm", "web1", f"disk{number}")
    wait_until(lambda: sectors(daemon, "web1").keys() == {"disk0"}, 20)


def test_a_read_only_disk_cannot_be_written(daemon):
    daemon.create("web1", "disk1.size=8M", "disk1.readonly=on")
    assert daemon.guest("web1", "cat", "/sys/block/vdb/ro") == "1"
    assert daemon.run("exec", "web1", "--", "dd", "if=/dev/zero", "of=/dev/vdb", "count=1").returncode != 0
