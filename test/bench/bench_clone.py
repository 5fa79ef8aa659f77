"""Clones: linked and full against qemu-img, instant ones to the guest's next tick against a full start; memory of each (PSS)."""
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import time

from api import Api
from harness import Daemon, wait_until
from measure import Table, interleave, wait_for

SEVERAL = 10


def milliseconds(begin):
    return (time.perf_counter() - begin) * 1000


def folder_of(daemon, name):
    return daemon.state / "vms" / daemon.show(name)["id"]


def pss_mib(daemon, name):
    text = pathlib.Path(f"/proc/{daemon.show(name)['status']['pid']}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) / 1024


def remove(api, *names):
    for name in names:
        api.job("DELETE", f"/v1/vms/{name}?now=true&yes=true")


def clone(daemon, api, source, how, names=("copy",)):
    begin = time.perf_counter()
    api.job("POST", f"/v1/vms/{source}/clone", {"names": list(names), how: True})
    took = milliseconds(begin)
    remove(api, *names)
    return took / len(names)


def wait_text(path, text):
    """The guest's console log, looked at every millisecond."""
    wait_for(lambda: path.exists() and text in path.read_bytes())


def to_tick(daemon, api):
    """From the request for an instant clone to its guest's next tick."""
    before = set((daemon.state / "vms").iterdir())
    begin = time.perf_counter()
    job = api.call("POST", "/v1/vms/source/clone", {"names": ["copy"], "instant": True})
    wait_for(lambda: any(b"tick" in log.read_bytes() for log in (daemon.state / "vms").glob("*/console.log") if log.parent not in before))
    took = milliseconds(begin)
    api.wait_job(job)
    remove(api, "copy")
    return took


def of_template(daemon, api, spares, names=("copy",)):
    """An instant clone of a template until it runs; @spares: how many QEMUs wait for it."""
    api.call("PATCH", "/v1/host", {"pool_warm": spares})
    wait_until(lambda: api.call("GET", "/v1/host")["spares"] == spares, 60)
    return clone(daemon, api, "golden", "instant", names)


def to_userspace(daemon, api):
    """From the request for a start to the first program that runs in the guest."""
    log = folder_of(daemon, "cold") / "console.log"
    log.unlink(missing_ok=True)
    begin = time.perf_counter()
    api.job("POST", "/v1/vms/cold/start", {})
    wait_text(log, b"hostler: userspace")
    took = milliseconds(begin)
    api.job("POST", "/v1/vms/cold/stop", {"hard": True})
    return took


def qemu_img(folder, disk, *command):
    target = folder / "target.qcow2"
    target.unlink(missing_ok=True)
    begin = time.perf_counter()
    subprocess.run(["qemu-img", *command, *([] if command[0] == "create" else [disk]), target], check=True, capture_output=True)
    return milliseconds(begin)


def against_qemu_img(daemon, api):
    disk = shutil.copy(folder_of(daemon, "golden") / "disk0.qcow2", folder_of(daemon, "golden") / "plain.qcow2")
    base = subprocess.run(["qemu-img", "info", disk], capture_output=True, text=True, check=True).stdout
    image = re.search(r"actual path: (.*)\)", base)[1]
    samples = interleave({
        "qemu-img create": functools.partial(qemu_img, daemon.folder, disk, "create", "-f", "qcow2", "-F", "qcow2", "-b", image),
        "linked": functools.partial(clone, daemon, api, "golden", "linked"),
        "qemu-img convert": functools.partial(qemu_img, daemon.folder, image, "convert", "-O", "qcow2"),
        "full": functools.partial(clone, daemon, api, "golden", "full"),
    }, budget_s=20)
    table = Table("linked and full clones")
    table.add("qemu-img create, an overlay", samples["qemu-img create"])
    table.add("linked clone of a template", samples["linked"], goal=10)
    table.add("qemu-img convert", samples["qemu-img convert"])
    table.add("full clone", samples["full"], floor=samples["qemu-img convert"])
    table.show()


def of_templates(daemon, api):
    several = [f"copy{number}" for number in range(SEVERAL)]
    cold = interleave({"instant": functools.partial(of_template, daemon, api, 0)}, rounds=7, budget_s=20)["instant"]
    spare = interleave({"spare": functools.partial(of_template, daemon, api, 1)}, rounds=7, budget_s=30)["spare"]
    api.call("PATCH", "/v1/host", {"pool_warm": 0})
    many = interleave({"many": functools.partial(of_template, daemon, api, 0, several)}, rounds=3, budget_s=30)["many"]
    table = Table("instant clones of a template")
    table.add("until it runs", cold, goal=130)
    table.add("the same, for which a QEMU waits", spare, goal=60)
    table.add(f"each of {SEVERAL} in one job", many, goal=130)
    table.show()


def of_running(daemon, api):
    several = [f"copy{number}" for number in range(SEVERAL)]
    samples = interleave({"cold": functools.partial(to_userspace, daemon, api), "tick": functools.partial(to_tick, daemon, api)},
                         rounds=5, budget_s=40)
    many = interleave({"several": functools.partial(clone, daemon, api, "source", "instant", several)}, rounds=3, budget_s=30)["several"]
    table = Table("instant clones of a running VM")
    table.add("start to userspace", samples["cold"])
    table.add("instant clone to the guest's next tick", samples["tick"], floor=samples["cold"])
    table.add(f"instant clone, each of {SEVERAL} in one job", many, goal=130)
    table.show()


def memory(daemon, api):
    """Of clones that have nothing to do with the template's kept memory but that they map it."""
    names = [f"copy{number}" for number in range(SEVERAL)]
    api.job("POST", "/v1/vms/golden/clone", {"names": names, "instant": True})
    before = [pss_mib(daemon, name) for name in names]
    for name in names:
        wait_until(lambda: "identity_of" not in daemon.show(name)["status"], 300, "it is itself")
    table = Table("memory of instant clones", unit="MiB PSS")
    table.add("source, 256 MiB", [pss_mib(daemon, "source")])
    table.add(f"each of {SEVERAL} clones of a template, as they begin to run", before)
    table.add("the same, their identities renewed", [pss_mib(daemon, name) for name in names], goal=36)
    table.show()
    remove(api, *names)


def main():
    with Daemon() as daemon:
        api = Api(daemon.socket)
        daemon.hostler("create", "cold", "--image", "tiny", "memory.size=256M")
        daemon.hostler("create", "golden", "--image", "tiny", "memory.size=256M")
        daemon.hostler("template", "golden")
        against_qemu_img(daemon, api)
        of_templates(daemon, api)
        daemon.create("source", "memory.size=256M")
        daemon.guest("source", "sh", "-c", "(while :; do echo tick > /dev/ttyS0; usleep 50000; done) > /dev/null 2>&1 &")
        memory(daemon, api)
        of_running(daemon, api)


if __name__ == "__main__":
    sys.exit(main())
