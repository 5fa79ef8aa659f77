"""What VMs use: measured against what the guest was made to do, kept over a restart, shown by metrics, top and OpenMetrics."""
import json
import os
import signal

from api import Api
from harness import Daemon, limit, wait_until

BUSY = "while :; do :; done >/dev/null 2>&1 &"


def samples(daemon, *words):
    return daemon.json("metrics", *words)["samples"]


def row(daemon, name):
    return next((row for row in daemon.json("top") if row["name"] == name), None)


def open_metrics(daemon):
    connection = Api(daemon.socket)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def vm_time(pid):
    """Seconds of processor that the process has had."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@limit(300)
def test_measured(daemon):
    daemon.create("web1", "memory.size=256M")
    daemon.hostler("create", "off1", "--image", "tiny")
    pid = daemon.show("web1")["status"]["pid"]

    wait_until(lambda: (found := row(daemon, "web1")) and "disk_read" in found, what="the first rates")
    assert row(daemon, "(host)")["memory"] > row(daemon, "web1")["memory"] > 64 << 20
    assert row(daemon, "off1") is None
    wait_until(lambda: row(daemon, "web1")["cpu"] < 60, 60, "an idle guest")

    # A guest that computes is seen, and the sum of what is seen is what the kernel counted.
    daemon.guest("web1", "sh", "-c", BUSY)
    before, began = vm_time(pid), len(samples(daemon, "web1", "--points", "5000"))
    wait_until(lambda: len(samples(daemon, "web1", "--points", "5000")) >= began + 6, 60)
    used = vm_time(pid) - before
    course = daemon.json("metrics", "web1", "--points", "5000")
    seen = sum(sample["cpu"] for sample in course["samples"][began:]) * course["step"] / 1000
    assert course["step"] == 2000 and seen > 2
    assert abs(seen - used) < 0.25 * used + 2, f"{seen} s were measured, {used} s used"
    vcpu = [sample["vcpu"] for sample in course["samples"][began:]]
    assert all(part <= sample["cpu"] + 0.2 for part, sample in zip(vcpu, course["samples"][began:]))
    assert max(vcpu) > 0.1

    # So is one that writes.
    daemon.guest("web1", "sh", "-c", "dd if=/dev/zero of=/var/f bs=1M count=16 2>/dev/null; sync; rm /var/f")
    wait_until(lambda: any(sample.get("disk_write", 0) > 1 << 20 for sample in samples(daemon, "web1", "--points", "5000")), 60)

    text = daemon.hostler("metrics", "web1", environment={"LC_ALL": "C.UTF-8"})
    assert "COURSE" in text and "█" in text and "memory" in text
    assert "█" not in daemon.hostler("metrics", "web1", environment={"LC_ALL": "C"})
    assert daemon.hostler("metrics", "off1") == "nothing was measured in that time\n"
    assert samples(daemon, "web1", "--since", "1d"), "minutes"
    assert daemon.json("host", "metrics")["samples"]
    daemon.refused(3, "metrics", "nosuch")
    daemon.refused(2, "metrics", "web1", "--since", "-1h")
    first_line = daemon.hostler("top", "--sort", "memory").splitlines()
    assert first_line[0].startswith("NAME") and first_line[1].startswith("(host)") and first_line[2].startswith("web1")
    lines = open_metrics(daemon).splitlines()
    assert any(line.startswith('hostler_vm_cpu_processors{vm="web1"} ') for line in lines)
    assert any(line.startswith("hostler_host_memory_bytes ") for line in lines)

    # What was measured is still there after the daemon was killed, but for the last minute; nothing when it ended well.
    known = len(samples(daemon, "web1", "--points", "5000"))
    daemon.restart()
    assert len(samples(daemon, "web1", "--points", "5000")) >= known
    wait_until(lambda: len(samples(daemon, "web1", "--points", "5000")) > known, what="it goes on")


@limit(200)
def test_silent_qemu_blocks_nobody():
    with Daemon() as daemon:
        for name in ("deaf", "web1"):
            daemon.create(name, "memory.size=128M")
        deaf = daemon.show("deaf")["status"]["pid"]
        wait_until(lambda: row(daemon, "deaf") and row(daemon, "web1"))
        os.kill(deaf, signal.SIGSTOP)
        try:
            wait_until(lambda: daemon.power("deaf") == "unresponsive")
            began = {name: len(samples(daemon, name, "--points", "5000")) for name in ("deaf", "web1")}
            for name in began:
                wait_until(lambda: len(samples(daemon, name, "--points", "5000")) >= began[name] + 4, what=f"{name} is measured on")
            # What only QEMU knows is not made up.
            wait_until(lambda: row(daemon, "deaf")["cpu"] == 0)
        finally:
            os.kill(deaf, signal.SIGCONT)
        wait_until(lambda: daemon.power("deaf") == "running")


@limit(200)
def test_forecast(daemon):
    daemon.create("web1", "memory.size=128M")
    daemon.hostler("create", "off1", "--image", "tiny")
    assert "too few" in daemon.refused(4, "forecast", "off1")
    daemon.guest("web1", "sh", "-c", BUSY)

    def loaded():
        done = daemon.run("forecast", "web1", "-o", "json")
        return done.returncode == 0 and (told := json.loads(done.stdout))["load"] > 0.9 and told

    told = wait_until(loaded, 60, "a guest that wants a whole processor")
    assert told["state"] in ("high", "overloaded") and told["samples"] >= 5 and told["step"] in (2000, 60000), told
    assert abs(sum(state["share"] for state in told["states"]) - 1) < 0.01, told
    assert [step["after"] // told["step"] for step in told["ahead"]] == [1, 5, 15, 60]
    assert told["ahead"][0]["mean"] > 0.3 and told["advice"]
    assert "advice" in daemon.hostler("forecast", "web1")
    host = daemon.json("host", "forecast")
    assert host["object"] == "host" and 0 <= host["overload_within"] <= 1
    daemon.refused(3, "forecast", "nosuch")
