"""Power: start, stop, pause, resume, restart, as the guest sees them."""
import os
import signal
import time

from harness import limit, wait_until


def uptime(daemon, vm):
    return float(daemon.guest(vm, "cat", "/proc/uptime").split()[0])


def make_deaf(daemon, vm):
    """The guest no longer hears the power button, and its agent is gone: init starts neither again."""
    daemon.guest(vm, "sh", "-c", "kill -TSTP 1; killall acpid power-button; (sleep 1; killall qemu-ga) > /dev/null 2>&1 &")
    wait_until(lambda: daemon.run("exec", vm, "--", "true").returncode != 0, 30, "the agent is gone", every=0.3)


def test_a_file_survives_stop_and_start_and_the_file_system_is_clean(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo kept > /root/kept; mount -t tmpfs none /mnt; echo lost > /mnt/lost")
    daemon.hostler("stop", "web1")
    status = daemon.show("web1")["status"]
    assert status["power"] == "off" and status["exit"]["reason"] == "guest-shutdown" and status["exit"]["code"] == 0
    assert "pid" not in status and status["addresses"] == []
    daemon.hostler("start", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/root/kept") == "kept"
    assert daemon.guest("web1", "sh", "-c", "ls /mnt") == ""
    kernel = daemon.guest("web1", "dmesg")
    assert "EXT4-fs" in kernel and "recovery" not in kernel and "orphan" not in kernel


def test_paused_the_guests_clock_stands_still(daemon):
    daemon.create("web1")
    counter = "i=0; while true; do i=$((i + 1)); echo $i > /tmp/count; usleep 100000; done"
    daemon.guest("web1", "sh", "-c", f"({counter}) > /dev/null 2>&1 &")
    wait_until(lambda: int(daemon.guest("web1", "cat", "/tmp/count") or 0) > 3)
    before, ticks = uptime(daemon, "web1"), int(daemon.guest("web1", "cat", "/tmp/count"))
    daemon.hostler("pause", "web1")
    assert daemon.power("web1") == "paused"
    began = time.monotonic()
    assert "paused" in daemon.refused(4, "exec", "web1", "--", "true") and time.monotonic() - began < 2
    daemon.hostler("pause", "web1")
    time.sleep(6)
    daemon.hostler("resume", "web1")
    assert daemon.power("web1") == "running"
    # Six seconds passed out here, and next to none in there.
    assert uptime(daemon, "web1") - before < 5 and int(daemon.guest("web1", "cat", "/tmp/count")) - ticks < 50
    wait_until(lambda: int(daemon.guest("web1", "cat", "/tmp/count") or 0) > ticks + 3)


def test_restart_soft_and_hard(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo kept > /root/kept; echo lost > /tmp/lost")
    pid, boot = daemon.show("web1")["status"]["pid"], daemon.guest("web1", "cat", "/proc/sys/kernel/random/boot_id")
    daemon.hostler("restart", "web1", "--wait", "agent")
    second = daemon.guest("web1", "cat", "/proc/sys/kernel/random/boot_id")
    assert second != boot and daemon.show("web1")["status"]["pid"] == pid
    assert daemon.guest("web1", "sh", "-c", "cat /root/kept; ls /tmp/lost 2> /dev/null || echo gone").split() == ["kept", "gone"]
    assert "recovery" not in daemon.guest("web1", "dmesg")
    daemon.hostler("restart", "--hard", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/proc/sys/kernel/random/boot_id") not in (boot, second)
    resets = [event["data"]["reason"] for event in daemon.json("event", "ls", "--object", "vm/web1") if event["kind"] == "vm-reset"]
    assert resets == ["guest-reset", "host-reset"], resets


def test_the_power_button_works_without_an_agent(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo '#!/bin/sh' > /usr/lib/hostler/agent; echo 'exec sleep 1000' >> /usr/lib/hostler/agent;"
                                     "(sleep 1; killall qemu-ga) > /dev/null 2>&1 &")
    wait_until(lambda: daemon.run("exec", "web1", "--", "true").returncode != 0, 30, "the agent is gone", every=0.3)
    assert "agent" in daemon.refused(4, "exec", "web1", "--", "true")
    daemon.hostler("restart", "web1")
    assert daemon.power("web1") == "running"
    wait_until(lambda: daemon.show("web1")["status"]["phase"] == "userspace", 60)
    wait_until(lambda: daemon.hostler("console", "web1", "--log").count("web1:~#") >= 2, 30)
    daemon.hostler("stop", "web1")
    assert daemon.show("web1")["status"]["exit"]["reason"] == "guest-shutdown"


def test_a_deaf_guest_runs_on_and_is_told_of(daemon):
    daemon.create("web1")
    make_deaf(daemon, "web1")
    began = time.monotonic()
    said = daemon.refused(7, "stop", "web1", "--timeout", "4s")
    assert time.monotonic() - began >= 4
    assert "still running" in said and "hint:" in said and "hostler stop web1 --hard" in said
    assert daemon.power("web1") == "running"
    daemon.refused(7, "restart", "web1", "--timeout", "2s")
    began = time.monotonic()
    daemon.hostler("stop", "--hard", "web1")
    assert time.monotonic() - began < 5 and daemon.power("web1") == "off"
    assert daemon.show("web1")["status"]["exit"]["reason"] == "host-stop"


def test_hard_stop_does_not_wait_for_a_polite_one(daemon):
    daemon.create("web1")
    make_deaf(daemon, "web1")
    daemon.hostler("stop", "web1", "--timeout", "10m", "--detach")
    wait_until(lambda: any(job["verb"] == "vm.stop" and job["state"] == "running" for job in daemon.json("job", "ls")))
    daemon.hostler("stop", "web1", "--hard", timeout=20)
    assert daemon.power("web1") == "off"
    wait_until(lambda: all(job["state"] not in ("queued", "running") for job in daemon.json("job", "ls")), 15)


def test_stop_of_a_paused_guest_lets_it_shut_down(daemon):
    daemon.create("web1")
    daemon.hostler("pause", "web1")
    daemon.hostler("stop", "web1")
    assert daemon.show("web1")["status"]["exit"]["reason"] == "guest-shutdown"


def test_a_guest_that_powers_itself_off(daemon):
    daemon.create("web1")
    daemon.run("exec", "web1", "--", "poweroff")  # its answer may be lost with the guest
    daemon.hostler("wait", "web1", "off", "--timeout", "60s")
    assert daemon.show("web1")["status"]["exit"]["reason"] == "guest-shutdown"
    daemon.refused(4, "wait", "web1", "agent")


def test_a_killed_qemu_is_a_crash_and_can_be_started_again(daemon):
    vm = daemon.create("web1")
    os.kill(vm["status"]["pid"], signal.SIGKILL)
    wait_until(lambda: daemon.power("web1") == "crashed", 2)
    exit = daemon.show("web1")["status"]["exit"]
    assert exit["reason"] == "killed" and exit["signal"] == 9
    assert "start web1" in daemon.refused(4, "exec", "web1", "--", "true")
    daemon.hostler("start", "web1", "--wait", "agent")
    assert daemon.guest("web1", "echo", "up") == "up"


@limit(120)
def test_a_panic_is_noticed(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; (sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    wait_until(lambda: any(event["kind"] == "vm-condition" and event["data"]["type"] == "panicked"
                           for event in daemon.json("event", "ls", "--object", "vm/web1")), 30)


def test_states_that_a_verb_means_nothing_in(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    for verb in ("pause", "resume", "restart", "suspend"):
        assert "off" in daemon.refused(4, verb, "web1")
    for verb in (("stop",), ("stop", "--hard"), ("shutdown",), ("power-off",)):
        daemon.hostler(*verb, "web1")
    assert daemon.power("web1") == "off"


def test_aliases_and_several_vms_at_once(daemon):
    for name in ("a", "b"):
        daemon.hostler("create", name, "--image", "tiny")
    daemon.hostler("start", "a", "b")
    daemon.hostler("start", "a", "b")
    daemon.hostler("wait", "a", "agent")
    daemon.hostler("reboot", "a", "--wait", "agent")
    daemon.hostler("shutdown", "a")
    assert daemon.power("a") == "off"
    daemon.hostler("power-off", "b")
    assert daemon.show("b")["status"]["exit"]["reason"] == "host-stop"
    said = daemon.refused(8, "start", "a", "nobody")
    assert "nobody" in said and daemon.power("a") == "running"
    daemon.hostler("power-off", "a")
    daemon.hostler("delete", "a", "b")
    assert daemon.json("ls") == []


def test_dry_runs_do_nothing(daemon):
    vm = daemon.create("web1", wait="running")
    for verb in (("stop",), ("stop", "--hard"), ("pause",), ("restart", "--hard"), ("suspend",), ("rm", "-y", "--now")):
        assert daemon.hostler(*verb, "web1", "--dry-run").strip()
    assert daemon.show("web1")["status"]["pid"] == vm["status"]["pid"] and daemon.power("web1") == "running"
