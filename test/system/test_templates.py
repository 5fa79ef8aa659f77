"""Templates: VMs that are only there to be cloned; clones that become independent of what they were made from."""
import subprocess

from crash import api_of, check_whole
from harness import limit
from test_crash_steps import Case, Clones, run
from test_clones import note, shell, source, write


def depth(daemon, vm):
    """How many files its first disk is a chain of."""
    head = sorted((daemon.state / "vms" / daemon.show(vm)["id"]).glob("disk0*.qcow2"))[-1]
    chain = subprocess.run(["qemu-img", "info", "-U", "--backing-chain", head], capture_output=True, text=True, check=True).stdout
    return chain.count("image: ")


@limit(600)
def test_a_template_and_its_clones(daemon):
    source(daemon)
    assert "only a VM that is off" in daemon.refused(4, "template", "web1")
    daemon.hostler("stop", "web1")
    assert daemon.json("template", "web1")["spec"]["options"]["template"]
    for words in (("start", "web1"), ("set", "web1", "cpu.count=2"), ("rm", "web1", "--now"), ("disk", "add", "web1", "--size", "8M")):
        assert "template" in daemon.refused(4, *words)
    for number in range(3):
        daemon.hostler("clone", "web1", f"a{number}")
    assert depth(daemon, "a2") == depth(daemon, "a0"), "each stands right on the template"
    assert not daemon.show("a0")["spec"]["options"].get("template")
    daemon.hostler("start", "a0", "--wait", "agent")
    assert note(daemon, "a0") == "original"
    write(daemon, "a0", "mine")
    daemon.hostler("template", "web1", "--off")
    daemon.hostler("start", "web1", "--wait", "agent")
    write(daemon, "web1", "changed")
    daemon.hostler("start", "a1", "--wait", "agent")
    assert (note(daemon, "a1"), note(daemon, "a0"), note(daemon, "web1")) == ("original", "mine", "changed")


@limit(600)
def test_a_clone_is_flattened_while_it_runs_and_while_it_is_off(daemon):
    source(daemon)
    daemon.hostler("clone", "web1", "live", "off", "more")
    daemon.hostler("start", "live", "--wait", "agent")
    daemon.hostler("snapshot", "create", "live", "one", "--disk-only")
    write(daemon, "live", "mine")
    error = daemon.refused(4, "rm", "web1", "--now", "-y")
    assert "live" in error and "off" in error and "flatten" in error
    daemon.hostler("flatten", "live", "off", "more")
    assert note(daemon, "live") == "mine"
    check_whole(daemon)
    daemon.hostler("rm", "web1", "--now", "-y")
    daemon.hostler("start", "off", "--wait", "agent")
    assert note(daemon, "off") == "original"
    daemon.hostler("revert", "live", "one")
    daemon.hostler("start", "live", "--wait", "agent")
    assert note(daemon, "live") == "original"
    assert shell(daemon, "live", "dmesg | grep -ci 'i/o error' || true") == "0"
    daemon.hostler("flatten", "live")


class Flatten(Clones):
    """The clone of each VM is flattened; the VM that the verb is about is the clone."""

    def prepare(self, daemon, name):
        super().prepare(daemon, f"{name}-a")
        api_of(daemon).job("POST", f"/v1/vms/{name}-a/clone", {"names": [name]})
        if self.live:
            api_of(daemon).job("POST", f"/v1/vms/{name}/start", {})


@limit(600)
def test_crashes():
    live, off, template = Flatten(), Flatten(live=False), Clones(live=False)
    flatten = lambda name: ("POST", f"/v1/vms/{name}/flatten", {})
    be = lambda name: ("POST", f"/v1/vms/{name}/template", {})
    clone = lambda name: ("POST", f"/v1/vms/{name}/clone", {"names": [f"{name}-a", f"{name}-b"]})
    there = lambda vm: vm is not None
    run(Case("vm.flatten", flatten, there, prepare=live.prepare, reset=live.reset, same_process=True),
        Case("vm.flatten", flatten, there, prepare=off.prepare, reset=off.reset),
        Case("vm.template", be, lambda vm: vm["spec"]["options"].get("template"), prepare=template.prepare, reset=lambda daemon, name: ordinary(daemon, name)))


def ordinary(daemon, name):
    api_of(daemon).job("POST", f"/v1/vms/{name}/template", {"off": True})
    Clones().reset(daemon, name)
