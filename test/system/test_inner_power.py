"""The power fails at random moments of a busy daemon. Afterwards every answered change is there, one that was under way is there or is not, and
nothing else.

The file system of the inner host keeps what nobody syncs in memory for ten minutes, so a power cut takes all of it. Of the running host's disk
copies are made, while its QEMU stands still: each is what a cut at that moment would have left. The last cut is a real one. All of them are looked
at by the host after its next boot. HOSTLER_POWER_CUTS: how many (20 at most); HOSTLER_SEED: which.
"""
import os
import pathlib
import random
import shutil
import signal
import string
import subprocess
import threading
import time

import inner
from api import ENDED, Api, Problem
from crash import check_whole, histories_of
from harness import Daemon, limit, wait_until

CUTS = int(os.environ.get("HOSTLER_POWER_CUTS", "5"))
SEED = int(os.environ.get("HOSTLER_SEED", str(random.randrange(1 << 30))))
WORKERS = 2
REPORTS_BETWEEN_CUTS = 12
FOLDER = pathlib.Path("/data/daemon")
SPEC = {"memory": {"size": 64 << 20}, "disk0": {"size": 8 << 20}}
NEW = {"count": 1, "content": 0, "snapshots": {}}


def qemu_io(path, *commands):
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", "-f", "qcow2", path, *words], capture_output=True, text=True)
    return done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr


def heads(daemon, vms):
    """{name: path of the file that its disk is}, of VMs as the API shows them."""
    histories = histories_of(daemon, {vm["name"]: vm["id"] for vm in vms})
    files = {name: next((head["file"] for head in history.get("heads", [])), "disk0.qcow2") for name, history in histories.items()}
    return {vm["name"]: daemon.state / "vms" / vm["id"] / files[vm["name"]] for vm in vms}


# ---- before: in the inner host ----

class Worker(threading.Thread):
    """Changes VMs of its own, one thing at a time. `model`: name → what has been answered, None: there is none."""

    def __init__(self, daemon, number, seed):
        super().__init__(daemon=True)
        self.daemon_process, self.number = daemon, number
        self.random = random.Random(seed + number)
        self.api = Api(daemon.socket)
        self.model = {f"w{number}{letter}": None for letter in "abc"}
        self.writes = 0
        self.error = None

    def run(self):
        try:
            while True:
                self.act(self.random.choice(list(self.model)))
        except Exception as error:
            self.error = error

    def act(self, name):
        vm = self.model[name]
        if vm is None:
            return self.change({name: NEW}, "POST", "/v1/vms", {"name": name, "spec": SPEC})
        return self.random.choice([self.write, self.write, self.set, self.snapshot, self.snapshot, self.revert, self.remove_snapshot, self.clone,
                                   self.clone, self.remove])(name, vm)

    def set(self, name, vm):
        count = self.random.randint(1, 8)
        self.change({name: vm | {"count": count}}, "PATCH", f"/v1/vms/{name}", {"spec": {"cpu": {"count": count}}})

    def snapshot(self, name, vm):
        free = [number for number in "1234" if number not in vm["snapshots"]]
        if free:
            taken = vm["snapshots"] | {free[0]: [vm["content"], vm["count"]]}
            self.change({name: vm | {"snapshots": taken}}, "POST", f"/v1/vms/{name}/snapshots", {"name": free[0]})

    def revert(self, name, vm):
        if vm["snapshots"]:
            which = self.random.choice(list(vm["snapshots"]))
            content, count = vm["snapshots"][which]
            self.change({name: vm | {"content": content, "count": count}}, "POST", f"/v1/vms/{name}/revert", {"snapshot": which})

    def remove_snapshot(self, name, vm):
        if vm["snapshots"]:
            which = self.random.choice(list(vm["snapshots"]))
            left = {key: value for key, value in vm["snapshots"].items() if key != which}
            self.change({name: vm | {"snapshots": left}}, "DELETE", f"/v1/vms/{name}/snapshots/{which}")

    def clone(self, name, vm):
        free = [other for other, model in self.model.items() if model is None]
        if free:
            kind = self.random.choice(["linked", "full"])
            self.change({free[0]: vm | {"snapshots": {}}}, "POST", f"/v1/vms/{name}/clone", {"names": [free[0]], kind: True})

    def remove(self, name, vm):
        self.change({name: None}, "DELETE", f"/v1/vms/{name}?now=true&yes=true")

    def write(self, name, vm):
        """As its guest would, and flushed."""
        self.writes = self.writes % 250 + 1
        self.tell({name: vm | {"content": self.writes}}, False)
        wait_until(lambda: self.written(name), 20, "no job has the disk open")
        self.model[name] = vm | {"content": self.writes}
        self.tell({}, True)

    def written(self, name):
        """False while a job that nobody waits for merges its layers."""
        path = heads(self.daemon_process, [self.api.call("GET", f"/v1/vms/{name}")])[name]
        good, said = qemu_io(path, f"write -P {self.writes} 0 512", "flush")
        assert good or "lock" in said or "No such file" in said, said
        return good

    def change(self, after, method, path, body=None):
        self.tell(after, False)
        try:
            job = self.api.call(method, path, body)
            while job["state"] not in ENDED:
                job = self.api.call("GET", f"/v1/jobs/{job['id']}?wait=30s")
            done = job["state"] == "done"
        except Problem as refusal:
            assert refusal.status in (403, 404, 409), refusal
            done = False
        if done:
            self.model |= after
        self.tell({}, True, method + " " + path if done else None)

    def tell(self, after, done, what=None):
        """Outside it is known what is answered, and what one change more would make of it."""
        inner.report({"worker": self.number, "answered": self.model, "under way": None if done else self.model | after, "did": what})


