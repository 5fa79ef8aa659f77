"""Memory that is really short: it moves from a guest that does nothing to one that starves, and nobody is killed.

The daemon and its guests run in a control group with a memory limit, which is the host to them.
"""
import contextlib
import os
import pathlib

from harness import limit, skip, wait_until
from test_allocation import memory_row

MIB = 1 << 20
HIERARCHY = pathlib.Path("/sys/fs/cgroup/memory")
CACHE = "(exec 3</dev/vda; sleep 1000) >/dev/null 2>&1 &"  # the kernel forgets a disk's blocks when nobody has it open
HUNGER = "(mkdir -p /tmp/food; mount -t tmpfs -o size=95% none /tmp/food; i=0; while [ $i -lt 45 ]; do dd if=/dev/zero of=/tmp/food/$i bs=1M count=4 2>/dev/null || exit 1; i=$((i+1)); sleep 1; done; touch /tmp/fed) >/dev/null 2>&1 &"


@contextlib.contextmanager
def memory_group(pid):
    """The group in which @pid and all that it starts from now on count together."""
    if os.getuid() != 0 or not (HIERARCHY / "memory.limit_in_bytes").exists():
        skip("limiting memory takes root and control groups of version 1")
    own = next(line.split(":", 2)[2] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line)
    group = HIERARCHY / own.lstrip("/") / f"hostler-memory-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        for left in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.procs").write_text(left)
        group.rmdir()


def used(group):
    """What cannot be dropped."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int((group / "memory.usage_in_bytes").read_text()) - int(stat["total_inactive_file"]) - int(stat["total_active_file"])


def oom_kills(group):
    words = (group / "memory.oom_control").read_text().split()
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def ballooned(daemon, name):
    return (daemon.show(name)["status"].get("guest_memory") or {}).get("ballooned", 0)


@limit(400)
def test_moves(daemon):
    with memory_group(daemon.process.pid) as group:
        for name in ("idle", "hungry"):
            daemon.create(name, "memory.size=384M", "disk0.size=1G")
        pids = [daemon.show(name)["status"]["pid"] for name in ("idle", "hungry")]
        wait_until(lambda: memory_row(daemon, "idle") and memory_row(daemon, "hungry"), 60, "they tell of their memory")
        # What a guest has free its driver gives back; a cache it keeps.
        daemon.guest("idle", "sh", "-c", CACHE)
        daemon.guest("idle", "dd", "if=/dev/vda", "of=/dev/null", "bs=1M", "count=280")
        (group / "memory.limit_in_bytes").write_text(str(used(group) + 100 * MIB))
        assert ballooned(daemon, "idle") == 0

        daemon.guest("hungry", "sh", "-c", HUNGER)
        wait_until(lambda: "short of memory" in (memory_row(daemon, "idle") or {}).get("reason", ""), 90, "the host is short")
        wait_until(lambda: ballooned(daemon, "idle") > 60 * MIB, 30, "the idle one gives within half a minute")
        wait_until(lambda: "fed" in daemon.guest("hungry", "ls", "/tmp"), 200, "180 MiB were had")
        assert [daemon.show(name)["status"]["pid"] for name in ("idle", "hungry")] == pids and oom_kills(group) == 0
        assert daemon.guest("idle", "echo", "alive") == "alive"
        assert ballooned(daemon, "idle") > ballooned(daemon, "hungry")
        events = [event["data"] for event in daemon.json("event", "ls", "--object", "vm/idle") if event["kind"] == "vm-allocation"]
        assert [event for event in events if "the host is short of memory" in event["reason"]], events
        for name in ("idle", "hungry"):
            daemon.hostler("stop", "--hard", name)
