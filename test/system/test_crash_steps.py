"""The daemon is killed after each step of each job, at its point of no return, and before its end is written; the next daemon finds its way.

The steps of a verb are those that it has when nothing happens. For each, a daemon with HOSTLER_CRASH_AT dies there, the next one starts,
and everything must hold: the VM is as before or as afterwards, nothing is lost or left over, the job has ended with a reason, and the verb
can be asked for again.
"""
import contextlib
import dataclasses
import http.client
import json
import random
import shutil
import time
import typing

from api import ENDED
from crash import SMALL, api_of, ask_again, check_whole, find, make, qemus
from harness import Daemon, limit, wait_until

POINTS = ("@commit", "@end")
CRASH_LIMIT_S = 60


def power(vm):
    return vm["status"]["power"]


@dataclasses.dataclass
class Case:
    """A verb and what it is to be killed in. `request` and the functions get the name of a VM made for this one crash."""
    verb: str
    request: typing.Callable  # name → (method, path, body)
    after: typing.Callable  # VM or None → is it as the verb leaves it
    prepare: typing.Callable = lambda daemon, name: make(daemon, name, start=False)
    before: typing.Callable = None  # VM or None → is it as it was; None: the verb is always done in the end
    refusal: str = None  # the code with which the verb, once done, may refuse to be done again
    same_process: bool = False  # the guest goes on throughout
    kept: typing.Callable = lambda name: ()  # names of volumes that it leaves
    reset: typing.Callable = lambda daemon, name: remove(daemon, name)


def crash_everywhere(daemon, case):
    for number, point in enumerate(points_of(daemon, case)):
        crash_at(daemon, case, f"c{number}", point)


def points_of(daemon, case):
    """Runs the verb once, undisturbed."""
    case.prepare(daemon, "whole")
    api_of(daemon).job(*case.request("whole"))
    job = newest_job(daemon, case.verb)
    case.reset(daemon, "whole")
    steps = [step["name"] for step in job["steps"]]
    return [f"{name}:{steps[:index].count(name) + 1}" for index, name in enumerate(steps)] + list(POINTS)


def newest_job(daemon, verb):
    return next(job for job in api_of(daemon).settle(CRASH_LIMIT_S) if job["verb"] == verb)


def crash_at(daemon, case, name, point):
    case.prepare(daemon, name)
    vm = find(daemon, name)
    pid = vm and vm["status"].get("pid")
    daemon.kill()
    daemon.start(environment={"HOSTLER_CRASH_AT": f"{case.verb}:{point}"})
    crashed = run_to_crash(daemon, case.request(name))
    assert crashed or point == "@commit", f"has not come to {point}: {newest_job(daemon, case.verb)}"
    if not crashed:
        daemon.kill()
    daemon.start()
    where = f"{case.verb} after a crash at {point}"
    check_outcome(daemon, case, name, pid, where)
    check_again(daemon, case, name, where)
    case.reset(daemon, name)


def run_to_crash(daemon, request):
    """True if the daemon died of it."""
    try:
        api = api_of(daemon)
        api.wait_job(api.call(*request))
    except (OSError, http.client.HTTPException):
        daemon.process.wait(CRASH_LIMIT_S)
        return True
    return False


def check_outcome(daemon, case, name, pid, where):
    check_whole(daemon, case.kept(name))
    job, vm = newest_job(daemon, case.verb), find(daemon, name)
    if job["state"] == "done":
        assert case.after(vm), f"{where}: done, but the VM is {json.dumps(vm)}"
    else:
        assert case.before and case.before(vm), f"{where}: {json.dumps(job)}, the VM is {json.dumps(vm)}"
    if case.same_process:
        assert vm["status"]["pid"] == pid, f"{where}: the guest did not go on"


def check_again(daemon, case, name, where):
    ask_again(daemon, case.request(name), case.refusal, where)
    assert case.after(find(daemon, name)), f"{where}: asked for again it is not as it should be"


def remove(daemon, name):
    vm = find(daemon, name)
    if vm:
        api_of(daemon).job("DELETE", f"/v1/vms/{vm['id']}?now=true&yes=true")
    shutil.rmtree(daemon.state / "volumes", ignore_errors=True)


def post(verb, **body):
    return lambda name: ("POST", f"/v1/vms/{name}/{verb}", body)


