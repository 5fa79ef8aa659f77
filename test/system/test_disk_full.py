"""The state folder's file system is full, or fails, in the middle of what needs it: it is said, all is as before, and it works once it can."""
import contextlib
import fcntl
import os
import pathlib
import struct
import subprocess
import time

from api import ENDED
from crash import Hold, api_of, check_whole, find, make
from harness import Daemon, limit, skip, wait_until
from test_disk_move import xfs

MIB = 1 << 20
SHUT_DOWN, AT_ONCE = 0x8004587D, 2  # an ioctl of XFS: from now on whoever reads or writes gets an I/O error
FREEZE, THAW = 0xC0045877, 0xC0045878
REASONS = ("No space left", "are free", "may need")


@contextlib.contextmanager
def small_file_system(mib, images=()):
    """A daemon whose state folder is a file system of its own, and a function that leaves so much of it free."""
    with Daemon(images=(), start=False) as daemon:
        daemon.state.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}M", "none", daemon.state], capture_output=True).returncode != 0:
            skip("no file system can be mounted here")
        try:
            daemon.give_images(images)
            Hold.prepare(daemon)
            daemon.start()
            yield daemon, lambda free: fill(daemon.state, free)
            for vm in daemon.json("ls"):
                daemon.run("stop", "--hard", vm["name"])
            daemon.stop()
        finally:
            subprocess.run(["umount", "-l", daemon.state], check=True)


