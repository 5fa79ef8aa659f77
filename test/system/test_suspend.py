"""Suspend: to disk with everything the guest had in memory, and to RAM."""
import os
import signal

from harness import wait_until


def remember(daemon, vm):
    """Leaves something in the guest's memory only, and something that runs."""
    daemon.guest(vm, "sh", "-c", "echo in-memory > /tmp/note; echo on-disk > /root/note; sync; sleep 5000 < /dev/null > /dev/null 2>&1 & echo $! > /tmp/pid")
    return daemon.guest(vm, "cat", "/proc/sys/kernel/random/boot_id"), float(daemon.guest(vm, "cat", "/proc/uptime").split()[0])


def remembers(daemon, vm, boot, uptime):
    assert daemon.guest(vm, "cat", "/tmp/note", "/root/note").split() == ["in-memory", "on-disk"]
    assert daemon.guest(vm, "cat", "/proc/sys/kernel/random/boot_id") == boot
    assert float(daemon.guest(vm, "cat", "/proc/uptime").split()[0]) > uptime
    assert "5000" in daemon.guest(vm, "sh", "-c", "cat /proc/$(cat /tmp/pid)/cmdline")


def test_to_disk_and_back_with_all_that_was_in_memory(daemon):
    pid = daemon.create("web1", "cpu.count=2", "nic0.link=on")["status"]["pid"]
    boot, uptime = remember(daemon, "web1")
    daemon.hostler("suspend", "web1")
    status = daemon.show("web1")["status"]
    assert status["power"] == "suspended" and status["sleep"] == "disk" and "pid" not in status
    assert not os.path.exists(f"/proc/{pid}") and len(daemon.processes()) == 1
    daemon.hostler("suspend", "web1")
    daemon.hostler("wait", "web1", "off")
    daemon.hostler("resume", "web1", "--wait", "agent")
    remembers(daemon, "web1", boot, uptime)
    assert daemon.show("web1")["status"]["cpus"] == 2
    assert not list(daemon.state.glob("vms/*/*saved*")) and not list(daemon.state.glob("vms/*/state*"))
    # And once more, by `start`, with another daemon in between.
    daemon.hostler("suspend", "web1")
    daemon.restart(kill=True)
    assert daemon.power("web1") == "suspended"
    daemon.hostler("start", "web1", "--wait", "agent")
    remembers(daemon, "web1", boot, uptime)


def test_what_was_plugged_live_is_there_after_a_suspend(daemon):
    daemon.create("web1")
    boot, uptime = remember(daemon, "web1")
    daemon.hostler("set", "web1", "cpu.count=3", "memory.size=512M")
    daemon.hostler("set", "web1", "cpu.count=2", "memory.size=384M")
    daemon.hostler("disk", "add", "web1", "data", "--size", "16M")
    daemon.guest("web1", "sh", "-c", "mke2fs /dev/vdb > /dev/null 2>&1; mount /dev/vdb /mnt; echo mounted > /mnt/note")
    daemon.hostler("suspend", "web1")
    daemon.hostler("resume", "web1", "--wait", "agent")
    remembers(daemon, "web1", boot, uptime)
    assert daemon.guest("web1", "cat", "/mnt/note") == "mounted"
    assert daemon.guest("web1", "grep", "-c", "^processor", "/proc/cpuinfo") == "2"
    assert daemon.show("web1")["status"]["memory"] == 384 * 1024 * 1024


def test_a_paused_guest_can_be_suspended_and_comes_back_running(daemon):
    daemon.create("web1")
    boot, uptime = remember(daemon, "web1")
    daemon.hostler("pause", "web1")
    daemon.hostler("suspend", "web1")
    daemon.hostler("resume", "web1", "--wait", "agent")
    remembers(daemon, "web1", boot, uptime)


def test_a_saved_state_is_not_thrown_away_by_a_polite_stop(daemon):
    daemon.create("web1")
    boot, _ = remember(daemon, "web1")
    daemon.hostler("suspend", "web1")
    assert "--hard" in daemon.refused(4, "stop", "web1") and daemon.power("web1") == "suspended"
    daemon.refused(4, "pause", "web1")
    assert "resume" in daemon.refused(4, "exec", "web1", "--", "true")
    daemon.hostler("stop", "--hard", "web1")
    assert daemon.power("web1") == "off"
    daemon.hostler("start", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/proc/sys/kernel/random/boot_id") != boot
    assert daemon.guest("web1", "cat", "/root/note") == "on-disk"


def test_a_damaged_state_is_refused_with_the_way_out(daemon):
    daemon.create("web1")
    daemon.hostler("suspend", "web1")
    state = max(daemon.state.glob("vms/*/*"), key=lambda path: path.stat().st_size if path.suffix != ".qcow2" and path.is_file() else 0)
    with open(state, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    assert "--hard" in daemon.refused(1, "resume", "web1") and daemon.power("web1") == "suspended"
    with open(state, "r+b") as file:
        file.truncate(1_000_000)
    assert "cut short" in daemon.refused(1, "start", "web1")
    daemon.hostler("stop", "--hard", "web1")
    daemon.hostler("start", "web1", "--wait", "running")


def test_a_cancelled_suspend_leaves_the_guest_running(daemon):
    daemon.create("web1", "--memory", "512M")
    boot, uptime = remember(daemon, "web1")
    job = daemon.hostler("suspend", "web1", "--detach", "-o", "name").strip()
    daemon.run("job", "cancel", job)
    wait_until(lambda: daemon.json("job", "show", job)["state"] in ("cancelled", "done"))
    if daemon.json("job", "show", job)["state"] == "done":
        daemon.hostler("resume", "web1")
    wait_until(lambda: daemon.power("web1") == "running", 10)
    daemon.hostler("wait", "web1", "agent")
    remembers(daemon, "web1", boot, uptime)


def test_a_qemu_killed_while_suspending_is_a_crash_and_no_saved_state(daemon):
    vm = daemon.create("web1", "--memory", "512M")
    daemon.hostler("suspend", "web1", "--detach")
    os.kill(vm["status"]["pid"], signal.SIGKILL)
    wait_until(lambda: all(job["state"] not in ("queued", "running") for job in daemon.json("job", "ls")), 15)
    assert daemon.power("web1") in ("crashed", "suspended")
    daemon.hostler("stop", "--hard", "web1")
    daemon.hostler("start", "web1", "--wait", "agent")


def test_to_ram_and_awake_again(daemon):
    daemon.create("web1")
    boot, uptime = remember(daemon, "web1")
    daemon.hostler("suspend", "--to-ram", "web1")
    status = daemon.show("web1")["status"]
    assert status["power"] == "suspended" and status["sleep"] == "ram" and status["pid"]
    assert "resume" in daemon.refused(4, "exec", "web1", "--", "true")
    daemon.hostler("resume", "web1", "--wait", "agent")
    remembers(daemon, "web1", boot, uptime)
    assert "PM: suspend exit" in daemon.guest("web1", "dmesg")
    # A sleeping guest cannot hear that it shall stop, so it is woken.
    daemon.hostler("suspend", "--to-ram", "web1")
    daemon.hostler("stop", "web1")
    assert daemon.show("web1")["status"]["exit"]["reason"] == "guest-shutdown"


def test_to_ram_is_refused_with_the_way_out_where_the_guest_cannot(daemon):
    daemon.create("web1")
    daemon.hostler("set", "web1", "memory.size=512M")
    assert "hostler suspend web1" in daemon.refused(1, "suspend", "--to-ram", "web1")
    assert daemon.power("web1") == "running" and daemon.guest("web1", "echo", "awake") == "awake"
