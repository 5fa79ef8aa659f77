"""Random operations against a model: whatever is written, kept, gone back to, cloned, flattened, suspended and removed in whatever order, live guests
see on their disks and in their memory what the model says, and disks of VMs that are off read it with qemu-io, each snapshot's files too.

HOSTLER_OPERATIONS says how many (200 with guests and 10,000 without are the whole of it, CI does fewer), HOSTLER_SEED which; both are printed.
"""
import copy
import dataclasses
import os
import random
import subprocess
import time

from crash import api_of, check_whole, histories_of, make
from harness import Daemon, limit

OPERATIONS, OFF_OPERATIONS = (int(os.environ.get("HOSTLER_OPERATIONS", number)) for number in ("18", "60"))
SEED = int(os.environ.get("HOSTLER_SEED", str(int(time.time()))))
CELLS = 4  # places on the second disk that are written to
PLACE = 128 << 10  # how far apart they are in files
READ = ("cat /root/note 2> /dev/null || echo -; for i in 0 1 2 3; do dd if=/dev/vdb bs=4096 skip=$i count=1 iflag=direct 2> /dev/null | tr -d '\\0'; echo; done;"
        "cat /tmp/mem/note 2> /dev/null || echo -")


@dataclasses.dataclass
class Machine:
    """What a VM's guest should see. `memory` None: it is off."""
    note: str = "-"  # on the file system of its first disk
    cells: list = dataclasses.field(default_factory=lambda: [""] * CELLS)
    memory: str = "-"
    power: str = "running"
    snapshots: dict = dataclasses.field(default_factory=dict)  # name → Machine without snapshots; power off: of the disks
    linked_to: str = None

    def moment(self, power):
        kept = copy.deepcopy(self)
        kept.snapshots, kept.power = {}, power
        kept.memory = self.memory if power == "running" else None
        return kept


