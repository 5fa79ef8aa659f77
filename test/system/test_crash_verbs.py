"""The daemon is killed at each step of the verbs that change what is written down: schedules, templates, the trash, protection, devices, media,
pools, resource pools, switches. That every verb has such a case is checked by test/unit/check-crash-table.py."""
import contextlib
import http.client
import os
import shutil

from crash import api_of, check_whole, find, history_of, make
from harness import Daemon, limit, skip, wait_until
from test_crash_steps import Case, Clones, crash_everywhere, delete, newest_job, patch, post, remove, run, run_to_crash, trash
from test_qemu_killed import act, mark, reads

MIB = 1 << 20


class Things:
    """Cases about what is no VM: the functions of a Case are told of none, and look themselves."""

    def __init__(self, daemon, noun, **made):
        self.daemon, self.noun, self.made, self.name = daemon, noun, made, None

    def body(self, name):
        return {"pool" if self.noun == "pools" else "name": name} | {key: value(name) if callable(value) else value for key, value in self.made.items()}

    def create(self, name):
        self.name = name
        return "POST", f"/v1/{self.noun}", self.body(name)

    def item(self, method, **body):
        def request(name):
            self.name = name
            return method, f"/v1/{self.noun}/{name}", body or None
        return request

    def prepare(self, daemon, name):
        api_of(daemon).job(*self.create(name))

    def nothing(self, daemon, name):
        self.name = name

    def found(self):
        return next((thing for thing in api_of(self.daemon).call("GET", f"/v1/{self.noun}") if thing["name"] == self.name), None)

    def there(self, vm):
        return self.found() is not None

    def gone(self, vm):
        return self.found() is None

    def reset(self, daemon, name):
        self.name = name
        if self.found():
            api_of(daemon).job("DELETE", f"/v1/{self.noun}/{name}")


def cases_of(things, noun, change, changed):
    return (Case(f"{noun}.create", things.create, things.there, prepare=things.nothing, refusal="exists", reset=things.reset),
            *([Case(f"{noun}.set", things.item("PATCH", property=change), lambda vm: changed(things.found()["spec"]), prepare=things.prepare,
                    reset=things.reset)] if change else []),
            Case(f"{noun}.rm", things.item("DELETE"), things.gone, prepare=things.prepare, refusal="not-found", reset=things.reset))


# ---- VMs ----


def test_schedule_template_trash_protection():
    with Daemon(images=()) as daemon:
        off, pinned = Clones(live=False), Clones(live=False)

        def template_with_clone(daemon, name):
            pinned.prepare(daemon, name)
            api_of(daemon).job(*post("template")(name))
            api_of(daemon).job("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a"]})

        def ordinary(daemon, name):
            api_of(daemon).job(*post("template", off=True)(name))
            pinned.reset(daemon, name)

        def unprotected(daemon, name):
            api_of(daemon).job(*patch(options={"protect": False})(name))
            remove(daemon, name)

        def forgets(name):
            """In the trash, as the expiry does it."""
            return "DELETE", f"/v1/vms/{find(daemon, name)['id'] if find(daemon, name) else name}?now=true&yes=true", None

        schedule = lambda vm: history_of(daemon, vm).get("schedule")
        for case in (
                Case("snapshot.schedule", post("snapshot-schedule", every=3600000, keep=3), lambda vm: schedule(vm)["keep"] == 3),
                Case("vm.template", post("template", off=True), lambda vm: not vm["spec"]["options"].get("template"), prepare=template_with_clone, reset=ordinary),
                Case("vm.template", post("template"), lambda vm: vm["spec"]["options"]["template"], prepare=off.prepare, reset=ordinary),
                Case("vm.rm", forgets, lambda vm: vm is None, prepare=trash, refusal="not-found"),
                Case("vm.set", patch(options={"protect": True}), lambda vm: vm["spec"]["options"]["protect"], reset=unprotected)):
            crash_everywhere(daemon, case)


def medium(name):
    """Of a VM with a CD drive, paused: the firmware closes trays when it likes."""
    def prepare(daemon, vm):
        path = daemon.folder / "disc"
        path.write_bytes(bytes(MIB))
        make(daemon, vm, scsi0={}, cdrom0={"medium": str(path)} if name else {})
        api_of(daemon).job(*post("pause")(vm))
    return prepare


def test_devices():
    # Of a kind that goes without the guest's consent: there is none in these VMs.
    add = lambda name: ("POST", f"/v1/vms/{name}/devices", {"kind": "input", "model": "usb-tablet", "words": ["more"]})
    with_usb = lambda daemon, name: make(daemon, name, usb0={})
    with_more = lambda daemon, name: make(daemon, name, usb0={}, more={"kind": "input", "model": "usb-tablet"})
    has = lambda part: lambda vm: part in vm["spec"]
    with Daemon(images=()) as daemon:
        holds = lambda there: lambda vm: ("medium" in vm["spec"]["cdrom0"]) == there
        insert = lambda name: ("POST", f"/v1/vms/{name}/devices/cdrom0/insert", {"file": str(daemon.folder / "disc")})
        eject = lambda name: ("POST", f"/v1/vms/{name}/devices/cdrom0/eject", {})
        link = lambda name: ("PATCH", f"/v1/vms/{name}/devices/nic0", {"property": ["link=off"]})
        for case in (Case("device.add", add, has("more"), prepare=with_usb, refusal="exists", same_process=True),
                     Case("device.set", link, lambda vm: vm["spec"]["nic0"]["link"] is False, prepare=make, same_process=True),
                     Case("device.insert", insert, holds(True), prepare=medium(""), same_process=True),
                     Case("device.eject", eject, holds(False), prepare=medium("disc"), same_process=True),
                     Case("device.rm", lambda name: ("DELETE", f"/v1/vms/{name}/devices/more", None), lambda vm: "more" not in vm["spec"],
                          prepare=with_more, refusal="not-found", same_process=True)):
            crash_everywhere(daemon, case)


