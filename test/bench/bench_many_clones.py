"""Two hundred instant clones of one template, alive at once: how long they take, what they take of memory, and that each is itself and goes on.

Not for everybody's machine: HOSTLER_CLONES says how many (200), of 256 MiB each; some 60 MiB of memory are needed for each.
"""
import os
import sys
import time

from api import Api
from bench_clone import milliseconds, pss_mib, remove
from harness import Daemon, wait_until
from measure import Table

COUNT = int(os.environ.get("HOSTLER_CLONES", "200"))
A_JOB = 50


def available_mib():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 1024


def look(daemon, name):
    """(host name, MAC, random number, ticks) as the guest sees them."""
    words = daemon.guest(name, "sh", "-c", "hostname; cat /sys/class/net/eth0/address; head -c 16 /dev/urandom | md5sum; cut -d. -f1 /proc/uptime", timeout=600)
    host_name, mac, number, ticks = words.split("\n")
    return host_name, mac, number, int(ticks)


def check(daemon, names):
    first = {name: look(daemon, name) for name in names}
    assert [first[name][0] for name in names] == names
    assert [first[name][1] for name in names] == [daemon.show(name)["spec"]["nic0"]["mac"] for name in names]
    assert len({seen[1] for seen in first.values()}) == len({seen[2] for seen in first.values()}) == len(names)
    for name in names:
        wait_until(lambda: look(daemon, name)[3] > first[name][3], 300, f"{name} goes on counting")


def main():
    names = [f"c{number:03}" for number in range(COUNT)]
    with Daemon() as daemon:
        api = Api(daemon.socket)
        daemon.hostler("create", "golden", "--image", "tiny", "memory.size=256M")
        daemon.hostler("template", "golden")
        api.job("POST", "/v1/vms/golden/clone", {"names": ["first"], "instant": True})
        before, each = available_mib(), []
        for start in range(0, COUNT, A_JOB):
            some = names[start:start + A_JOB]
            begin = time.perf_counter()
            api.job("POST", "/v1/vms/golden/clone", {"names": some, "instant": True})
            each.append(milliseconds(begin) / len(some))
            print(f"{start + len(some)} alive, {each[-1]:.0f} ms each, {available_mib():.0f} MiB of memory left", flush=True)
        begin = time.perf_counter()
        for name in names:
            wait_until(lambda: "identity_of" not in daemon.show(name)["status"], 1800, f"{name} is itself")
        own = milliseconds(begin) / 1000
        assert {vm["status"]["power"] for vm in daemon.json("ls") if vm["name"] in names} == {"running"}
        check(daemon, names)
        memory, used = [pss_mib(daemon, name) for name in names], before - available_mib()
        remove(api, "first", *names)
    table = Table(f"{COUNT} instant clones alive at once")
    table.add(f"each, {A_JOB} in a job", each)
    table.add("until all had identities of their own (s)", [own])
    table.add("PSS of each (MiB)", memory, goal=36)
    table.add("memory of the host that each took (MiB)", [used / COUNT])
    table.show()


if __name__ == "__main__":
    sys.exit(main())