def patch(**spec):
    return lambda name: ("PATCH", f"/v1/vms/{name}", {"spec": spec})


def prepared(*verbs, **spec):
    """Makes a running VM and runs verbs on it."""
    def prepare(daemon, name):
        make(daemon, name, **spec)
        for verb in verbs:
            api_of(daemon).job(*post(verb)(name))
    return prepare


def is_power(wanted):
    return lambda vm: vm and not vm.get("trashed") and power(vm) == wanted


def run(*cases):
    with Daemon(images=()) as daemon:
        for case in cases:
            crash_everywhere(daemon, case)


# ---- creating and removing ----


def create(**more):
    return lambda name: ("POST", "/v1/vms", {"name": name, "spec": SMALL} | more)


def nothing(daemon, name):
    assert not find(daemon, name)


def test_create():
    run(Case("vm.create", create(), is_power("off"), prepare=nothing, refusal="exists"),
        Case("vm.create", create(start=True), is_power("running"), prepare=nothing, refusal="exists"),
        Case("vm.start", create(start=True), is_power("running"), prepare=nothing, refusal="exists"))


def test_rename_remove_undelete():
    gone = lambda vm: vm is None
    trashed = lambda vm: vm and vm.get("trashed")
    run(Case("vm.rename", lambda name: ("POST", f"/v1/vms/{name}/rename", {"name": "new"}), gone, refusal="not-found", reset=remove_new),
        Case("vm.rm", delete("yes=true"), trashed, prepare=prepared(), refusal="not-found"),
        Case("vm.rm", delete("now=true"), gone, refusal="not-found"),
        Case("vm.rm", delete("now=true&yes=true"), gone, prepare=prepared(), refusal="not-found"),
        Case("vm.undelete", post("undelete"), is_power("off"), prepare=trash, refusal="not-found"))


def remove_new(daemon, name):
    assert find(daemon, "new") or find(daemon, name)
    remove(daemon, "new")
    remove(daemon, name)


def delete(query):
    return lambda name: ("DELETE", f"/v1/vms/{name}?{query}", None)


def trash(daemon, name):
    make(daemon, name, start=False)
    api_of(daemon).job("DELETE", f"/v1/vms/{name}")


def test_keep_disks():
    kept = {}

    def prepare(daemon, name):
        make(daemon, name, start=False, disk1={"size": 1 << 20})
        kept[name] = [f"{name}-{find(daemon, name)['id'][:8]}-disk{number}.qcow2" for number in (0, 1)]

    run(Case("vm.rm", delete("keep_disks=true"), lambda vm: vm is None, prepare=prepare, refusal="not-found", kept=lambda name: kept.get(name, ())))


# ---- power ----


def test_start_and_hard_stop():
    run(Case("vm.start", post("start"), is_power("running")),
        Case("vm.stop", post("stop", hard=True), is_power("off"), prepare=prepared()),
        Case("vm.restart", post("restart", hard=True), is_power("running"), prepare=prepared(), same_process=True))


def check_started_once(daemon, where):
    """The VM runs in one QEMU; when none is to wait any more there is no other."""
    api = api_of(daemon)
    api.settle(CRASH_LIMIT_S)
    daemon.hostler("host", "set", "--pool-warm", "0")
    wait_until(lambda: not daemon.show("vm")["status"]["warm"], 20, f"{where}: none waits")
    check_whole(daemon)
    vm, job = find(daemon, "vm"), newest_job(daemon, "vm.start")
    assert power(vm) == ("running" if job["state"] == "done" else "off"), f"{where}: {job}, the VM is {vm['status']}"
    assert qemus(daemon) == ([vm["status"]["pid"]] if power(vm) == "running" else []), f"{where}: {daemon.processes()}"


def warm_up(daemon, **environment):
    """The next daemon has one that waits; its pid."""
    daemon.hostler("host", "set", "--pool-warm", "1")
    daemon.kill()
    daemon.start(environment=environment)
    wait_until(lambda: daemon.show("vm")["status"]["warm"], 30, "a QEMU waits")
    return qemus(daemon)[0]


