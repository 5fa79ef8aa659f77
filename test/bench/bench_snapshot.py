"""Snapshots and suspending: create, revert, delete, suspend, resume to the guest's next tick, in turn with the same QEMU driven by hand and with
libvirt; and how long a busy guest stands still for a snapshot, by the size of its memory."""
import datetime
import functools
import os
import sys
import time

from api import Api
from bench_start import libvirt_or_none
from harness import Daemon
from measure import Table, interleave
from raw_qemu import RawQemu

SIZES_MIB = (256, 1024, 2048)
BUSY = ("mkdir -p /tmp/m; mount -t tmpfs -o size=90%% none /tmp/m; dd if=/dev/urandom of=/tmp/m/fill bs=1M count=%d 2> /dev/null;"
        "(while :; do dd if=/dev/zero of=/tmp/m/busy bs=64k count=64 2> /dev/null; done) > /dev/null 2>&1 &")
TICK = "(while :; do echo tick > /dev/ttyS0; usleep 20000; done) > /dev/null 2>&1 &"


def milliseconds(begin):
    return (time.perf_counter() - begin) * 1000


def timed(action):
    begin = time.perf_counter()
    action()
    return milliseconds(begin)


# ---- the pause ----


def time_of(event):
    return datetime.datetime.fromisoformat(event["time"]).timestamp() * 1000


def pauses(api, vm):
    """How long it stood still, each time it did."""
    events = [event for event in api.call("GET", "/v1/events?limit=10000") if event["kind"] == "vm-power" and event["object"] == f"vm/{vm}"]
    return [time_of(after) - time_of(before) for before, after in zip(events, events[1:])
            if (before["data"]["power"], after["data"]["power"]) == ("paused", "running")]


def take(api, vm):
    api.job("POST", f"/v1/vms/{vm}/snapshots", {"name": "one"})
    stood = pauses(api, vm)[-1]
    api.job("DELETE", f"/v1/vms/{vm}/snapshots/one")
    return float(stood)


def measure_pause(size_mib):
    with Daemon() as daemon:
        api = Api(daemon.socket)
        vm = f"of{size_mib}"
        daemon.create(vm, f"memory.size={size_mib}M")
        daemon.guest(vm, "sh", "-c", BUSY % (size_mib // 4))
        return interleave({"stood": lambda: take(api, vm)}, rounds=7)["stood"]


# ---- in turn with the others ----


class Ours:
    def __init__(self, daemon, name):
        self.api, self.name = Api(daemon.socket), name
        self.console = daemon.state / "vms" / daemon.show(name)["id"] / "console.log"

    def post(self, verb, **body):
        return self.api.job("POST", f"/v1/vms/{self.name}/{verb}", body)

    def snapshot(self):
        self.post("snapshots", name="bench")

    def revert(self):
        self.post("revert", snapshot="bench")

    def forget(self):
        self.api.job("DELETE", f"/v1/vms/{self.name}/snapshots/bench")

    def suspend(self):
        self.post("suspend")

    def resume(self):
        job = self.api.call("POST", f"/v1/vms/{self.name}/resume", {})
        wait_tick(self.console)
        self.job = job

    def settle(self):
        self.api.wait_job(self.job)


class Raw:
    def __init__(self, daemon, name):
        vm = daemon.show(name)
        self.qemu = RawQemu(vm["status"]["pid"], daemon.folder / "raw")
        self.console, self.state = self.qemu.folder / "console.log", self.qemu.folder / "state"
        # The guest goes on where it was: it has its tick.
        Api(daemon.socket).job("POST", f"/v1/vms/{name}/suspend", {})
        saved, = (daemon.state / "vms" / vm["id"]).glob("memory.state")
        os.link(saved, self.state)
        self.qemu.start(self.state)
        self.snapshot, self.revert, self.forget = self.qemu.snapshot, self.qemu.revert, self.qemu.forget

    def suspend(self):
        self.qemu.suspend(self.state)

    def resume(self):
        self.qemu.start(self.state)
        wait_tick(self.console)

    def settle(self):
        pass


def wait_tick(console):
    """What the guest says next."""
    size = console.stat().st_size if console.exists() else 0
    while not console.exists() or console.stat().st_size <= size:
        time.sleep(0.0005)


def rounds(machine, kept):
    """Everything once; what each took is added to @kept."""
    for what in ("snapshot", "revert", "forget", "suspend", "resume"):
        kept.setdefault(what, []).append(timed(getattr(machine, what)))
        if what == "resume" and hasattr(machine, "settle"):
            machine.settle()


def measure_in_turn():
    with Daemon() as daemon, libvirt_or_none(daemon) as libvirt:
        for name in ("ours", "raw"):
            daemon.create(name, "memory.size=256M")
            daemon.guest(name, "sh", "-c", TICK)
        machines = {"raw": Raw(daemon, "raw"), "ours": Ours(daemon, "ours")}
        if libvirt:
            libvirt.start()
            time.sleep(10)  # it has no agent here; a guest that still boots has less to save
            machines["libvirt"] = libvirt
        kept = {name: {} for name in machines}
        interleave({name: functools.partial(rounds, machine, kept[name]) for name, machine in machines.items()}, rounds=7)
        machines["raw"].qemu.stop()
        Api(daemon.socket).job("POST", "/v1/vms/raw/stop", {"hard": True})
    return {name: {what: values[1:] for what, values in measured.items()} for name, measured in kept.items()}


def main():
    table = Table(f"snapshots and suspending, 256 MiB (load {os.getloadavg()[0]:.0f})")
    kept = measure_in_turn()
    goals = {"snapshot": 1.1, "revert": 1.1, "resume": 1.2}
    for what, said in (("snapshot", "snapshot with memory"), ("revert", "revert"), ("forget", "snapshot rm"), ("suspend", "suspend"), ("resume", "resume to the guest's tick")):
        table.add(f"raw QEMU: {said}", kept["raw"][what])
        table.add(f"Hostler, API: {said}", kept["ours"][what], floor=kept["raw"][what], goal=goals.get(what))
        if "libvirt" in kept:
            table.add(f"libvirt: {said.replace(chr(39) + 's tick', '')}", kept["libvirt"][what], floor=kept["raw"][what])
    table.show()
    table = Table(f"a busy guest stands still for a snapshot (load {os.getloadavg()[0]:.0f})")
    for size_mib in SIZES_MIB:
        table.add(f"{size_mib} MiB", measure_pause(size_mib), goal=60)
    table.show()


if __name__ == "__main__":
    sys.exit(main())