class World:
    def __init__(self, daemon):
        self.daemon, self.api = daemon, api_of(daemon)
        self.random = random.Random(SEED)
        self.vms = {"a": Machine()}
        self.count = 0
        self.log = []

    def fresh(self, prefix=""):
        self.count += 1
        return f"{prefix}{self.count}"

    def shell(self, vm, script):
        return self.daemon.guest(vm, "sh", "-c", script)

    # ---- what can be done, and what it should do ----

    def write(self, name, vm):
        text, cell = self.fresh("w"), self.random.randrange(CELLS)
        self.shell(name, "grep -q /tmp/mem /proc/mounts || { mkdir -p /tmp/mem; mount -t tmpfs none /tmp/mem; };"
                   f"echo {text} > /root/note; echo {text} > /tmp/mem/note; echo {text} | tr -d '\\n' | dd of=/dev/vdb bs=4096 seek={cell} conv=notrunc,sync"
                   " oflag=direct 2> /dev/null; sync")
        vm.note = vm.memory = vm.cells[cell] = text

    def snapshot(self, name, vm):
        taken, only = self.fresh("s"), vm.power == "running" and self.random.random() < 0.3
        self.api.job("POST", f"/v1/vms/{name}/snapshots", {"name": taken, "disk_only": only})
        vm.snapshots[taken] = vm.moment("running" if vm.power == "running" and not only else "off")

    def revert(self, name, vm):
        to = self.random.choice(sorted(vm.snapshots))
        self.api.job("POST", f"/v1/vms/{name}/revert", {"snapshot": to})
        then = copy.deepcopy(vm.snapshots[to])
        vm.note, vm.cells, vm.memory, vm.power = then.note, then.cells, then.memory, then.power

    def forget(self, name, vm):
        gone = self.random.choice(sorted(vm.snapshots))
        self.api.job("DELETE", f"/v1/vms/{name}/snapshots/{gone}")
        del vm.snapshots[gone]

    def clone(self, name, vm):
        full, new = self.random.random() < 0.4, self.fresh("c")
        self.api.job("POST", f"/v1/vms/{name}/clone", {"names": [new], "full": full, "linked": not full})
        self.vms[new] = vm.moment("off")
        self.vms[new].linked_to = None if full else name

    def instant(self, name, vm):
        new = self.fresh("i")
        self.api.job("POST", f"/v1/vms/{name}/clone", {"names": [new], "instant": True})
        self.vms[new] = vm.moment("running")
        self.vms[new].linked_to = name

    def flatten(self, name, vm):
        self.api.job("POST", f"/v1/vms/{name}/flatten", {})
        vm.linked_to = None
        self.api.settle()  # its source is tidied

    def suspend(self, name, vm):
        self.api.job("POST", f"/v1/vms/{name}/suspend", {})
        vm.power = "suspended"

    def resume(self, name, vm):
        self.api.job("POST", f"/v1/vms/{name}/resume", {})
        vm.power = "running"

    def stop(self, name, vm):
        self.api.job("POST", f"/v1/vms/{name}/stop", {"hard": True})
        vm.power, vm.memory = "off", None

    def start(self, name, vm):
        self.api.job("POST", f"/v1/vms/{name}/start", {})
        vm.power, vm.memory = "running", "-"

    def remove(self, name, vm):
        self.api.job("DELETE", f"/v1/vms/{name}?now=true&yes=true")
        del self.vms[name]
        self.api.settle()

    def restart_daemon(self, name, vm):
        self.daemon.restart(kill=True)
        self.api = api_of(self.daemon)

    # ---- choosing ----

    def can(self, name, vm):
        """(operation, how often) of what this VM can be asked now."""
        running, off, room = vm.power == "running", vm.power == "off", len(self.vms) < 3
        alive = sum(other.power == "running" for other in self.vms.values())
        yield from ((self.write, 5), (self.suspend, 1), (self.stop, 1)) if running else ()
        yield from ((self.start, 2),) if off and alive < 2 else ()
        yield from ((self.resume, 4),) if vm.power == "suspended" else ()
        yield from ((self.snapshot, 3),) if vm.power != "suspended" and len(vm.snapshots) < 5 else ()
        yield from ((self.revert, 2), (self.forget, 2)) if vm.snapshots and (alive < 2 or running) else ()
        yield from ((self.clone, 1),) if room and vm.power != "suspended" else ()
        yield from ((self.instant, 1),) if room and running and alive < 2 else ()
        yield from ((self.flatten, 3),) if vm.linked_to and vm.power != "suspended" else ()
        if len(self.vms) > 1 and not any(other.linked_to == name for other in self.vms.values()):
            yield self.remove, 1
        yield self.restart_daemon, 0.3

    def check_all(self, touched):
        for name in sorted(self.vms):
            self.check(name, self.vms[name])

    def step(self):
        name = self.random.choice(sorted(self.vms))
        vm = self.vms[name]
        operations, weights = zip(*self.can(name, vm))
        operation = self.random.choices(operations, weights)[0]
        self.log.append(f"{operation.__name__} {name}")
        operation(name, vm)
        self.check_all(name)

    def check(self, name, vm):
        if vm.power != "running":
            assert self.daemon.power(name) == vm.power
            return
        self.daemon.hostler("wait", name, "agent", timeout=180)
        wanted = [vm.note, *vm.cells, vm.memory]
        seen = self.shell(name, READ).split("\n")
        assert seen == wanted, f"{name} sees {seen}, should see {wanted}; after {self.log}"


@limit(7200)
def test_operations(daemon):
    print(f"HOSTLER_SEED={SEED} HOSTLER_OPERATIONS={OPERATIONS}")
    daemon.create("a", "memory.size=128M", "disk1.size=16M")
    world = World(daemon)
    try:
        for _ in range(OPERATIONS):
            world.step()
    except Exception:
        print(f"HOSTLER_SEED={SEED}: {world.log}")
        raise
    check_whole(daemon)
    # What cannot be seen while it is off or kept: every snapshot, once more.
    for name in sorted(world.vms):
        vm = world.vms[name]
        for snapshot in sorted(vm.snapshots)[-2:]:
            world.api.job("POST", f"/v1/vms/{name}/revert", {"snapshot": snapshot})
            then = vm.snapshots[snapshot]
            vm.note, vm.cells, vm.memory, vm.power = then.note, then.cells, then.memory, then.power
            if vm.power == "off":
                world.start(name, vm)
            world.check(name, vm)
    print(f"{len(world.log)} operations: {world.log}")