def test_start_from_the_warm_pool():
    """The daemon is killed at each step of a start that takes a waiting QEMU, and at any moment of it."""
    moments = random.Random(1)
    with Daemon(images=()) as daemon:
        make(daemon, "vm", start=False)
        pid = warm_up(daemon)
        api_of(daemon).job(*post("start")("vm"))
        assert find(daemon, "vm")["status"]["pid"] == pid
        steps = [step["name"] for step in newest_job(daemon, "vm.start")["steps"]]
        for point in (*steps, "@end", *[None] * 4):
            daemon.hostler("stop", "--hard", "vm") if find(daemon, "vm")["status"]["power"] == "running" else None
            warm_up(daemon, **({"HOSTLER_CRASH_AT": f"vm.start:{point}"} if point else {}))
            if point:
                assert run_to_crash(daemon, post("start")("vm")), f"has not come to {point}"
            else:
                api_of(daemon).call(*post("start")("vm"))
                time.sleep(moments.uniform(0, 0.06))
                daemon.kill()
            daemon.start()
            check_started_once(daemon, f"after a crash at {point}")


def test_pause_and_resume():
    run(Case("vm.pause", post("pause"), is_power("paused"), prepare=prepared(), same_process=True),
        Case("vm.resume", post("resume"), is_power("running"), prepare=prepared("pause"), same_process=True))


def test_suspend():
    run(Case("vm.suspend", post("suspend"), is_power("suspended"), prepare=prepared(), before=is_power("running")),
        Case("vm.suspend", post("suspend"), is_power("suspended"), prepare=prepared("pause"), before=is_power("paused")))


def test_resume_from_disk():
    run(Case("vm.resume", post("resume"), is_power("running"), prepare=prepared("suspend")),
        Case("vm.start", post("start"), is_power("running"), prepare=prepared("suspend")),
        Case("vm.stop", post("stop", hard=True), is_power("off"), prepare=prepared("suspend")))


# ---- snapshots ----


class Snapshots:
    """Makes VMs with snapshots and tells what they have; a Case's functions are told of the VM only."""

    def __init__(self, *taken, live=True):
        self.taken, self.live, self.daemon = taken, live, None

    def prepare(self, daemon, name):
        self.daemon = daemon
        make(daemon, name, start=self.live, disk1={"size": 1 << 20})
        for snapshot in self.taken:
            api_of(daemon).job("POST", f"/v1/vms/{name}/snapshots", {"name": snapshot})

    def are(self, *names, power=None):
        def check(vm):
            found = {snapshot["name"] for snapshot in api_of(self.daemon).call("GET", f"/v1/vms/{vm['id']}/snapshots")}
            return found == set(names) and (power is None or vm["status"]["power"] == power)
        return check


def snapshot(**body):
    return lambda name: ("POST", f"/v1/vms/{name}/snapshots", {"name": "new"} | body)


@limit(600)
def test_snapshot_create():
    live, off, disks = Snapshots(), Snapshots(live=False), Snapshots("old")
    run(Case("snapshot.create", snapshot(), live.are("new", power="running"), prepare=live.prepare, before=live.are(power="running"),
             refusal="exists", same_process=True),
        Case("snapshot.create", snapshot(disk_only=True), disks.are("old", "new"), prepare=disks.prepare, before=disks.are("old"),
             refusal="exists", same_process=True),
        Case("snapshot.create", snapshot(), off.are("new", power="off"), prepare=off.prepare, before=off.are(power="off"), refusal="exists"))


@limit(600)
def test_snapshot_revert():
    live, off = Snapshots("one", "two"), Snapshots("one", "two", live=False)
    revert = lambda name: ("POST", f"/v1/vms/{name}/revert", {"snapshot": "one"})
    run(Case("vm.revert", revert, live.are("one", "two", power="running"), prepare=live.prepare, before=live.are("one", "two")),
        Case("vm.revert", revert, off.are("one", "two", power="off"), prepare=off.prepare, before=off.are("one", "two")))


@limit(600)
def test_snapshot_remove():
    live, off = Snapshots("one", "two", "three"), Snapshots("one", "two", "three", live=False)
    remove_one = lambda name: ("DELETE", f"/v1/vms/{name}/snapshots/two", None)
    run(Case("snapshot.rm", remove_one, live.are("one", "three"), prepare=live.prepare, refusal="not-found", same_process=True),
        Case("snapshot.rm", remove_one, off.are("one", "three"), prepare=off.prepare, refusal="not-found"))


