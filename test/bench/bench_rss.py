"""Memory of the daemon and its keepers, and how soon the daemon answers after its start."""
import pathlib
import re
import sys
import time

from bench_list import create_vms
from harness import Daemon
from measure import ROUNDS, Table


def memory_mb(pid, field):
    """VmRSS of status, or Pss of smaps_rollup, in MB."""
    name = "status" if field == "VmRSS" else "smaps_rollup"
    text = pathlib.Path(f"/proc/{pid}/{name}").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1000


def keepers(daemon):
    return [pid for pid, command in daemon.processes().items() if "hostler-keeper" in command.split()[0]]


def first_answer_ms(daemon):
    daemon.stop()
    start = time.perf_counter()
    daemon.start()
    return (time.perf_counter() - start) * 1000


def main():
    memory = Table("memory", unit="MB")
    answer = Table("daemon start to first answer")
    with Daemon() as daemon:
        answer.add("no VMs", [first_answer_ms(daemon) for _ in range(ROUNDS)], goal=50)
        memory.add("hostlerd, fresh: RSS", [memory_mb(daemon.process.pid, "VmRSS")], goal=20)
        daemon.create("bench", wait="running")
        for field in ("VmRSS", "Pss"):
            memory.add(f"hostler-keeper: {field}", [memory_mb(pid, field) for pid in keepers(daemon)], goal=1)
        memory.add("hostlerd, one VM running: RSS", [memory_mb(daemon.process.pid, "VmRSS")], goal=20)
        create_vms(daemon, 0, 1000)
        memory.add("hostlerd, 1,000 VMs: RSS", [memory_mb(daemon.process.pid, "VmRSS")], goal=35)
        answer.add("1,000 VMs", [first_answer_ms(daemon) for _ in range(ROUNDS)], goal=50)
    memory.show()
    answer.show()


if __name__ == "__main__":
    sys.exit(main())
