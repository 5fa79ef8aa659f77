"""What the crash and fault tests stand on: everything that must hold once all jobs have ended, whatever was killed before."""
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import tempfile

from api import ENDED, Api, Problem
from harness import wait_until

# What every VM's folder may hold beside its disks; what is only there while it runs is in LIVE.
ALWAYS = {"lock", "parts", "exit.json", "qemu.log", "console.log", "qemu.log.1", "console.log.1"}
LIVE = {"run", ".exit.json"}
FIRMWARE = {"uefi": {"firmware.uefi.qcow2"}, "uefi-secure": {"firmware.uefi-secure.qcow2"}}
SMALL = {"memory": {"size": 64 << 20}, "disk0": {"size": 16 << 20}}


class Hold:
    """Holds a job of @daemon at a point (HOSTLER_HOLD_AT), for something else to happen there."""

    @staticmethod
    def prepare(daemon):
        """Before the daemon is started."""
        daemon.environment["HOSTLER_HOLD_AT"] = str(daemon.folder / "hold")

    def __init__(self, daemon):
        self.file = daemon.folder / "hold"
        self.held = daemon.folder / "hold.held"

    def at(self, point):
        self.file.write_text(point)

    def wait(self, job):
        """True when the job has come there, false if it has ended without. @job: gives it as the API shows it."""
        wait_until(lambda: self.held.exists() or job()["state"] in ENDED, 60, "the job comes to the point", every=0.005)
        there = self.held.exists()
        if not there:
            self.file.unlink()
        return there

    def go(self):
        self.file.unlink()
        wait_until(lambda: not self.held.exists(), 10, "the job goes on", every=0.001)


def api_of(daemon):
    return Api(daemon.socket)


def make(daemon, name, start=True, **spec):
    """A VM without a system on its disk: QEMU runs the firmware, which is all that most crashes need."""
    api_of(daemon).job("POST", "/v1/vms", {"name": name, "start": start, "spec": SMALL | spec})


def find(daemon, name):
    """The VM as the API shows it, in the list or in the trash; None if it is in neither."""
    api = api_of(daemon)
    for vm in api.call("GET", "/v1/vms") + api.call("GET", "/v1/vms?trash=true"):
        if vm["name"] == name:
            return vm
    return None


def ask_again(daemon, request, refusal, where):
    """What was cut off can be asked for again. @refusal: the code with which a verb that is done may refuse to be done twice, or None."""
    try:
        api_of(daemon).job(*request)
    except Problem as problem:
        assert problem.code == refusal, f"{where}: asked for again: {problem}"
    except RuntimeError as error:
        assert refusal and f'"{refusal}"' in str(error), f"{where}: asked for again: {error}"


def qemus(daemon):
    return [pid for pid, command in daemon.processes().items() if "qemu-system" in command and "hostler-keeper" not in command]


def kill_qemus(daemon):
    pids = qemus(daemon)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), 10, "they are dead", every=0.002)


def check_whole(daemon, volumes=()):
    """Waits until all jobs have ended, then looks at everything. @volumes: names that the folder of kept disks must hold, exactly."""
    api = api_of(daemon)
    wait_adopted(daemon)
    jobs = api.settle()
    for job in jobs:
        assert job["state"] == "done" or len(job.get("error", {}).get("detail", "")) > 10, f"no reason: {job}"
    vms = {vm["id"]: vm for vm in api.call("GET", "/v1/vms") + api.call("GET", "/v1/vms?trash=true")}
    wait_until(lambda: not stray_processes(daemon, vms), 5, f"no stray process: {stray_processes(daemon, vms)}")
    assert names_in(daemon.state / "vms") == set(vms), f"folders {names_in(daemon.state / 'vms')} of VMs {set(vms)}"
    for vm in vms.values():
        check_folder(daemon, vm)
    assert names_in(daemon.state / "volumes") == set(volumes)
    images = {image["name"] for image in api.call("GET", "/v1/images") if image.get("created")}
    assert names_in(daemon.state / "images") == {name.replace(":", "_") for name in images}
    return vms