def fill(folder, free_mib):
    """All but so many MiB; None: nothing."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    if free_mib is None:
        return
    space = subprocess.run(["df", "--output=avail", "-B1", folder], capture_output=True, text=True, check=True).stdout.split()[1]
    with open(filler, "wb") as file:
        for _ in range(int(space) // MIB - free_mib):
            file.write(bytes(MIB))


def put(daemon, vm, pattern, mib=40):
    """Data on the disk of a VM that is off."""
    head = sorted((daemon.state / "vms" / find(daemon, vm)["id"]).glob("disk0*.qcow2"), key=lambda path: path.stat().st_mtime_ns)[-1]
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 {mib}M", head], check=True, capture_output=True)


def reads(daemon, vm, pattern, mib=40):
    history = sorted((daemon.state / "vms" / find(daemon, vm)["id"]).glob("disk0*.qcow2"), key=lambda path: path.stat().st_mtime_ns)
    done = subprocess.run(["qemu-io", "-r", "-f", "qcow2", "-c", f"read -P {pattern} 0 {mib}M", history[-1]], capture_output=True, text=True)
    return done.returncode == 0 and "failed" not in done.stdout


def refused(daemon, *words):
    done = daemon.run(*words)
    assert done.returncode != 0 and any(reason in done.stderr for reason in REASONS), f"{words}: {done.returncode} {done.stdout}{done.stderr}"


@limit(300)
def test_copies_and_merges():
    with small_file_system(240) as (daemon, leave):
        make(daemon, "web1", start=False, disk0={"size": 64 * MIB})
        put(daemon, "web1", 17)
        leave(20)
        refused(daemon, "clone", "web1", "full", "--full")
        check_whole(daemon)
        assert not find(daemon, "full") and reads(daemon, "web1", 17)
        leave(None)
        daemon.hostler("clone", "web1", "full", "--full")
        assert reads(daemon, "full", 17)
        daemon.hostler("rm", "full", "--now")
        # A linked clone that is made independent.
        daemon.hostler("clone", "web1", "linked")
        leave(20)
        refused(daemon, "flatten", "linked")
        check_whole(daemon)
        leave(None)
        daemon.hostler("flatten", "linked")
        assert reads(daemon, "linked", 17)
        daemon.hostler("rm", "linked", "--now")
        # A merge on removing a snapshot.
        daemon.hostler("snapshot", "create", "web1", "one")
        put(daemon, "web1", 18, 4)
        leave(20)
        refused(daemon, "snapshot", "rm", "web1", "one")
        leave(None)
        daemon.hostler("snapshot", "create", "web1", "two")
        daemon.hostler("snapshot", "rm", "web1", "two")
        check_whole(daemon)
        assert reads(daemon, "web1", 18, 4)


@limit(300)
def test_memory_is_not_begun_to_be_written():
    with small_file_system(240) as (daemon, leave):
        make(daemon, "web1", memory={"size": 64 * MIB}, nic0=None)
        pid = find(daemon, "web1")["status"]["pid"]
        leave(40)
        for words in (("suspend", "web1"), ("snapshot", "create", "web1", "one"), ("clone", "web1", "ci1", "--instant")):
            refused(daemon, *words)
            vm = find(daemon, "web1")
            assert vm["status"]["power"] == "running" and vm["status"]["pid"] == pid
        check_whole(daemon)
        assert [vm["name"] for vm in api_of(daemon).call("GET", "/v1/vms")] == ["web1"] and not daemon.json("snapshot", "ls", "web1")
        leave(None)
        daemon.hostler("suspend", "web1")
        # A state that was damaged on disk is refused, and the VM can still boot.
        state, = (daemon.state / "vms").glob("*/memory.state")
        with open(state, "r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        assert "damaged" in daemon.refused(1, "resume", "web1")
        assert "stop web1 --hard" in daemon.refused(1, "start", "web1")
        daemon.hostler("stop", "web1", "--hard")
        daemon.hostler("start", "web1")


def fails_for_space(daemon, leave, point, method, path, body):
    """The file system is full from the moment on when the job comes to the point; then there is space again."""
    hold, api = Hold(daemon), api_of(daemon)
    hold.at(point)
    job = api.call(method, path, body)
    assert hold.wait(lambda: api.call("GET", f"/v1/jobs/{job['id']}")), f"{point}: {api.wait_job(job)}"
    leave(1)
    hold.go()
    job = api.wait_job(job)
    assert job["state"] == "failed", f"{point}: {job}"
    print(point, job["error"])
    leave(None)
    return job


def give_up_while_the_guest_goes_on(daemon, snapshot):
    """QEMU is made to give up writing behind a guest that runs, by a cancel and by the end of the daemon."""
    for end in ("cancel", "kill"):
        hold, api = Hold(daemon), api_of(daemon)
        hold.at("snapshot.create:memory")
        job = api.call(*snapshot)
        assert hold.wait(lambda: api.call("GET", f"/v1/jobs/{job['id']}"))
        if end == "cancel":
            api.call("DELETE", f"/v1/jobs/{job['id']}")
        hold.go()
        if end == "kill":
            time.sleep(0.02)
            daemon.restart(kill=True)
        api = api_of(daemon)
        assert api.wait_job(api.call("GET", f"/v1/jobs/{job['id']}"))["state"] in ("cancelled", "failed")
        daemon.hostler("wait", "web1", "agent")
        assert daemon.guest("web1", "echo", "alive") == "alive" and not daemon.json("snapshot", "ls", "web1"), end


@limit(400)
def test_memory_that_does_not_fit():
    with small_file_system(640, images=("tiny",)) as (daemon, leave):
        pid = daemon.create("web1", "memory.size=192M")["status"]["pid"]
        uptime = lambda: float(daemon.guest("web1", "cut", "-d ", "-f1", "/proc/uptime"))
        suspend = ("POST", "/v1/vms/web1/suspend", {})
        snapshot = ("POST", "/v1/vms/web1/snapshots", {"name": "one"})
        clone = ("POST", "/v1/vms/web1/clone", {"names": ["ci1", "ci2"], "instant": True})
        for point, request in (("vm.suspend:save", suspend), ("snapshot.create:files", snapshot), ("vm.clone:freeze", clone), ("vm.clone:mould", clone)):
            before = uptime()
            fails_for_space(daemon, leave, point, *request)
            check_whole(daemon)
            vm = find(daemon, "web1")
            assert vm["status"]["power"] == "running" and vm["status"]["pid"] == pid and uptime() > before, point
            assert [vm["name"] for vm in api_of(daemon).call("GET", "/v1/vms")] == ["web1"] and not daemon.json("snapshot", "ls", "web1"), point
        give_up_while_the_guest_goes_on(daemon, snapshot)
        check_whole(daemon)
        before = uptime()
        for request in (snapshot, clone, suspend):
            api_of(daemon).job(*request)
        daemon.hostler("resume", "web1", "--wait", "agent")
        assert uptime() > before and daemon.power("ci2") == "running"


# ---- a file system that fails ----


def written(pid):
    """How much of a guest's memory QEMU has written to a file."""
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor).endswith(".state"):
                return int((pathlib.Path(f"/proc/{pid}/fdinfo") / descriptor.name).read_text().split()[1])
    return 0


