"""QEMU is killed at each step of each verb that works with one: every QEMU there is, once while the job is about to act, and where memory or
disks are copied once more while it does.

Afterwards there is exactly one consistent VM, and all of its clones or none; its disks read what they read before or what the verb makes of them;
nothing is left over; the job has ended and says why; the VM can be started, and the verb be asked for again.
"""
import dataclasses
import json
import random
import subprocess
import time
import typing

from crash import Hold, alive, api_of, ask_again, check_whole, find, history_of, kill_qemus, make
from harness import Daemon, limit, wait_until
from test_crash_steps import is_power, points_of, power, remove
from test_disk_move import disk_files
from test_pools import make_pool

MIB = 1 << 20
OLD, NEW = 0x11, 0x22
MARKED_MIB = 4
seed = random.Random(1)


@dataclasses.dataclass
class Case:
    verb: str
    request: typing.Callable  # name → (method, path, body)
    prepare: typing.Callable  # (daemon, name)
    after: typing.Callable  # (daemon, VM or None) → is it as the verb leaves it
    before: typing.Callable = lambda daemon, vm: vm is not None
    patterns: tuple = (OLD,)  # what its disk may read; the last one once the verb is done
    refusal: str = None  # the code with which the verb, once done, may refuse to be done again
    midst: tuple = ()  # points at which it is also killed while the job acts
    reset: typing.Callable = lambda daemon, name: remove_all(daemon)


# ---- disks with something on them ----


def head_of(daemon, vm):
    heads = {head["part"]: head["file"] for head in history_of(daemon, vm).get("heads", [])}
    pool, _, file = heads.get("disk0", "disk0.qcow2").rpartition("/")
    return (daemon.folder / pool if pool else daemon.state / "vms") / vm["id"] / file


def mark(daemon, name, pattern):
    """Of a VM that is off."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 {MARKED_MIB}M", head_of(daemon, find(daemon, name))],
                   check=True, capture_output=True)


def reads(daemon, vm, pattern):
    done = subprocess.run(["qemu-io", "-r", "-U", "-f", "qcow2", "-c", f"read -P {pattern} 0 {MARKED_MIB}M", head_of(daemon, vm)],
                          capture_output=True, text=True)
    return done.returncode == 0 and "failed" not in done.stdout


def marked(daemon, name, *snapshots, start=True, **spec):
    make(daemon, name, start=False, **spec)
    mark(daemon, name, OLD)
    if start:
        act(daemon, name, "start")
    for snapshot in snapshots:
        api_of(daemon).job("POST", f"/v1/vms/{name}/snapshots", {"name": snapshot})


def act(daemon, name, verb, **body):
    api_of(daemon).job("POST", f"/v1/vms/{name}/{verb}", body)


def with_change(daemon, name):
    """A snapshot with memory, and since then another disk's contents."""
    marked(daemon, name, "one")
    act(daemon, name, "stop", hard=True)
    mark(daemon, name, NEW)
    act(daemon, name, "start")


def linked(daemon, name):
    """The VM is a clone of another one."""
    marked(daemon, f"{name}-source", start=False)
    act(daemon, f"{name}-source", "clone", names=[name])
    act(daemon, name, "start")


def remove_all(daemon):
    """Clones before what they stand on."""
    for vm in sorted(api_of(daemon).call("GET", "/v1/vms"), key=lambda vm: vm["name"].endswith("-source") or "-" not in vm["name"]):
        remove(daemon, vm["name"])


# ---- killing ----


def kill_everywhere(daemon, case):
    points = points_of(daemon, case)
    for number, point in enumerate(points):
        kill_at(daemon, case, f"k{number}", point, midst=False)
    for number, point in enumerate(case.midst):
        kill_at(daemon, case, f"m{number}", point, midst=True)


def kill_at(daemon, case, name, point, midst):
    case.prepare(daemon, name)
    hold, api = Hold(daemon), api_of(daemon)
    hold.at(f"{case.verb}:{point}")
    job = api.call(*case.request(name))
    if hold.wait(lambda: api.call("GET", f"/v1/jobs/{job['id']}")):
        if not midst:
            kill_qemus(daemon)
        hold.go()
        if midst:
            time.sleep(seed.uniform(0, 0.06))
            kill_qemus(daemon)
    job = api.wait_job(job)
    check(daemon, case, name, job, f"{case.verb}, QEMU killed {'after' if midst else 'at'} {point}")
    case.reset(daemon, name)