def wait_adopted(daemon):
    """A daemon that has just started has yet to look at the VMs that ran before it."""
    started = datetime.datetime.fromtimestamp(daemon.started, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    has_adopted = lambda: any(event["kind"] == "daemon-started" and event["time"] > started for event in all_events(daemon))
    wait_until(has_adopted, 10, "every VM is adopted", every=0.01)


def names_in(folder):
    return set(os.listdir(folder)) if folder.exists() else set()


def histories_of(daemon, ids):
    """{name: what the store knows of that VM's snapshots and disk layers}, of @ids {name: id}; read from a copy, for the daemon has the store for
    itself."""
    with tempfile.TemporaryDirectory(dir=daemon.folder) as folder:
        for name in ("hostler.db", "hostler.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(daemon.state / name, folder)
        with contextlib.closing(sqlite3.connect(f"{folder}/hostler.db")) as store:
            rows = dict(store.execute("SELECT id, history FROM vm"))
    return {name: json.loads(rows[number]) for name, number in ids.items()}


def history_of(daemon, vm):
    return histories_of(daemon, {"it": vm["id"]})["it"]


def disks_of(vm, history):
    """Its disks' files in its folder: every layer of those with snapshots, one of the others."""
    known = {head["part"] for head in history.get("heads", [])}
    plain = {name for name, part in vm["spec"].items() if part.get("kind") == "disk" or name.startswith("disk")} - known
    return {f"{name}.qcow2" for name in plain} | {layer["file"] for layer in history.get("layers", []) if "/" not in layer["file"]}


def check_snapshots(folder, history):
    snapshots = history.get("snapshots", [])
    wanted = {snapshot["memory"]["file"] for snapshot in snapshots if "memory" in snapshot}
    wanted |= {f"snapshots/{snapshot['name']}.kept" for snapshot in snapshots
               if "tpm" in snapshot["spec"] or snapshot["spec"].get("firmware", {}).get("model") in FIRMWARE}
    files = {f"snapshots/{name}" for name in names_in(folder / "snapshots")}
    assert files == wanted, f"files {files}, snapshots of {wanted}"


def check_folder(daemon, vm):
    """Its files are those that its spec and its status speak of."""
    folder = daemon.state / "vms" / vm["id"]
    files = names_in(folder)
    history = history_of(daemon, vm)
    check_snapshots(folder, history)
    must = disks_of(vm, history) | ({"memory.state"} if vm["status"].get("sleep") == "disk" else set())
    may = must | ALWAYS | FIRMWARE.get(vm["spec"]["firmware"]["model"], set()) | ({"tpm"} if "tpm" in vm["spec"] else set()) | {"snapshots"}
    may |= (LIVE if vm["status"].get("pid") else set()) | ({"seed.iso"} if "seed" in vm["spec"] else set())
    assert must <= files <= may, f"{vm['name']} is {vm['status']['power']}: missing {must - files}, too many {files - may}"


def stray_processes(daemon, vms):
    """Processes of this state folder that belong to no VM and are not the switch's; a live VM has one QEMU, one keeper and what the keeper started beside QEMU."""
    owned = {daemon.process.pid}
    for vm in vms.values():
        pid = vm["status"].get("pid")
        if pid:
            keeper = keeper_of(daemon, vm)
            owned |= {pid, keeper} | children_of(keeper)
            assert alive(pid), f"{vm['name']} is {vm['status']['power']}, but its QEMU {pid} is gone"
    switch = f"{daemon.state}/network/"
    return {pid: command for pid, command in daemon.processes().items() if pid not in owned and switch not in command and alive(pid)}


def keeper_record(daemon, vm):
    return json.loads((daemon.state / "vms" / vm["id"] / "run" / "keeper.json").read_text())


def keeper_of(daemon, vm):
    with contextlib.suppress(OSError):
        return keeper_record(daemon, vm)["keeper"]["pid"]


def children_of(pid):
    with contextlib.suppress(OSError):
        return {int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def alive(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def all_events(daemon):
    """Every event that is kept."""
    api, events = api_of(daemon), []
    while page := api.call("GET", f"/v1/events?since={events[-1]['seq'] if events else 0}&limit=1000"):
        events += page
    return events