def fresh_daemon():
    """What it writes is on the disk when it, or a VM's QEMU, has waited for that, and not before."""
    subprocess.run(["sh", "-c", "echo 0 > /proc/sys/vm/dirty_writeback_centisecs; echo 90 > /proc/sys/vm/dirty_background_ratio"], check=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    daemon = Daemon(images=(), folder=FOLDER)
    subprocess.run(["sync"], check=True)
    return daemon


ANSWERS = {"suspend": ("/v1/vms/sleeps/suspend", {}), "start": ("/v1/vms/runs/start", {}),
           "clone": ("/v1/vms/off/clone", {"names": ["copy"], "linked": True})}


def answer():
    """One thing after the other, each the last that is answered at its power cut."""
    daemon = fresh_daemon()
    api = Api(daemon.socket)
    for name in ("runs", "sleeps", "off"):
        api.job("POST", "/v1/vms", {"name": name, "spec": SPEC})
    api.job("POST", "/v1/vms/sleeps/start", {})
    for name, (path, body) in ANSWERS.items():
        api.job("POST", path, body)
        inner.report(name)
        wait_until(lambda: pathlib.Path(f"/run/{name}").exists(), 60, "it is copied", every=0.01)
    daemon.kill()
    for pid in daemon.processes():
        os.kill(pid, signal.SIGKILL)


def work(seed):
    daemon = fresh_daemon()
    workers = [Worker(daemon, number, seed) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    inner.report("working")
    while all(worker.is_alive() for worker in workers):
        time.sleep(0.1)
    raise AssertionError([worker.error for worker in workers], daemon.log_text()[-3000:])


# ---- after ----

def daemon_on(device):
    subprocess.run(["umount", "/data"], check=False)
    subprocess.run(["mount", device, "/data"], check=True)
    (FOLDER / "log").unlink(missing_ok=True)
    return Daemon(images=(), folder=FOLDER)


def look_answered(device, answered):
    """What was @answered last is on the disk, though nothing was written after it."""
    with daemon_on(device) as daemon:
        api = Api(daemon.socket)
        vms = {vm["name"]: vm["status"] for vm in check_whole(daemon).values()}
        if answered == "suspend":
            assert vms["sleeps"]["power"] == "suspended", vms["sleeps"]
            api.job("POST", "/v1/vms/sleeps/resume", {})
            assert api.call("GET", "/v1/vms/sleeps")["status"]["power"] == "running"
        if answered == "start":  # whether it is known that the start has ended, or it is done again
            assert vms["runs"]["power"] == "running" or vms["runs"]["exit"]["reason"] == "host-down", vms["runs"]
        if answered == "clone":
            assert "copy" in vms and vms["runs"]["exit"]["reason"] == "host-down", vms
        return {name: status["power"] for name, status in vms.items()}


def look(device, workers):
    """What the power cut left on @device. @workers: the last report of each."""
    with daemon_on(device) as daemon:
        vms = check_whole(daemon).values()
        found = {vm["name"]: {"count": vm["spec"]["cpu"]["count"], "snapshots": snapshots_of(daemon, vm)} for vm in vms}
        paths = heads(daemon, vms)
        for path in (daemon.state / "vms").rglob("*.qcow2"):
            check_image(path)
        for report in workers:
            check_worker(found, paths, report, daemon)
        for name, vm in found.items():
            check_snapshots(daemon, name, vm, workers)
        return {"vms": len(found), "snapshots": sum(len(vm["snapshots"]) for vm in found.values()),
                "under way": [report["under way"] is not None for report in workers]}


def snapshots_of(daemon, vm):
    return sorted(snapshot["name"] for snapshot in Api(daemon.socket).call("GET", f"/v1/vms/{vm['name']}/snapshots"))


def check_image(path):
    done = subprocess.run(["qemu-img", "check", "-f", "qcow2", path], capture_output=True, text=True)
    leaks = 3  # of a write that was not flushed: no harm
    assert done.returncode in (0, leaks), f"{path}: {done.stdout}{done.stderr}"


def check_worker(found, paths, report, daemon):
    mine = {name: vm for name, vm in found.items() if name in report["answered"]}
    wanted = [model for model in (report["answered"], report["under way"]) if model is not None]
    assert any(is_so(mine, paths, model) for model in wanted), \
        f"found {mine}\nanswered {report['answered']}\nunder way {report['under way']}\njobs {Api(daemon.socket).call('GET', '/v1/jobs')[:6]}"


def is_so(found, paths, model):
    there = {name: vm for name, vm in model.items() if vm is not None}
    plain = {name: {"count": vm["count"], "snapshots": sorted(vm["snapshots"])} for name, vm in there.items()}
    return plain == found and all(qemu_io(paths[name], f"read -P {vm['content']} 0 512")[0] for name, vm in there.items())


def check_snapshots(daemon, name, vm, workers):
    """One of its snapshots still is what it was."""
    kept = next(report["answered"][name] for report in workers if name in report["answered"])
    common = sorted(set(vm["snapshots"]) & set(kept["snapshots"] if kept else {}))
    if common:
        Api(daemon.socket).job("POST", f"/v1/vms/{name}/revert", {"snapshot": common[0]})
        path = heads(daemon, [Api(daemon.socket).call("GET", f"/v1/vms/{name}")])[name]
        good, said = qemu_io(path, f"read -P {kept['snapshots'][common[0]][0]} 0 512")
        assert good, f"{name} at {common[0]}: {said}"


def last_reports(host):
    """Of each worker; a worker that was cut off between a change's answer and its report is no failure, for then it still was under way."""
    return list({report["worker"]: report for report in host.reported() if isinstance(report, dict)}.values())


def answered_disk(host, answering, name):
    wait_until(lambda: name in host.reported() or answering.done(), 120, f"{name} is answered", every=0.01)
    assert name in host.reported(), answering.result()
    with host.frozen():
        copy = host.copy_disk(f"{name}.raw")
    host.run("touch", f"/run/{name}")
    return copy


@limit(900)
def test_power_cuts():
    print(f"HOSTLER_SEED={SEED}")
    chance = random.Random(SEED)
    cuts = []
    with inner.Host(data=1, mount="commit=600,noauto_da_alloc") as host:
        answering = host.begin(answer)
        answers = [answered_disk(host, answering, name) for name in ANSWERS]
        answering.result(60)
        working = host.begin(work, SEED)
        wait_until(lambda: "working" in host.reported() or working.done(), 120, "the workers begin")
        for number in range(CUTS):
            until = len(host.reported()) + chance.randrange(2 * REPORTS_BETWEEN_CUTS)
            wait_until(lambda: len(host.reported()) > until or working.done(), 120, "the workers go on", every=0.02)
            time.sleep(chance.uniform(0, 0.3))
            assert not working.done(), working.result()
            with host.frozen():
                cuts.append((host.copy_disk(f"cut{number}.raw"), last_reports(host)))
        host.cut()
        cuts.append((host.disk, last_reports(host)))
        host.boot(disks=answers + [path for path, _ in cuts[:-1]])
        devices = [f"/dev/vd{letter}" for letter in string.ascii_lowercase[2:]]
        for name in ANSWERS:
            print(f"after {name}:", host.call(look_answered, devices.pop(0), name, timeout=60))
        for number, (_, reports) in enumerate(cuts):
            device = devices[number] if number < CUTS else "/dev/vdb"
            print(f"cut {number}:", host.call(look, device, reports, timeout=60))
