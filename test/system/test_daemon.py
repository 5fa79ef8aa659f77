"""The daemon by itself: it starts, answers, and leaves nothing."""
from harness import Daemon, wait_until


def test_starts_and_lists_nothing():
    with Daemon(images=()) as daemon:
        assert daemon.json("ls") == []


def test_doctor_names_every_check_with_a_hint_where_it_warns():
    with Daemon(images=()) as daemon:
        checks = {check["name"]: check for check in daemon.json("doctor")}
        assert {"kvm", "qemu", "qemu-img", "state folder", "memory"} <= set(checks)
        assert all(check["detail"] for check in checks.values())
        assert all(check["ok"] or check["hint"] for check in checks.values())


def test_two_daemons_side_by_side():
    with Daemon(images=()) as one, Daemon(images=()) as other:
        assert one.json("ls") == other.json("ls") == []


def test_unknown_vm_is_exit_3():
    with Daemon(images=()) as daemon:
        assert "no-such-vm" in daemon.refused(3, "show", "no-such-vm")


def test_without_a_daemon_is_exit_69():
    with Daemon(images=()) as daemon:
        daemon.stop()
        daemon.refused(69, "ls")


def test_a_signal_at_any_moment_of_the_start_ends_it_in_good_order():
    with Daemon(images=()) as daemon:
        for _ in range(30):
            daemon.stop()
            daemon.start()


def test_a_signal_during_adoption_ends_it_in_good_order(daemon):
    pid = daemon.create("a", wait="running")["status"]["pid"]
    for _ in range(10):
        daemon.restart()
    wait_until(lambda: daemon.power("a") == "running", 10)
    assert daemon.show("a")["status"]["pid"] == pid


def test_a_running_vm_is_never_shown_as_off_after_a_restart(daemon):
    daemon.create("a", wait="running")
    for _ in range(5):
        daemon.restart(kill=True)
        assert daemon.power("a") == "running"


def test_requests_before_the_recovery_are_served_once():
    for _ in range(3):
        with Daemon() as daemon:
            daemon.create("a", wait="running")
            assert [vm["name"] for vm in daemon.json("ls")] == ["a"]
            starts = [job for job in daemon.json("job", "ls") if job["verb"] == "vm.start"]
            assert len(starts) <= 1
