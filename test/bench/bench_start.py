"""Start → running and power off: Hostler by its API and by its command line, against the same QEMU driven by hand and libvirt."""
import contextlib
import functools
import sys
import time

from api import Api
from harness import Daemon, cached_image, wait_until
from libvirt_vm import LibvirtVm
from measure import Table, interleave
from raw_qemu import RawQemu


def timed(action):
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def measure(daemon, libvirt):
    """(starts, stops): samples by who does it, taken in turn. @libvirt may be None."""
    vm = daemon.create("bench", "memory.size=256M", wait="running")
    raw = RawQemu(vm["status"]["pid"], daemon.folder / "raw")
    daemon.hostler("stop", "--hard", "bench")
    api = Api(daemon.socket)

    def start():
        api.job("POST", "/v1/vms/bench/start", {})

    def start_warm():
        """A QEMU waits for it before the clock runs, and none for the others after."""
        api.call("PATCH", "/v1/host", {"pool_warm": 1})
        wait_until(lambda: api.call("GET", "/v1/vms/bench")["status"]["warm"])
        took = timed(start)
        api.call("PATCH", "/v1/host", {"pool_warm": 0})
        return took

    ways = {
        "raw": (raw.start, raw.stop),
        "warm": (start_warm, lambda: api.job("POST", "/v1/vms/bench/stop", {"hard": True})),
        "api": (start, lambda: api.job("POST", "/v1/vms/bench/stop", {"hard": True})),
        "cli": (lambda: daemon.hostler("start", "bench"), lambda: daemon.hostler("stop", "--hard", "bench")),
    }
    if libvirt:
        ways["libvirt"] = (libvirt.start, libvirt.stop)
    stops = {name: [] for name in ways}

    def start_and_stop(name):
        start, stop = ways[name]
        begin = time.perf_counter()
        own = start()
        took = own if own else (time.perf_counter() - begin) * 1000
        stops[name].append(timed(stop))
        return took

    starts = interleave({name: functools.partial(start_and_stop, name) for name in ways})
    return starts, {name: values[1:] for name, values in stops.items()}


@contextlib.contextmanager
def libvirt_or_none(daemon):
    """libvirt is no dependency: where it cannot be used, the rest is measured without it."""
    with contextlib.ExitStack() as stack:
        try:
            vm = stack.enter_context(LibvirtVm(daemon.folder / "libvirt", cached_image("tiny")))
        except Exception as reason:
            print(f"without libvirt: {reason}")
            vm = None
        yield vm


def main():
    with Daemon() as daemon, libvirt_or_none(daemon) as libvirt:
        starts, stops = measure(daemon, libvirt)
    table = Table("start and power off")
    table.add("raw QEMU: start to running", starts["raw"])
    table.add("Hostler API: start to running", starts["api"], floor=starts["raw"], goal=1.10)
    table.add("Hostler API: start from the warm pool", starts["warm"], floor=starts["raw"], goal=0.5)
    table.add("hostler start", starts["cli"], floor=starts["raw"])
    if libvirt:
        table.add("libvirt: create", starts["libvirt"], floor=starts["raw"])
    table.add("raw QEMU: quit", stops["raw"])
    table.add("Hostler API: power off", stops["api"], goal=30)
    table.add("hostler stop --hard", stops["cli"])
    if libvirt:
        table.add("libvirt: destroy", stops["libvirt"])
    table.show()


if __name__ == "__main__":
    sys.exit(main())
