"""Many guests under one daemon, and two daemons side by side."""
import concurrent.futures
import subprocess

from harness import BUILD, Daemon, limit, wait_until

GUESTS = 20


@limit(600)
def test_twenty_guests_at_once(daemon):
    names = [f"vm{number}" for number in range(GUESTS)]
    with concurrent.futures.ThreadPoolExecutor(GUESTS) as pool:
        list(pool.map(lambda name: daemon.hostler("create", name, "--image", "tiny", "--start", timeout=300), names))
        assert {vm["status"]["power"] for vm in daemon.json("ls")} == {"running"}
        for name in names:
            daemon.hostler("wait", name, "agent", "--timeout", "9m", timeout=540)
        # Each is itself: its own name, disk and address.
        assert list(pool.map(lambda name: daemon.guest(name, "hostname"), names)) == names
        list(pool.map(lambda name: daemon.guest(name, "sh", "-c", "hostname > /root/me; sync"), names))
        assert list(pool.map(lambda name: daemon.guest(name, "cat", "/root/me"), names)) == names
    vms = daemon.json("ls")
    assert len({vm["status"]["pid"] for vm in vms}) == len({vm["spec"]["nic0"]["mac"] for vm in vms}) == GUESTS
    daemon.restart(kill=True)
    wait_until(lambda: {vm["status"]["power"] for vm in daemon.json("ls")} == {"running"}, 10)
    daemon.hostler("pause", *names)
    assert {vm["status"]["power"] for vm in daemon.json("ls")} == {"paused"}
    daemon.hostler("power-off", *names)
    assert {vm["status"]["power"] for vm in daemon.json("ls")} == {"off"} and len(daemon.processes()) == 1
    daemon.hostler("rm", "--now", *names)
    assert daemon.json("ls") == [] and not list((daemon.state / "vms").iterdir())


def test_two_daemons_with_guests_of_the_same_name():
    with Daemon() as one, Daemon() as other:
        first, second = one.create("web1", wait="running"), other.create("web1", wait="running")
        assert first["id"] != second["id"] and first["status"]["pid"] != second["status"]["pid"]
        other.hostler("wait", "web1", "agent")
        one.hostler("stop", "--hard", "web1")
        assert other.guest("web1", "echo", "untouched") == "untouched"
        one.restart(kill=True)
        assert one.power("web1") == "off" and other.power("web1") == "running"


def test_one_state_folder_has_one_daemon(daemon):
    second = subprocess.run([BUILD / "hostlerd", "--state", daemon.state, "--socket", daemon.folder / "other"], env=daemon.environment,
                            capture_output=True, text=True, timeout=20)
    assert second.returncode != 0 and str(daemon.state) in second.stderr
    assert daemon.json("ls") == []
