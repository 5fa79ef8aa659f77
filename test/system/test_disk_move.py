"""Disks moved between pools: while the VM is off and while its guest goes on, cancelled, and with the daemon, or QEMU too, killed at each step."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from api import Problem
from crash import Hold, api_of, check_whole, kill_qemus, make
from harness import FOLDER, Daemon, skip, wait_until
from test_crash_steps import newest_job, run_to_crash
from test_pools import device_of, files, make_pool, read, write

MIB = 1 << 20
CRASHED_BY_HAND = ("disk.move",)


def disk(daemon, vm, name):
    return next(row for row in daemon.json("disk", "ls", vm) if row["name"] == name)


def disk_files(daemon, vm, name):
    """Every file there is of a disk, wherever it lies."""
    folder = daemon.show(vm)["id"]
    return sorted(str(path.relative_to(daemon.folder)) for form in ("qcow2", "raw") for path in daemon.folder.rglob(f"{folder}/{name}*.{form}"))


def check_counts(daemon, before):
    """A counter that the guest writes and syncs on its root disk goes on."""
    return wait_until(lambda: (count := int(daemon.guest("vm", "tail", "-n", "1", "/root/count"))) > before and count, 30)


def test_live_and_off(daemon):
    fast, slow = make_pool(daemon, "fast"), make_pool(daemon, "slow")
    daemon.create("vm", "disk1.size=64M", "disk1.format=raw", "disk1.pool=slow")
    daemon.guest("vm", "sh", "-c", "(i=0; while :; do i=$((i+1)); echo $i >> /root/count; sync; done) > /dev/null 2>&1 &")
    write(daemon, "vm", "disk1", "before")
    started = daemon.show("vm")["status"]["pid"]
    count = check_counts(daemon, 0)
    daemon.refused(3, "disk", "move", "vm", "disk0", "--pool", "none")
    daemon.refused(3, "disk", "move", "vm", "disk9", "--pool", "fast")
    assert daemon.json("disk", "move", "vm", "disk0", "--pool", "fast")["pool"] == "fast"
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "fast")
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "fast")
    count = check_counts(daemon, count)
    assert daemon.show("vm")["status"]["pid"] == started and not daemon.show("vm")["status"].get("pending")
    assert disk_files(daemon, "vm", "disk0") == [f"fast/{daemon.show('vm')['id']}/disk0.1.qcow2"], "one file is left"
    assert len(disk_files(daemon, "vm", "disk1")) == 1 and not files(slow)
    check_snapshot(daemon)
    Hold.prepare(daemon)
    daemon.restart(kill=True)
    wait_until(lambda: daemon.run("exec", "vm", "--", "true").returncode == 0, 30, "the VM is adopted")
    write(daemon, "vm", "disk1", "after")
    count = qemu_dies_at_the_end(daemon, count)
    check_off(daemon, fast, count)


def qemu_dies_at_the_end(daemon, count):
    """What the guest has had flushed is there: the copy must not be taken for the disk while QEMU has parts of it only in its memory."""
    hold, api = Hold(daemon), api_of(daemon)
    hold.at("disk.move:@commit")
    job = api.call(*request("default"))
    assert hold.wait(lambda: api.call("GET", f"/v1/jobs/{job['id']}"))
    write(daemon, "vm", "disk1", "after")
    daemon.guest("vm", "sh", "-c", "dd if=/dev/zero of=/root/big bs=64k count=64 2> /dev/null; sync")
    count = check_counts(daemon, count)
    kill_qemus(daemon)
    hold.go()
    job = api.wait_job(job)
    assert job["state"] == "failed" and "where it was" in job["error"]["detail"], job
    assert disk(daemon, "vm", "disk0")["pool"] == "fast"
    return count


def check_snapshot(daemon):
    """Snapshots hold a disk where it is; a raw one that has had some is one raw file again when it has moved."""
    daemon.hostler("snapshot", "create", "vm", "s")
    assert "snapshot s holds" in daemon.refused(4, "disk", "move", "vm", "disk1", "--pool", "slow")
    write(daemon, "vm", "disk1", "on top")
    daemon.hostler("snapshot", "rm", "vm", "s")
    assert len(disk_files(daemon, "vm", "disk1")) == 2
    daemon.hostler("disk", "move", "vm", "disk1", "--pool", "slow")
    assert [name.split("/")[0] for name in disk_files(daemon, "vm", "disk1")] == ["slow"] and disk_files(daemon, "vm", "disk1")[0].endswith(".raw")
    assert read(daemon, "vm", "disk1") == "on top"


def check_off(daemon, fast, count):
    assert daemon.power("vm") == "crashed"
    for name, pool in (("disk0", "fast"), ("disk1", "default"), ("disk1", "fast")):
        daemon.hostler("disk", "move", "vm", name, "--pool", pool)
        assert disk(daemon, "vm", name)["pool"] == pool and len(disk_files(daemon, "vm", name)) == 1
    assert len(list(fast.rglob("disk*"))) == 2
    daemon.hostler("start", "vm", "--wait", "agent")
    assert read(daemon, "vm", "disk1") == "after"
    assert int(daemon.guest("vm", "tail", "-n", "1", "/root/count")) >= count


# ---- cut off ----


def request(pool):
    return "POST", "/v1/vms/vm/disks/disk0/move", {"pool": pool}


def check_one(daemon, where):
    """One file, where the VM says."""
    check_whole(daemon)
    job = newest_job(daemon, "disk.move")
    pool = disk(daemon, "vm", "disk0")["pool"]
    found = disk_files(daemon, "vm", "disk0")
    assert len(found) == 1 and (found[0].startswith("fast/") == (pool == "fast")), f"{where}: {found} of a disk in {pool}"
    assert (pool == "fast") == (job["state"] == "done"), f"{where}: the disk is in {pool}, {job}"
    return pool


def die_at(daemon, point, with_qemu):
    first = {"@undo": "switch"}.get(point, point)
    daemon.kill()
    daemon.start(environment={"HOSTLER_CRASH_AT": f"disk.move:{first}"})
    assert run_to_crash(daemon, request("fast")) or point == "@finish", point
    if with_qemu:
        kill_qemus(daemon)
    if point == "@undo":
        daemon.spawn(environment={"HOSTLER_CRASH_AT": "disk.move:@undo"})
        daemon.process.wait(60)
    elif daemon.process.poll() is None:
        daemon.kill()
    daemon.start()


def test_killed_at_each_step():
    with Daemon(images=()) as daemon:
        make_pool(daemon, "fast")
        for round in ("running", "off", "with its QEMU"):
            make(daemon, "vm", start=round != "off")
            for point in ("copy", "switch", "@undo", "@commit", "@finish", "@end"):
                pid = daemon.show("vm")["status"].get("pid")
                die_at(daemon, point, round == "with its QEMU")
                where = f"{round}, after a crash at {point}"
                if check_one(daemon, where) != "fast":
                    api_of(daemon).job(*request("fast"))
                    assert check_one(daemon, where) == "fast"
                if round == "with its QEMU":
                    daemon.hostler("start", "vm")
                else:
                    assert daemon.show("vm")["status"].get("pid") == pid, where
                api_of(daemon).job(*request("default"))
            daemon.hostler("stop", "--hard", "vm") if round != "off" else None
            daemon.hostler("rm", "--now", "-y", "vm")


def test_cancelled_and_without_space():
    """A copy that is cut off leaves the disk where it was, and nothing of itself."""
    if os.geteuid() != 0:
        skip("no file system can be mounted here")
    with Daemon(images=()) as daemon:
        folder = make_pool(daemon, "fast")
        make(daemon, "vm", disk0={"size": 256 * MIB})
        small = daemon.folder / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "none", small], check=True)
        try:
            daemon.hostler("pool", "create", "small", "--path", small)
            daemon.hostler("stop", "--hard", "vm")
            head = daemon.state / "vms" / daemon.show("vm")["id"] / "disk0.qcow2"
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 192M", head], check=True, capture_output=True)
            for live in (False, True):
                if live:
                    daemon.hostler("start", "vm")
                daemon.refused(1, "disk", "move", "vm", "disk0", "--pool", "small")
                assert len(disk_files(daemon, "vm", "disk0")) == 1 and not list(small.rglob("disk*")), disk_files(daemon, "vm", "disk0")
                assert disk(daemon, "vm", "disk0")["pool"] == "default"
            cancel_move(daemon)
            assert not list(folder.rglob("disk*"))
            daemon.hostler("disk", "move", "vm", "disk0", "--pool", "fast")
            daemon.hostler("stop", "--hard", "vm")
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 192M", *folder.rglob("disk0*")], check=True, capture_output=True)
        finally:
            subprocess.run(["umount", "-l", small], check=True)


def cancel_move(daemon):
    api = api_of(daemon)
    daemon.hostler("set", "vm", "disk0.bandwidth=1M")
    job = api.call(*request("fast"))["id"]
    with contextlib.suppress(Problem):
        api.call("POST", f"/v1/jobs/{job}/cancel")
    api.settle()
    where = disk(daemon, "vm", "disk0")["pool"]
    if where == "fast":
        api.job(*request("default"))
    assert len(disk_files(daemon, "vm", "disk0")) == 1


# ---- file systems that share blocks ----


@contextlib.contextmanager
def xfs():
    """The folder of an XFS in a file."""
    if not shutil.which("mkfs.xfs"):
        skip("there is no mkfs.xfs (package xfsprogs)")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        image, place = pathlib.Path(folder) / "xfs.img", pathlib.Path(folder) / "xfs"
        with open(image, "wb") as file:
            file.truncate(400 * MIB)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
        place.mkdir()
        if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True).returncode != 0:
            skip("no XFS can be mounted from a file here")
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def shared(path):
    """Whether all its data lies in blocks that other files have too."""
    lines = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True).stdout.splitlines()
    extents = [line for line in lines if line.strip()[:1].isdigit() and ".." in line]
    return bool(extents) and all("shared" in line for line in extents)


def test_copies_share_blocks_where_they_can():
    """On XFS a full clone takes no space; across file systems what is a hole stays one."""
    with xfs() as place, Daemon(images=()) as daemon:
        daemon.hostler("pool", "create", "xfs", "--path", place)
        make_pool(daemon, "fast")
        make(daemon, "vm", start=False, disk0={"size": 512 * MIB, "format": "raw", "pool": "xfs"}, disk1={"size": 64 * MIB, "pool": "xfs"})
        source = next(place.rglob("disk0.raw"))
        with open(source, "r+b") as file:
            file.seek(100 * MIB)
            file.write(b"\x07" * 150 * MIB)
        daemon.hostler("clone", "vm", "copy", "--full")
        clone = place / daemon.show("copy")["id"] / "disk0.raw"
        assert shared(clone) and shared(source) and disk(daemon, "copy", "disk0")["allocated"] >= 150 * MIB, "two of 150 MiB do not fit in otherwise"
        with open(clone, "r+b") as file:
            file.write(b"\x08" * MIB)
        daemon.hostler("disk", "move", "vm", "disk0", "--pool", "fast")
        moved = disk(daemon, "vm", "disk0")
        assert 150 * MIB <= moved["allocated"] < 152 * MIB and moved["size"] == 512 * MIB, moved
        data = next((daemon.folder / "fast").rglob("disk0*.raw")).read_bytes()
        assert data == bytes(100 * MIB) + b"\x07" * 150 * MIB + bytes(262 * MIB)
