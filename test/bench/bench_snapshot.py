"""Snapshots with memory of a busy guest: how long it stands still by the size of its memory; going back; and against QEMU's own."""
import datetime
import sys

from api import Api
from harness import Daemon
from measure import Table, interleave

SIZES_MIB = (256, 1024, 2048)
BUSY = ("mkdir -p /tmp/m; mount -t tmpfs -o size=90%% none /tmp/m; dd if=/dev/urandom of=/tmp/m/fill bs=1M count=%d 2> /dev/null;"
        "(while :; do dd if=/dev/zero of=/tmp/m/busy bs=64k count=64 2> /dev/null; done) > /dev/null 2>&1 &")


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


def measure(size_mib):
    with Daemon() as daemon:
        api = Api(daemon.socket)
        vm = f"of{size_mib}"
        daemon.create(vm, f"memory.size={size_mib}M")
        daemon.guest(vm, "sh", "-c", BUSY % (size_mib // 4))
        stood = interleave({"stood": lambda: take(api, vm)}, rounds=7)["stood"]
        api.job("POST", f"/v1/vms/{vm}/snapshots", {"name": "one"})
        whole = interleave({"revert": lambda: api.job("POST", f"/v1/vms/{vm}/revert", {"snapshot": "one"})}, rounds=5)["revert"]
    return stood, whole


def main():
    table = Table("snapshots of a busy guest")
    for size_mib in SIZES_MIB:
        stood, revert = measure(size_mib)
        table.add(f"{size_mib} MiB: the guest stands still", stood, goal=60)
        table.add(f"{size_mib} MiB: revert", revert)
    table.show()


if __name__ == "__main__":
    sys.exit(main())