# ---- what is no VM ----


def test_pools():
    with Daemon(images=()) as daemon:
        def folder(name):
            path = daemon.folder / f"pool-{name}"
            path.mkdir(exist_ok=True)
            return str(path)

        pools, shares = Things(daemon, "pools", path=folder), Things(daemon, "respools", property=["cpu_shares=high"])
        for case in (*cases_of(pools, "pool", None, None), *cases_of(shares, "respool", ["cpu_limit=50"], lambda spec: spec["cpu_limit"] == 50)):
            crash_everywhere(daemon, case)
        assert not list(daemon.folder.glob("pool-*/*")), "a pool that was forgotten leaves its folder as it was"


@limit(400)
def test_switches():
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK) or not shutil.which("ovs-vswitchd", path="/usr/sbin:/usr/bin"):
        skip("switches need root, /dev/net/tun and Open vSwitch")
    with Daemon(images=(), options=("--system",)) as daemon:
        switches = Things(daemon, "switches", property=["mtu=1400"])
        for case in cases_of(switches, "switch", ["mtu=1300"], lambda spec: spec["mtu"] == 1300):
            crash_everywhere(daemon, case)
        api_of(daemon).job("POST", "/v1/switches", {"name": "lan"})
        groups = Things(daemon, "switches/lan/portgroups", property=["vlan=10"])
        for case in cases_of(groups, "portgroup", ["vlan=20"], lambda spec: spec["vlan"] == "20"):
            crash_everywhere(daemon, case)
        mirrors = Things(daemon, "switches/lan/mirrors", property=["sources=all", "destination=rspan:99"])
        for case in cases_of(mirrors, "mirror", ["snaplen=128"], lambda spec: spec["snaplen"] == 128):
            crash_everywhere(daemon, case)
        api_of(daemon).job("DELETE", "/v1/switches/lan")


def test_image_build():
    """Right at its beginning: what it makes then is made where an import makes it."""
    with Daemon(images=(), environment={"HOSTLER_CRASH_AT": "image.build:build"}) as daemon:
        assert run_to_crash(daemon, ("POST", "/v1/images/tiny/build", {}))
        daemon.environment.pop("HOSTLER_CRASH_AT")
        daemon.start()
        check_whole(daemon)
        assert newest_job(daemon, "image.build")["state"] == "failed"


CRASHED_BY_HAND = ("image.build", "snapshot.tidy")


# ---- what follows by itself ----


def layers_of(daemon, name):
    return [layer["file"] for layer in history_of(daemon, find(daemon, name))["layers"]]


def test_a_source_is_tidied_when_nobody_stands_on_it():
    """By a job of its own, which is killed, or not: what was kept for a clone only is gone, and the disk reads what it read."""
    flatten, rm = post("flatten"), delete("now=true&yes=true")
    with Daemon(images=()) as daemon:
        for number, (live, let_go, point) in enumerate([(True, flatten, None), (False, rm, None), (True, rm, "tidy"), (True, flatten, "delete"), (False, flatten, "@end")]):
            source, clone = f"source{number}", f"clone{number}"
            make(daemon, source, start=False)
            mark(daemon, source, number + 1)
            act(daemon, source, "start") if live else None
            act(daemon, source, "clone", names=[clone])
            assert len(layers_of(daemon, source)) == 2, "the clone stands on the lower one"
            if point:
                daemon.kill()
                daemon.start(environment={"HOSTLER_CRASH_AT": f"snapshot.tidy:{point}"})
            with contextlib.suppress(OSError, http.client.HTTPException):
                api_of(daemon).job(*let_go(clone))
            if point:
                daemon.process.wait(60)
                daemon.start()
            wait_until(lambda: len(layers_of(daemon, source)) == 1, 30, f"{source} is tidied")
            check_whole(daemon)
            assert reads(daemon, find(daemon, source), number + 1) and newest_job(daemon, "snapshot.tidy")["state"] == "done"
            assert bool(find(daemon, source)["status"].get("pid")) == live
            for name in (clone, source):
                remove(daemon, name)


def test_strays_of_a_power_cut():
    """Files that the VM's row does not speak of go when the daemon starts, and those that it does speak of stay, as does what is not Hostler's."""
    with Daemon(images=()) as daemon:
        make(daemon, "web1", start=False)
        mark(daemon, "web1", 7)
        api_of(daemon).job("POST", "/v1/vms/web1/snapshots", {"name": "one"})
        folder = daemon.state / "vms" / find(daemon, "web1")["id"]
        before = set(folder.rglob("*"))
        daemon.stop()
        (folder / "snapshots" / "two.kept").mkdir(parents=True)
        for name in ("disk0.7.qcow2", "disk1.qcow2", "disk0.2.raw", "memory.state", "snapshots/two.state", "snapshots/two.kept/tpm", "notes.txt"):
            (folder / name).write_text("left over")
        daemon.start()
        wait_until(lambda: not (folder / "disk0.7.qcow2").exists(), 10, "it is tidied")
        assert [step["name"] for step in newest_job(daemon, "snapshot.tidy")["steps"]] == ["stray"] * 6
        kept = set(folder.rglob("*")) - {folder / "snapshots"}
        assert kept == before - {folder / "snapshots"} | {folder / "notes.txt"}, kept ^ before
        (folder / "notes.txt").unlink()
        check_whole(daemon)
        assert reads(daemon, find(daemon, "web1"), 7)
