"""A QEMU that says nothing any more: nobody else waits for it, it is shown as what it is, and it can be got rid of."""
import os
import signal
import time

from harness import SLOWNESS, wait_until


def timed(function):
    began = time.monotonic()
    function()
    return time.monotonic() - began


def test_one_silent_qemu(daemon):
    stuck = daemon.create("stuck")
    daemon.create("other")
    os.kill(stuck["status"]["pid"], signal.SIGSTOP)
    began = time.monotonic()
    wait_until(lambda: daemon.power("stuck") == "unresponsive", 5, every=0.05)
    assert time.monotonic() - began < 5
    # The list is from memory: as quick as ever, also as a process of its own (the best of some, on a loaded machine).
    assert min(timed(lambda: daemon.hostler("ls")) for _ in range(20)) < 0.05 * SLOWNESS
    status = daemon.show("stuck")["status"]
    assert status["stale_since"] and [condition["type"] for condition in status["conditions"]] == ["unresponsive"]
    # Everything else works.
    assert daemon.guest("other", "echo", "here") == "here"
    daemon.hostler("pause", "other")
    daemon.hostler("resume", "other")
    daemon.hostler("create", "third", "--image", "tiny", "--start")
    daemon.hostler("stop", "--hard", "third")
    # What needs the silent one fails in time and says so.
    for verb in (("exec", "stuck", "--", "true"), ("set", "stuck", "cpu.count=2")):
        assert timed(lambda verb=verb: daemon.refused(1, *verb)) < 25, verb
    # It heals by itself.
    os.kill(stuck["status"]["pid"], signal.SIGCONT)
    wait_until(lambda: daemon.power("stuck") == "running", 10)
    status = daemon.show("stuck")["status"]
    assert status["conditions"] == [] and "stale_since" not in status
    wait_until(lambda: daemon.run("exec", "stuck", "--", "true").returncode == 0, 30, every=0.5)


def test_a_silent_qemu_can_be_powered_off_and_removed(daemon):
    for name, verb in (("one", ("stop", "--hard")), ("two", ("rm", "--now", "-y"))):
        vm = daemon.create(name, wait="running")
        os.kill(vm["status"]["pid"], signal.SIGSTOP)
        assert timed(lambda verb=verb, name=name: daemon.hostler(*verb, name)) < 15
        assert not os.path.exists(f"/proc/{vm['status']['pid']}")
    assert daemon.power("one") == "off"


def test_a_daemon_that_starts_beside_a_silent_qemu_is_not_held_up(daemon):
    vm = daemon.create("stuck", wait="running")
    daemon.kill()
    os.kill(vm["status"]["pid"], signal.SIGSTOP)
    assert timed(daemon.start) < 3
    assert daemon.run("ls", timeout=5).returncode == 0
    wait_until(lambda: daemon.power("stuck") in ("unresponsive", "running"), 15)
    wait_until(lambda: daemon.power("stuck") == "unresponsive", 30)
    os.kill(vm["status"]["pid"], signal.SIGCONT)
    wait_until(lambda: daemon.power("stuck") == "running", 40)
