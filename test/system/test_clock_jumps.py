"""The clock of the day jumps an hour either way under the daemon's feet; the monotonic one, which limits and rates go by, cannot."""
import datetime
import os
import pathlib
import time

from harness import BUILD, Daemon, ROOT, skip, wait_until

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HOUR = 3600


def clock_of(daemon):
    """Seconds by which what just happened is told to be away from now."""
    daemon.hostler("rename", "other", "third")
    daemon.hostler("rename", "third", "other")
    told = datetime.datetime.fromisoformat(daemon.json("event", "ls")[-1]["time"]).timestamp()
    return told - time.time()


def samples(daemon):
    return len(daemon.json("metrics", "web1", "--points", "5000")["samples"])


def check_all_goes_on(daemon, pid):
    began = time.monotonic()
    done = daemon.run("wait", "web1", "off", "--timeout", "2s")
    assert done.returncode == 7, (done.returncode, done.stderr)
    assert 1.5 < time.monotonic() - began < 10
    daemon.hostler("pause", "web1")
    daemon.hostler("resume", "web1")
    assert daemon.guest("web1", "echo", "here") == "here"
    before = samples(daemon)
    wait_until(lambda: samples(daemon) > before, 20, "measuring goes on")
    status = daemon.show("web1")["status"]
    assert status["pid"] == pid and status["power"] == "running" and not status.get("unresponsive"), status
    assert all(job["state"] == "done" for job in daemon.json("job", "ls") if job["verb"] != "vm.wait"), daemon.json("job", "ls")


def test_an_hour_either_way():
    if not FAKETIME.exists():
        skip("libfaketime is not installed")
    if "asan" in BUILD.name and not (ROOT / "build" / "hostlerd").exists():
        skip("libfaketime does not go with AddressSanitizer, and there is no other build")
    with Daemon(start=False) as daemon:
        clock = daemon.folder / "clock"
        clock.write_text("+0")
        daemon.start(environment={"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1",
                                  "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}, program=ROOT / "build" / "hostlerd")
        daemon.hostler("create", "other", "--image", "tiny")
        pid = daemon.create("web1")["status"]["pid"]
        daemon.hostler("snapshot", "schedule", "web1", "--every", "45m", "--disk-only")
        for offset in (HOUR, -HOUR):
            clock.write_text(f"{offset:+d}")
            wait_until(lambda: abs(clock_of(daemon) - offset) < 60, 15, f"the daemon's clock is {offset} s away", every=0.5)
            check_all_goes_on(daemon, pid)
        assert len(daemon.json("snapshot", "ls", "web1")) <= 1
        os.unlink(clock)
