"""Start → running and power off: Hostler by its API and by its command line, against the same QEMU driven by hand."""
import sys
import time

from api import Api
from harness import Daemon
from measure import Table, interleave
from raw_qemu import RawQemu


def timed(action):
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def measure(daemon):
    vm = daemon.create("bench", "memory.size=256M", wait="running")
    raw = RawQemu(vm["status"]["pid"], daemon.folder / "raw")
    daemon.hostler("stop", "--hard", "bench")
    api = Api(daemon.socket)
    stops = {"raw": [], "api": [], "cli": []}

    def raw_start():
        took = raw.start()
        stops["raw"].append(raw.stop())
        return took

    def api_start():
        took = timed(lambda: api.job("POST", "/v1/vms/bench/start", {}))
        stops["api"].append(timed(lambda: api.job("POST", "/v1/vms/bench/stop", {"hard": True})))
        return took

    def cli_start():
        took = timed(lambda: daemon.hostler("start", "bench"))
        stops["cli"].append(timed(lambda: daemon.hostler("stop", "--hard", "bench")))
        return took

    return interleave({"raw": raw_start, "api": api_start, "cli": cli_start}), {name: values[1:] for name, values in stops.items()}


def main():
    with Daemon() as daemon:
        starts, stops = measure(daemon)
    table = Table("start and power off")
    table.add("raw QEMU: start to running", starts["raw"])
    table.add("Hostler API: start to running", starts["api"], floor=starts["raw"], goal=1.10)
    table.add("hostler start", starts["cli"], floor=starts["raw"])
    table.add("raw QEMU: quit", stops["raw"])
    table.add("Hostler API: power off", stops["api"], goal=30)
    table.add("hostler stop --hard", stops["cli"])
    table.show()


if __name__ == "__main__":
    sys.exit(main())
