"""Who gets how much of the processors: shares, reservation and limit, measured by the kernel's own count of each QEMU's time."""
import json
import os
import pathlib
import time

from harness import Daemon, limit, skip, wait_until

BUSY = "while :; do :; done >/dev/null 2>&1 &"
TICKS = os.sysconf("SC_CLK_TCK")
MEASURE_S = 16


def group_of(pid):
    """Folder of the control group (of processors) that a process is in; None where there is none of ours."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return pathlib.Path("/sys/fs/cgroup/cpu" + path)
        if number == "0" and pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return pathlib.Path("/sys/fs/cgroup" + path)
    return None


def used_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(pids, seconds=MEASURE_S):
    """Processors that each had, over some time."""
    before, began = [used_s(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [(used_s(pid) - start) / passed for pid, start in zip(pids, before)]


def explain(daemon, name):
    """What came out for it; nothing before the first round."""
    done = daemon.run("explain", name, "-o", "json")
    return json.loads(done.stdout)[0] if done.returncode == 0 else {}


def bound_all(group, processors):
    """The operator's own limit for all VMs together."""
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{int(processors * 100000)} 100000")
    else:
        (group / "cpu.cfs_quota_us").write_text(str(int(processors * 100000)))


def busy_pair(daemon):
    """Two guests that compute; their pids and the group that holds both. Skips where groups cannot be made."""
    for name in ("one", "two"):
        daemon.create(name, "memory.size=128M")
    pids = [daemon.show(name)["status"]["pid"] for name in ("one", "two")]
    check = next(check for check in daemon.json("doctor") if check["name"] == "allocation")
    if not check["ok"]:
        skip(check["detail"])
    wait_until(lambda: group_of(pids[0]).parent == group_of(pids[1]).parent and group_of(pids[0]).parent.name.startswith("hostler-"))
    for name in ("one", "two"):
        daemon.guest(name, "sh", "-c", BUSY)
    return pids, group_of(pids[0]).parent


@limit(400)
def test_shares_reservation_limit(daemon):
    pids, group = busy_pair(daemon)
    bound_all(group, 0.8)

    # Twice the shares, twice the time.
    daemon.hostler("set", "one", "cpu.shares=high")
    wait_until(lambda: "ceiling" in explain(daemon, "one") and "ceiling" in explain(daemon, "two"), 60, "both are short")
    wait_until(lambda: abs(explain(daemon, "one")["ceiling"] / explain(daemon, "two")["ceiling"] - 2) < 0.3, 60)
    one, two = measure(pids)
    assert 1.7 < one / two < 2.3, f"shares 2:1 gave {one:.3f} and {two:.3f} processors"
    assert one + two < 0.8 * 1.1, "the operator's limit holds"
    told = explain(daemon, "one")
    assert told["enforced"] and told["shares"] == 2000 and told["price"] > 0 and "2000 of 3000 shares" in told["reason"], told
    events = [event for event in daemon.json("event", "ls", "--object", "vm/two") if event["kind"] == "vm-allocation"]
    assert events and "shares" in events[-1]["data"]["reason"] and events[-1]["data"]["ceiling"] < 0.5, events

    # A reservation holds whatever the neighbour's shares are.
    daemon.hostler("set", "two", "cpu.reservation=60")
    wait_until(lambda: abs(explain(daemon, "two").get("ceiling", 0) - 0.6) < 0.06, 60)
    one, two = measure(pids)
    assert two > 0.6 * 0.9 and one < 0.3, f"60 % were reserved: {one:.3f} and {two:.3f} processors"

    # A limit is one even where nobody else wants anything.
    daemon.hostler("stop", "--hard", "one")
    bound_all(group, 2)
    daemon.hostler("set", "two", "cpu.reservation=", "cpu.limit=30", "cpu.shares=")
    wait_until(lambda: explain(daemon, "two").get("ceiling") == 0.3, 60)
    (two,) = measure(pids[1:], 8)
    assert 0.2 < two < 0.3 * 1.05, f"limited to 30 %: {two:.3f} processors"

    # Settings and groups are found again by the next daemon, and go with the VM.
    mine = group_of(pids[1])
    daemon.restart(kill=True)
    wait_until(lambda: explain(daemon, "two").get("enforced"))
    assert group_of(pids[1]) == mine
    daemon.hostler("stop", "--hard", "two")
    wait_until(lambda: not mine.exists())
    daemon.stop()
    assert not group.exists(), "the groups are removed"