class Clones(Snapshots):
    """Of the VM a clone is made each time, under another name that the next one may not find taken."""

    def made(self, *clones):
        def check(vm):
            names = {other["name"] for other in api_of(self.daemon).call("GET", "/v1/vms")}
            return names == {vm["name"], *(f"{vm['name']}-{clone}" for clone in clones)}
        return check

    def reset(self, daemon, name):
        for clone in ("a", "b"):
            remove(daemon, f"{name}-{clone}")
        remove(daemon, name)


@limit(600)
def test_clone():
    live, off = Clones(), Clones("one", live=False)
    clone = lambda **how: lambda name: ("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a", f"{name}-b"]} | how)
    run(Case("vm.clone", clone(), live.made("a", "b"), prepare=live.prepare, before=live.made(), refusal="exists", reset=live.reset, same_process=True),
        Case("vm.clone", clone(full=True), off.made("a", "b"), prepare=off.prepare, before=off.made(), refusal="exists", reset=off.reset))


# ---- changes ----


def has(part, **values):
    return lambda vm: part in vm["spec"] and all(vm["spec"][part][name] == value for name, value in values.items())


def test_set():
    run(Case("vm.set", patch(cpu={"count": 2}), has("cpu", count=2)),
        Case("vm.set", patch(memory={"size": 128 << 20}), has("memory", size=128 << 20)),
        Case("vm.set", patch(disk0={"size": 32 << 20}), has("disk0", size=32 << 20)),
        Case("vm.set", patch(disk0={"size": 32 << 20}, disk1={"size": 1 << 20}, cpu={"count": 2}), has("disk1", size=1 << 20)))


def test_set_live():
    run(Case("vm.set", patch(cpu={"count": 2}), has("cpu", count=2), prepare=prepared(), same_process=True),
        Case("vm.set", patch(disk0={"size": 32 << 20}), has("disk0", size=32 << 20), prepare=prepared(), same_process=True),
        Case("vm.set", patch(nic0={"link": False}, disk0={"size": 32 << 20}), has("nic0", link=False), prepare=prepared(), same_process=True))


def test_set_with_generation():
    """A change with If-Match that was stored before the crash is done, though its generation is no longer the one it named."""
    def request(name):
        return "PATCH", f"/v1/vms/{name}", {"spec": {"cpu": {"count": 2}}}, {"If-Match": '"1"'}

    run(Case("vm.set", request, has("cpu", count=2), refusal="precondition"))


def add(name):
    return "POST", f"/v1/vms/{name}/disks", {"size": 1 << 20, "name": "more"}


def test_disks():
    run(Case("disk.add", add, has("more", size=1 << 20), refusal="exists"),
        Case("disk.rm", lambda name: ("DELETE", f"/v1/vms/{name}/disks/disk0", None), lambda vm: "disk0" not in vm["spec"], refusal="not-found"))


# ---- a crash in the recovery from a crash ----


def test_undo_cut_off():
    """Suspend is cut off, and then the undoing of it; the guest goes on all the same."""
    with Daemon(images=()) as daemon:
        for point in ("@undo", "@undo:2", "@end"):
            make(daemon, "vm")
            pid = find(daemon, "vm")["status"]["pid"]
            daemon.kill()
            daemon.start(environment={"HOSTLER_CRASH_AT": "vm.suspend:end"})
            assert run_to_crash(daemon, post("suspend")("vm"))
            daemon.spawn(environment={"HOSTLER_CRASH_AT": f"vm.suspend:{point}"})
            daemon.process.wait(CRASH_LIMIT_S)
            daemon.start()
            check_whole(daemon)
            vm = find(daemon, "vm")
            assert power(vm) == "running" and vm["status"]["pid"] == pid, f"after a crash at {point}: {vm['status']}"
            remove(daemon, "vm")


def test_the_same_crash_again_and_again():
    """A verb that takes the daemon down each time is given up after some attempts, and undone."""
    with Daemon(images=()) as daemon:
        make(daemon, "vm", start=False)
        daemon.kill()
        daemon.start(environment={"HOSTLER_CRASH_AT": "vm.start:run"})
        assert run_to_crash(daemon, post("start")("vm"))
        lives = 1
        daemon.spawn(environment={"HOSTLER_CRASH_AT": "vm.start:run"})
        while dies_of_its_jobs(daemon):
            lives += 1
            daemon.spawn(environment={"HOSTLER_CRASH_AT": "vm.start:run"})
            assert lives < 10, "the verb is tried for ever"
        assert lives > 2, "the verb was given up at once"
        check_whole(daemon)
        assert newest_job(daemon, "vm.start")["state"] == "failed"
        assert power(find(daemon, "vm")) == "off"
        daemon.restart()
        api_of(daemon).job(*post("start")("vm"))