# ---- without guests, on the files themselves ----


class OffWorld(World):
    """VMs that are off, with two disks; `cells` is what both have at CELLS places: a byte each, with which 4 KiB are filled."""

    def __init__(self, daemon):
        super().__init__(daemon)
        self.vms["a"].cells, self.vms["a"].power = [0] * CELLS, "off"

    def files(self, name, disks):
        folder = self.daemon.state / "vms" / self.ids[name]
        return [folder / disk["file"] for disk in disks]

    def histories(self):
        """All of them, from one copy of the store; VMs that have no layers yet have one file for each disk."""
        plain = [{"part": part, "file": f"{part}.qcow2"} for part in ("disk0", "disk1")]
        self.ids = {vm["name"]: vm["id"] for vm in self.api.call("GET", "/v1/vms")}
        histories = {}
        for name, history in histories_of(self.daemon, self.ids).items():
            histories[name] = {"heads": history.get("heads") or plain, "snapshots": {row["name"]: row["disks"] for row in history.get("snapshots", [])}}
        return histories

    def write(self, name, vm):
        byte, cell = self.random.randrange(1, 256), self.random.randrange(CELLS)
        for file in self.files(name, self.histories()[name]["heads"]):
            qemu_io(file, f"write -P {byte} {cell * PLACE} 4k")
        vm.cells[cell] = byte

    def reads(self, files, cells, where):
        for file in files:
            said = qemu_io(file, *(f"read -P {byte} {cell * PLACE} 4k" for cell, byte in enumerate(cells)), "-r")
            assert "failed" not in said, f"{where}: {file.name} does not read {cells}: {said}; HOSTLER_SEED={SEED}, after {self.log[-30:]}"

    def check_all(self, touched):
        """The VM that was touched and, of another one, any snapshot."""
        histories = self.histories()
        for name in {touched, self.random.choice(sorted(self.vms))} & set(self.vms):
            self.look(name, histories[name], some=True)

    def look(self, name, history, some=False):
        vm = self.vms[name]
        self.reads(self.files(name, history["heads"]), vm.cells, name)
        assert set(history["snapshots"]) == set(vm.snapshots), f"{name} has {set(history['snapshots'])}, should have {set(vm.snapshots)}"
        names = sorted(vm.snapshots)
        for snapshot in self.random.sample(names, 1) if some and names else names:
            self.reads(self.files(name, history["snapshots"][snapshot]), vm.snapshots[snapshot].cells, f"{name} at {snapshot}")

    def can(self, name, vm):
        room = len(self.vms) < 5
        yield self.write, 8
        yield from ((self.snapshot, 4),) if len(vm.snapshots) < 8 else ()
        yield from ((self.revert, 2), (self.forget, 3)) if vm.snapshots else ()
        yield from ((self.clone, 1),) if room else ()
        yield from ((self.flatten, 1),) if vm.linked_to else ()
        if len(self.vms) > 1 and not any(other.linked_to == name for other in self.vms.values()):
            yield self.remove, 0.5


def qemu_io(file, *commands):
    options = [word for word in commands if word == "-r"]
    words = [part for command in commands if command != "-r" for part in ("-c", command)]
    done = subprocess.run(["qemu-io", *options, "-f", "qcow2", *words, file], capture_output=True, text=True)
    assert done.returncode == 0 or "failed" in done.stdout, f"{file}: {done.stdout}{done.stderr}"
    return done.stdout


@limit(7200)
def test_operations_on_files():
    print(f"HOSTLER_SEED={SEED} HOSTLER_OPERATIONS={OFF_OPERATIONS}")
    with Daemon(images=()) as daemon:
        make(daemon, "a", start=False, disk0={"size": 1 << 20}, disk1={"size": 1 << 20})
        world = OffWorld(daemon)
        for number in range(OFF_OPERATIONS):
            world.step()
            if number % 500 == 499:
                check_whole(daemon)
        histories = world.histories()
        for name in sorted(world.vms):
            world.look(name, histories[name])
        check_whole(daemon)
        print(f"{len(world.log)} operations")
