"""What the host may do to the product: its processes killed, its disk full, the host gone down, pids given to others."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from api import Problem
from crash import SMALL, alive, all_events, api_of, check_whole, find, keeper_of, keeper_record, make, wait_adopted
from harness import SLOWNESS, Daemon, skip, wait_until

TRUE_WITHIN_S = 2
SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"}


def status(daemon, name="vm"):
    return find(daemon, name)["status"]


def kill_qemu(daemon, name="vm"):
    os.kill(status(daemon, name)["pid"], signal.SIGKILL)


def is_crashed(daemon, name="vm"):
    """Within the promised time, with the reason; and it can be started again."""
    wait_until(lambda: status(daemon, name)["power"] == "crashed", TRUE_WITHIN_S, f"{name} is crashed: {status(daemon, name)}", every=0.02)
    assert status(daemon, name)["exit"]["reason"] in ("killed", "crashed"), status(daemon, name)
    assert "pid" not in status(daemon, name)
    check_whole(daemon)
    api_of(daemon).job("POST", f"/v1/vms/{name}/start", {})
    assert status(daemon, name)["power"] == "running"


# ---- QEMU and its keeper are killed ----


def test_qemu_killed_while_running_and_paused():
    with Daemon(images=()) as daemon:
        make(daemon, "vm")
        kill_qemu(daemon)
        is_crashed(daemon)
        api_of(daemon).job("POST", "/v1/vms/vm/pause", {})
        kill_qemu(daemon)
        is_crashed(daemon)


def pid_of_starting(daemon):
    with contextlib.suppress(OSError, ValueError, KeyError):
        return keeper_record(daemon, find(daemon, "vm"))["qemu"]["pid"]


def test_qemu_killed_while_starting():
    """As soon as there is a process: the start fails with a reason, nothing is left, and the next one works."""
    with Daemon(images=()) as daemon:
        make(daemon, "vm", start=False)
        api = api_of(daemon)
        for _ in range(5):
            job = api.call("POST", "/v1/vms/vm/start", {})
            os.kill(wait_until(lambda: pid_of_starting(daemon), every=0.001), signal.SIGKILL)
            job = api.wait_job(job)
            if job["state"] == "failed":
                assert len(job["error"]["detail"]) > 10, job
            wait_until(lambda: "pid" not in status(daemon), TRUE_WITHIN_S)
            assert status(daemon)["power"] in ("off", "crashed"), status(daemon)
            check_whole(daemon)
        api.job("POST", "/v1/vms/vm/start", {})


def test_qemu_killed_while_suspending():
    with Daemon(images=()) as daemon:
        make(daemon, "vm", memory={"size": 512 << 20})
        pid = status(daemon)["pid"]
        job = api_of(daemon).call("POST", "/v1/vms/vm/suspend", {})
        wait_until(lambda: list((daemon.state / "vms").glob("*/memory.state")), every=0.001)
        os.kill(pid, signal.SIGKILL)
        if api_of(daemon).wait_job(job)["state"] == "failed":
            is_crashed(daemon)
        else:
            assert status(daemon)["power"] == "suspended"
        check_whole(daemon)


def test_keeper_killed_the_guest_goes_on():
    with Daemon(images=()) as daemon:
        make(daemon, "vm")
        vm = find(daemon, "vm")
        os.kill(keeper_of(daemon, vm), signal.SIGKILL)
        daemon.restart()
        wait_adopted(daemon)
        assert status(daemon)["power"] == "running" and status(daemon)["pid"] == vm["status"]["pid"]
        api_of(daemon).job("POST", "/v1/vms/vm/pause", {})
        api_of(daemon).job("POST", "/v1/vms/vm/resume", {})
        kill_qemu(daemon)
        is_crashed(daemon)
        assert any(event["kind"] == "vm-power" and event["data"]["power"] == "crashed" for event in all_events(daemon))


# ---- nobody watched ----


def end_unwatched(daemon, end):
    """The guest ends while there is no daemon; the next one tells how."""
    pid = status(daemon)["pid"]
    daemon.kill()
    end(pid)
    wait_until(lambda: not alive(pid))
    daemon.start()
    wait_adopted(daemon)
    return status(daemon)


def test_an_end_that_no_daemon_saw():
    with Daemon(images=()) as daemon:
        make(daemon, "vm")
        killed = end_unwatched(daemon, lambda pid: os.kill(pid, signal.SIGKILL))
        assert killed["power"] == "crashed" and killed["exit"]["reason"] == "killed", killed
        is_crashed(daemon)
        ended = end_unwatched(daemon, lambda pid: os.kill(pid, signal.SIGTERM))
        assert ended["power"] == "off" and ended["exit"]["code"] == 0, ended
        api_of(daemon).job("POST", "/v1/vms/vm/start", {})
        api_of(daemon).job("POST", "/v1/vms/vm/suspend", {})
        api_of(daemon).job("POST", "/v1/vms/vm/resume", {})
        killed = end_unwatched(daemon, lambda pid: os.kill(pid, signal.SIGKILL))
        assert killed["power"] == "crashed", killed
        check_whole(daemon)


def host_down(daemon, *names):
    """What is there after the host went down under these VMs: no process, and a keeper.json of before its start."""
    vms = [find(daemon, name) for name in names]
    daemon.kill()
    for vm in vms:
        record = keeper_record(daemon, vm)
        for process in ("keeper", "qemu"):
            os.kill(record[process]["pid"], signal.SIGKILL)
            wait_until(lambda: not alive(record[process]["pid"]))
        record["boot_id"] = "00000000-0000-4000-8000-000000000000"
        (daemon.state / "vms" / vm["id"] / "run" / "keeper.json").write_text(json.dumps(record))


def test_the_host_went_down():
    with Daemon(images=()) as daemon:
        for name in ("vm", "asleep"):
            make(daemon, name)
        make(daemon, "auto", options={"autostart": True})
        make(daemon, "never", start=False, options={"autostart": True})
        api_of(daemon).job("POST", "/v1/vms/asleep/suspend", {})
        host_down(daemon, "vm", "auto")
        daemon.start()
        check_whole(daemon)
        assert status(daemon)["power"] == "off" and status(daemon)["exit"]["reason"] == "host-down", status(daemon)
        assert status(daemon, "asleep")["power"] == "suspended"
        assert status(daemon, "auto")["power"] == "running" and status(daemon, "never")["power"] == "off"
        for name in ("vm", "asleep"):
            api_of(daemon).job("POST", f"/v1/vms/{name}/start", {})
        daemon.restart(kill=True)
        check_whole(daemon)
        assert {status(daemon, name)["power"] for name in ("vm", "asleep", "auto")} == {"running"}


# ---- pids ----


def test_a_reused_pid_is_never_signalled():
    """keeper.json speaks of a pid that somebody else has by now: not adopted, not signalled."""
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        with Daemon(images=()) as daemon:
            make(daemon, "vm")
            record = keeper_record(daemon, find(daemon, "vm"))
            api_of(daemon).job("POST", "/v1/vms/vm/stop", {"hard": True})
            for process in ("keeper", "qemu"):
                record[process] = {"pid": stranger.pid, "start_ticks": record[process]["start_ticks"]}
            for verb, body in (("stop", {"hard": True}), ("start", {}), ("stop", {"hard": True})):
                daemon.kill()
                run = daemon.state / "vms" / find_folder(daemon) / "run"
                run.mkdir(exist_ok=True)
                (run / "keeper.json").write_text(json.dumps(record))
                (run / "keeper.json").chmod(0o600)
                daemon.start()
                wait_adopted(daemon)
                assert status(daemon).get("pid") != stranger.pid
                api_of(daemon).job("POST", f"/v1/vms/vm/{verb}", body)
                if verb == "start":
                    api_of(daemon).job("POST", "/v1/vms/vm/stop", {"hard": True})
                assert stranger.poll() is None, f"a stranger's process was ended by {verb}"
            check_whole(daemon)
    finally:
        stranger.kill()
        stranger.wait()


def find_folder(daemon):
    return os.listdir(daemon.state / "vms")[0]


# ---- restarts ----


def test_twenty_vms_are_adopted_within_a_second():
    with Daemon(images=()) as daemon:
        names = [f"vm{number}" for number in range(20)]
        for name in names:
            make(daemon, name)
            api_of(daemon).job("POST", f"/v1/vms/{name}/pause", {})
        before = {name: status(daemon, name)["pid"] for name in names}
        daemon.kill()
        begin = time.monotonic()
        daemon.start()
        wait_adopted(daemon)
        took = time.monotonic() - begin
        print(f"20 VMs adopted {took * 1000:.0f} ms after the daemon was started")
        assert took < SLOWNESS, f"took {took:.2f} s"
        vms = {vm["name"]: vm["status"] for vm in api_of(daemon).call("GET", "/v1/vms")}
        assert {name: vms[name]["pid"] for name in names} == before
        assert {vms[name]["power"] for name in names} == {"paused"}


def test_a_polite_stop_goes_on_after_a_restart(daemon):
    daemon.create("vm")
    job = api_of(daemon).call("POST", "/v1/vms/vm/stop", {"timeout": 60000})
    daemon.restart()
    job = api_of(daemon).wait_job(job)
    assert job["state"] == "done", job
    assert status(daemon)["power"] == "off"
    check_whole(daemon)


# ---- disk full ----


@contextlib.contextmanager
def small_disk(folder, size):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode != 0:
        skip("a tmpfs can be mounted by root alone")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def refused(daemon, *request):
    """The refusal's code: at once, or as the job's end."""
    try:
        job = api_of(daemon).wait_job(api_of(daemon).call(*request))
    except Problem as problem:
        return problem.code
    return job["state"] == "failed" and job["error"]["code"]


def test_disk_full_under_the_state_folder():
    daemon = Daemon(images=(), start=False)
    daemon.state.mkdir()
    with small_disk(daemon.state, "96m"), daemon:
        daemon.start()
        make(daemon, "vm")
        make(daemon, "other")
        pid = status(daemon)["pid"]
        fill(daemon.state / "ballast")
        change = ("PATCH", "/v1/vms/vm", {"spec": {"options": {"protect": True}}})
        wait_until(lambda: refused(daemon, *change) == "read-only", 10, "changes are refused as read-only")
        assert refused(daemon, "POST", "/v1/vms", {"name": "new", "spec": SMALL}) == "read-only"
        assert {vm["name"] for vm in api_of(daemon).call("GET", "/v1/vms")} == {"vm", "other"}
        assert status(daemon)["power"] == "running" and status(daemon)["pid"] == pid and alive(pid)
        kill_qemu(daemon, "other")
        wait_until(lambda: status(daemon, "other")["power"] == "crashed", TRUE_WITHIN_S, "the end of a VM is known all the same")
        daemon.restart(kill=True)
        wait_adopted_without_events(daemon, pid)
        assert status(daemon, "other")["power"] == "crashed"
        (daemon.state / "ballast").unlink()
        wait_until(lambda: not refused(daemon, *change), 10, "changes go on when there is space")
        api_of(daemon).job("POST", "/v1/vms/other/start", {})
        check_whole(daemon)
        daemon.close()


def wait_adopted_without_events(daemon, pid):
    wait_until(lambda: status(daemon).get("pid") == pid, 10, "the VM is adopted")


# ---- no shell ----


class Sampler(threading.Thread):
    """Looks at the programs below a daemon, as often as it can."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon_process, self.programs, self.over = daemon.process.pid, set(), threading.Event()

    def run(self):
        while not self.over.is_set():
            self.look(self.daemon_process)

    def look(self, pid):
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                for child in (task / "children").read_text().split():
                    self.programs.add(os.path.basename(os.readlink(f"/proc/{child}/exe")))
                    self.look(child)


def test_no_shell_below_the_daemon():
    with Daemon(images=()) as daemon:
        sampler = Sampler(daemon)
        sampler.start()
        try:
            every_kind_of_job(daemon)
        finally:
            sampler.over.set()
            sampler.join()
        assert sampler.programs, "the sampler has seen nothing"
        assert not sampler.programs & SHELLS, sampler.programs
        print("seen below the daemon:", *sorted(sampler.programs))


def every_kind_of_job(daemon):
    api = api_of(daemon)
    disk = daemon.folder / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    for _ in range(3):
        make(daemon, "vm")
        for verb, body in (("pause", {}), ("resume", {}), ("suspend", {}), ("resume", {}), ("restart", {"hard": True}), ("stop", {"hard": True})):
            api.job("POST", f"/v1/vms/vm/{verb}", body)
        api.job("PATCH", "/v1/vms/vm", {"spec": {"disk0": {"size": 64 << 20}}})
        api.job("POST", "/v1/images/foreign/import", {"file": str(disk), "format": "raw"})
        api.job("DELETE", "/v1/images/foreign")
        api.job("DELETE", "/v1/vms/vm?now=true")
    api.call("GET", "/v1/doctor")
