"""Listing many VMs: as a command line process and as one API call. The VMs are off; no QEMU is asked for a list in any case."""
import concurrent.futures
import subprocess
import sys

from api import Api
from harness import BUILD, Daemon
from measure import Table, interleave

COUNTS = {1000: 30, 10000: 150}  # VMs: goal of the command line in ms


def create_vms(daemon, first, last):
    """VMs without disks, from four connections."""
    def create(numbers):
        api = Api(daemon.socket)
        for number in numbers:
            api.job("POST", "/v1/vms", {"name": f"vm{number:05}"})

    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        for future in [pool.submit(create, range(first + worker, last, 4)) for worker in range(4)]:
            future.result()


def run(daemon, *arguments):
    subprocess.run([BUILD / "hostler", *arguments], env=daemon.environment, stdout=subprocess.DEVNULL, check=True)


def main():
    with Daemon(images=()) as daemon:
        there = 0
        for count, goal in COUNTS.items():
            create_vms(daemon, there, count)
            there = count
            api = Api(daemon.socket)
            samples = interleave({
                "table": lambda: run(daemon, "ls"),
                "json": lambda: run(daemon, "ls", "-o", "json"),
                "api": lambda: api.call("GET", "/v1/vms"),
                "empty": lambda: run(daemon, "doctor", "--help"),
            })
            table = Table(f"list of {count} VMs")
            table.add("hostler ls", samples["table"], goal=goal)
            table.add("hostler ls -o json", samples["json"], goal=goal)
            table.add("GET /v1/vms, with parsing in Python", samples["api"])
            table.add("a hostler process that asks nothing", samples["empty"])
            table.show()


if __name__ == "__main__":
    sys.exit(main())