@limit(200)
def test_admission(daemon):
    cpus = len(os.sched_getaffinity(0))
    daemon.hostler("create", "greedy", "--image", "tiny", f"cpu.count={cpus + 1}", f"cpu.reservation={cpus * 100 + 1}", "memory.size=128M")
    said = daemon.refused(6, "start", "greedy")
    assert f"reservation of {cpus * 100 + 1} %" in said and f"the host has {cpus * 100} %" in said, said
    daemon.hostler("set", "greedy", "cpu.reservation=100")
    daemon.hostler("start", "greedy")
    daemon.hostler("create", "late", "--image", "tiny", f"cpu.count={cpus}", f"cpu.reservation={cpus * 100}", "memory.size=128M")
    said = daemon.refused(6, "start", "late")
    assert "greedy: 100 %" in said, said
    assert daemon.power("late") == "off"
    daemon.hostler("create", "memo", "--image", "tiny", "memory.size=64M")
    assert "more than memory.size" in daemon.refused(2, "set", "memo", "memory.reservation=66M")
    assert "more than its 1 processors" in daemon.refused(2, "set", "memo", "cpu.reservation=101")
    assert "less than cpu.reservation" in daemon.refused(2, "set", "memo", "cpu.reservation=50", "cpu.limit=40")
    daemon.refused(2, "set", "memo", "cpu.shares=lots")
    assert "does not run" in daemon.refused(4, "explain", "memo")
    # What a VM that runs reserves anew is looked at, too.
    daemon.refused(6, "set", "greedy", f"cpu.reservation={cpus * 100 + 100}")
    wait_until(lambda: explain(daemon, "greedy").get("reservation") == 1)


def test_without_rights():
    """A session without the right to make control groups says what it cannot do. Its groups are a folder that is no file system of groups."""
    if os.getuid() != 0:
        skip("takes the right away, which root alone has")
    with Daemon(images=("tiny",), environment={"HOSTLER_NO_CGROUPS": "1"}) as daemon:
        daemon.create("web1", "memory.size=128M", "cpu.limit=50")
        check = next(check for check in daemon.json("doctor") if check["name"] == "allocation")
        assert not check["ok"] and "not" in check["detail"], check
        condition = wait_until(lambda: [each for each in daemon.show("web1")["status"].get("conditions", []) if each["type"] == "not-enforced"])
        assert "not enforced" in condition[0]["detail"]
        assert explain(daemon, "web1")["enforced"] is False
        daemon.hostler("set", "web1", "cpu.limit=")
        wait_until(lambda: not [each for each in daemon.show("web1")["status"].get("conditions", []) if each["type"] == "not-enforced"])


def memory_row(daemon, name):
    done = daemon.run("explain", name, "-o", "json")
    return next((row for row in json.loads(done.stdout) if row["resource"] == "memory"), None) if done.returncode == 0 else None


def available_mib(daemon, name):
    text = daemon.guest(name, "cat", "/proc/meminfo")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))


@limit(300)
def test_memory_limit(daemon):
    daemon.create("web1", "memory.size=320M")
    wait_until(lambda: memory_row(daemon, "web1"), 60, "the guest tells of its memory")
    before = available_mib(daemon, "web1")
    # The guest is really without it, as it says itself, and is told why.
    daemon.hostler("set", "web1", "memory.limit=192M")
    wait_until(lambda: available_mib(daemon, "web1") < before - 100, 60, "the balloon took 128 MiB")
    row = wait_until(lambda: (row := memory_row(daemon, "web1")) and row.get("ceiling") == 192 and row, 30)
    assert row["granted"] == 192 and row["limit"] == 192 and row["shares"] == 3200 and "its limit" in row["reason"], row
    # What the balloon holds is not counted as used.
    wait_until(lambda: 90 < daemon.show("web1")["status"]["guest_memory"]["ballooned"] >> 20 <= 128, 60)
    wait_until(lambda: daemon.json("metrics", "web1", "--points", "5000")["samples"][-1]["guest_used"] < 128 << 20, 60)
    events = [event["data"] for event in daemon.json("event", "ls", "--object", "vm/web1") if event["kind"] == "vm-allocation"]
    assert [event for event in events if event["resource"] == "memory" and event["granted"] == 192], events
    # The next daemon knows from the guest how much is taken, and gives it back when the limit goes.
    daemon.restart(kill=True)
    daemon.hostler("set", "web1", "memory.limit=")
    wait_until(lambda: available_mib(daemon, "web1") > before - 40, 90, "it is given back")
    # Where the owner rules, nobody else does.
    daemon.hostler("set", "web1", "balloon.target=256M")
    wait_until(lambda: memory_row(daemon, "web1") is None, 60)
    assert "less than memory.reservation" in daemon.refused(2, "set", "web1", "memory.limit=64M", "memory.reservation=128M")
    daemon.refused(6, "set", "web1", "memory.size=17592186044416", "memory.max=17592186044416", "memory.reservation=17592186044416")