def dies_of_its_jobs(daemon):
    """True if the daemon dies, false once it has ended all jobs."""
    def outcome():
        if daemon.process.poll() is not None:
            return "died"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return all(job["state"] in ENDED for job in api_of(daemon).call("GET", "/v1/jobs")) and "lives"
    return wait_until(outcome, 30) == "died"


# ---- images ----


def import_image(daemon, name):
    disk = daemon.folder / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    api_of(daemon).job("POST", f"/v1/images/{name}/import", {"file": str(disk), "format": "raw"})


def test_images():
    """Images are no VMs: they are looked for by hand, and check_whole() sees what is left in their folder."""
    with Daemon(images=()) as daemon:
        request = lambda name: ("POST", f"/v1/images/{name}/import", {"file": str(daemon.folder / "disk.img"), "format": "raw"})
        import_image(daemon, "whole")
        for verb, ask, there in (("image.import", request, True), ("image.rm", lambda name: ("DELETE", f"/v1/images/{name}", None), False)):
            if there:
                api_of(daemon).job("DELETE", "/v1/images/whole")
            api_of(daemon).job(*ask("whole"))
            for number, point in enumerate([step["name"] for step in newest_job(daemon, verb)["steps"]] + ["@end"]):
                crash_image_at(daemon, verb, ask, there, f"i{number}", point)


def crash_image_at(daemon, verb, ask, there, name, point):
    if not there:
        import_image(daemon, name)
    daemon.kill()
    daemon.start(environment={"HOSTLER_CRASH_AT": f"{verb}:{point}"})
    assert run_to_crash(daemon, ask(name)), f"{verb} has not come to {point}"
    daemon.start()
    check_whole(daemon)
    is_there = lambda: name in {image["name"] for image in api_of(daemon).call("GET", "/v1/images") if image.get("created")}
    done = newest_job(daemon, verb)["state"] == "done"
    assert is_there() == there or not done, f"{verb} after a crash at {point}"
    if is_there() != there:
        api_of(daemon).job(*ask(name))
    assert is_there() == there
    if there:
        api_of(daemon).job("DELETE", f"/v1/images/{name}")


CRASHED_BY_HAND = ("image.import", "image.rm")


# ---- with a guest that has booted ----


@limit(600)
def test_guest_that_stops_and_restarts(daemon):
    """The guest takes part: it is asked again by the next daemon."""
    boot = lambda daemon, name: daemon.create(name, "memory.size=192M")
    for case in (Case("vm.stop", post("stop", timeout=60000), is_power("off"), prepare=boot),
                 Case("vm.restart", post("restart", timeout=60000), is_power("running"), prepare=boot)):
        for point in ("ask", "@end"):
            crash_at(daemon, case, "guest", point)


@limit(600)
def test_guest_that_lets_go(daemon):
    """Memory and disks of one running guest, added and taken away, with a crash at each step."""
    pid = daemon.create("guest")["status"]["pid"]
    delete_disk = lambda name: ("DELETE", f"/v1/vms/{name}/disks/more", None)
    keep = {"prepare": lambda daemon, name: None, "reset": lambda daemon, name: None, "same_process": True}
    for point in ("volume", "change", "store", "@commit", "@end"):
        crash_at(daemon, Case("disk.add", add, has("more", size=1 << 20), refusal="exists", **keep), "guest", point)
        removal = "delete" if point == "volume" else point
        crash_at(daemon, Case("disk.rm", delete_disk, lambda vm: "more" not in vm["spec"], refusal="not-found", **keep), "guest", removal)
    for size, point in ((320, "change"), (256, "store"), (320, "@commit"), (256, "@end")):
        crash_at(daemon, Case("vm.set", patch(memory={"size": size << 20}), has("memory", size=size << 20), **keep), "guest", point)
    for point in ("identity", "@end"):
        crash_at(daemon, Case("vm.renew-identity", post("renew-identity"), lambda vm: "identity_of" not in vm["status"], **keep), "guest", point)
    assert find(daemon, "guest")["status"]["pid"] == pid and daemon.guest("guest", "hostname") == "guest"