def control(place, request):
    folder = os.open(place, os.O_RDONLY)
    fcntl.ioctl(folder, request, struct.pack("I", AT_ONCE))
    os.close(folder)


@contextlib.contextmanager
def shut_down(place):
    """From now on there are errors."""
    control(place, SHUT_DOWN)
    yield


@contextlib.contextmanager
def frozen(place):
    """Within, whoever writes waits, and hears nothing."""
    control(place, FREEZE)
    try:
        yield
    finally:
        control(place, THAW)


def kept_apart(pid):
    """How often QEMU keeps, or has kept and forgotten about, a moment of its guest's memory apart."""
    count = 0
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(descriptor) == "anon_inode:[userfaultfd]"
    return count


@contextlib.contextmanager
def mounted(place, folder):
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", place, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# Writes some MiB again and again, more than once in each of the times that a pass over memory takes.
BUSY = "(while [ ! -e /tmp/m/still ]; do dd if=/tmp/m/x of=/tmp/m/y bs=1M count=8 conv=notrunc; done) > /dev/null 2>&1 &"


def uptime(daemon):
    return float(daemon.guest("web1", "cut", "-d ", "-f1", "/proc/uptime"))


def check_goes_on(daemon, pid):
    """Also where its memory was kept from being written."""
    daemon.hostler("wait", "web1", "agent")
    before = uptime(daemon)
    wait_until(lambda: uptime(daemon) > before, 10, "the guest goes on")
    daemon.guest("web1", "sh", "-c", "dd if=/dev/zero of=/tmp/m/z bs=1M count=10 2> /dev/null; sync; rm /tmp/m/z; md5sum -c /root/sum")
    assert daemon.power("web1") == "running" and daemon.show("web1")["status"]["pid"] == pid and not daemon.json("snapshot", "ls", "web1")


def fails_while_memory_is_written(daemon, place, pid, behind, failing, words):
    """A snapshot of a guest that is busy (@behind) or not, of whose memory no more can be written than some."""
    daemon.guest("web1", "sh", "-c", f"rm -f /tmp/m/still; {BUSY}" if behind else "touch /tmp/m/still")
    api, before = api_of(daemon), kept_apart(pid)
    job = api.call("POST", "/v1/vms/web1/snapshots", {"name": "one"})
    there = lambda: written(pid) > 8 * MIB and (kept_apart(pid) > before) == behind
    wait_until(lambda: there() or api.call("GET", f"/v1/jobs/{job['id']}")["state"] in ENDED, 60, "memory is written", every=0.001)
    with failing(place):
        job = api.wait_job(job)
        assert job["state"] == "failed" and words in job["error"]["detail"], job
        check_goes_on(daemon, pid)
    print(f"behind: {behind}", job["error"])


@limit(400)
def test_memory_that_cannot_be_written(daemon):
    """By an error, and without one; ahead of the guest, and behind one that changes memory faster than it is written. QEMU 7.2
    leaves pages protected that it could not write behind its guest, and that waiting for them, and then cannot write ahead any more: it is helped on."""
    vm = daemon.create("web1", "memory.size=192M")
    pid, folder = vm["status"]["pid"], daemon.state / "vms" / vm["id"] / "snapshots"
    daemon.guest("web1", "sh", "-c", "mkdir -p /tmp/m; mount -t tmpfs none /tmp/m; dd if=/dev/urandom of=/tmp/m/x bs=1M count=20 2> /dev/null; md5sum /tmp/m/x > /root/sum; sync")
    error = "Input/output error"
    for rounds in (((True, frozen, "memory cannot be written"), (False, frozen, "memory cannot be written"), (True, shut_down, error)), ((False, shut_down, error),)):
        with xfs() as place, mounted(place, folder):
            # So slow that a guest can be quicker.
            subprocess.run(["mount", "-o", "remount,sync", place], check=True)
            for behind, failing, words in rounds:
                fails_while_memory_is_written(daemon, place, pid, behind, failing, words)
                if failing is frozen:
                    wait_until(lambda: not list(folder.iterdir()), 10, "what could not be removed is, once it can be")
    check_whole(daemon)
    # It can be asked again, and the guest's disk is one whole.
    daemon.hostler("snapshot", "create", "web1", "one")
    daemon.hostler("revert", "web1", "one")
    daemon.hostler("wait", "web1", "agent")
    daemon.guest("web1", "md5sum", "-c", "/root/sum")