def check(daemon, case, name, job, where):
    wait_until(lambda: all(alive(vm["status"]["pid"]) for vm in api_of(daemon).call("GET", "/v1/vms") if vm["status"].get("pid")), 5,
               "every death was seen")
    check_whole(daemon)
    vm = find(daemon, name)
    done = job["state"] == "done"
    print(where, job["state"], job.get("error", {}).get("detail"), vm and power(vm))
    assert (case.after if done else case.before)(daemon, vm), f"{where}: {json.dumps(job)}, the VM is {json.dumps(vm)}"
    if vm and not vm.get("trashed"):
        wanted = case.patterns[-1:] if done else case.patterns
        assert any(reads(daemon, vm, pattern) for pattern in wanted), f"{where}: its disk reads something else"
        if power(vm) != "running":
            act(daemon, name, "start")
    again(daemon, case, name, where)


def again(daemon, case, name, where):
    ask_again(daemon, case.request(name), case.refusal, where)
    vm = find(daemon, name)
    assert case.after(daemon, vm), f"{where}: asked for again it is not as it should be"
    assert not vm or reads(daemon, vm, case.patterns[-1]), f"{where}: asked for again its disk reads something else"


def run(*cases):
    with Daemon(images=(), start=False) as daemon:
        Hold.prepare(daemon)
        daemon.start()
        make_pool(daemon, "fast")
        for case in cases:
            kill_everywhere(daemon, case)


# ---- the verbs ----


def post(verb, **body):
    return lambda name: ("POST", f"/v1/vms/{name}/{verb}", body)


def has(*names):
    """Exactly these snapshots."""
    return lambda daemon, vm: {row["name"] for row in api_of(daemon).call("GET", f"/v1/vms/{vm['id']}/snapshots")} == set(names)


def clones(*names):
    """Exactly these clones."""
    return lambda daemon, vm: ({other["name"] for other in api_of(daemon).call("GET", "/v1/vms")}
                               == {vm["name"], *(f"{vm['name']}-{name}" for name in names)})


def lies_in(pool):
    """All that there is of its disk."""
    return lambda daemon, vm: (len(disk_files(daemon, vm["name"], "disk0")) == 1 and vm["spec"]["disk0"].get("pool", "default") == pool
                               and head_of(daemon, vm).exists() and (head_of(daemon, vm).parent.parent.name == "fast") == (pool == "fast"))


def is_flat(daemon, vm):
    return not history_of(daemon, vm).get("origins")


@limit(600)
def test_suspend_and_snapshots():
    run(Case("vm.suspend", post("suspend"), marked, lambda daemon, vm: is_power("suspended")(vm), midst=("save",)),
        Case("snapshot.create", post("snapshots", name="new"), marked, has("new"), before=has(), refusal="exists", midst=("memory",)),
        Case("snapshot.rm", lambda name: ("DELETE", f"/v1/vms/{name}/snapshots/one", None), lambda daemon, name: marked(daemon, name, "one", "two"),
             has("two"), refusal="not-found", midst=("tidy",)))


@limit(600)
def test_disk_move():
    run(Case("disk.move", lambda name: ("POST", f"/v1/vms/{name}/disks/disk0/move", {"pool": "fast"}), marked, lies_in("fast"), before=lies_in("default"),
             midst=("copy", "switch", "@commit")))


@limit(600)
def test_revert():
    run(Case("vm.revert", post("revert", snapshot="one"), with_change, has("one"), before=has("one"), patterns=(NEW, OLD), midst=("load",)))


@limit(600)
def test_clones():
    named = lambda **how: lambda name: ("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a", f"{name}-b"]} | how)
    no_nic = lambda daemon, name: marked(daemon, name, nic0=None)
    run(Case("vm.clone", named(), marked, clones("a", "b"), before=clones(), refusal="exists"),
        Case("vm.clone", named(full=True), marked, clones("a", "b"), before=clones(), refusal="exists", midst=("clone:1",)),
        Case("vm.clone", named(instant=True), no_nic, clones("a", "b"), before=clones(), refusal="exists",
             midst=("freeze", "mould", "load:1", "load:2", "run")))


@limit(600)
def test_flatten_and_remove():
    run(Case("vm.flatten", post("flatten"), linked, is_flat, midst=("flatten",)),
        Case("vm.rm", lambda name: ("DELETE", f"/v1/vms/{name}?now=true&yes=true", None), marked, lambda daemon, vm: vm is None, refusal="not-found"))
