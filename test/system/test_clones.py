"""Clones of real guests: each is a VM of its own on what the source's disks were, and neither sees what the other writes."""
import subprocess

from harness import BUILD, limit


def shell(daemon, vm, command):
    return daemon.guest(vm, "sh", "-c", command)


def source(daemon, text="original"):
    daemon.create("web1", "disk1.size=16M")
    write(daemon, "web1", text)


def write(daemon, vm, text):
    shell(daemon, vm, f"echo {text} > /root/note; printf '%-16s' {text} | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync")


def note(daemon, vm):
    disk, bare = shell(daemon, vm, "cat /root/note"), shell(daemon, vm, "dd if=/dev/vdb bs=16 count=1 2>/dev/null").strip()
    assert disk == bare
    return disk


def identity(daemon, vm):
    """What must not be the same in two VMs, as the guest sees it."""
    return (shell(daemon, vm, "cat /sys/class/net/eth0/address"), shell(daemon, vm, "cat /sys/class/dmi/id/product_uuid"), daemon.show(vm)["id"])


@limit(600)
def test_linked_clones_of_a_running_guest(daemon):
    source(daemon)
    daemon.hostler("clone", "web1", "web2", "web3")
    assert daemon.power("web1") == "running" and daemon.power("web2") == "off"
    write(daemon, "web1", "changed")
    daemon.hostler("start", "web2", "web3")
    daemon.hostler("wait", "web2", "agent")
    daemon.hostler("wait", "web3", "agent")
    assert note(daemon, "web2") == note(daemon, "web3") == "original" and note(daemon, "web1") == "changed"
    write(daemon, "web2", "second")
    assert note(daemon, "web3") == "original" and note(daemon, "web1") == "changed"
    for one, other in zip(identity(daemon, "web1"), identity(daemon, "web2")):
        assert one != other
    # The ground that a clone stands on is not taken away, and whose it is is said.
    error = daemon.refused(4, "rm", "web1", "--now", "-y")
    assert "web2" in error and "web3" in error
    daemon.hostler("rm", "web2", "web3", "--now", "-y")
    daemon.hostler("snapshot", "create", "web1", "one", "--disk-only")
    daemon.hostler("snapshot", "rm", "web1", "one")
    assert note(daemon, "web1") == "changed"
    daemon.hostler("rm", "web1", "--now", "-y")
    assert not list((daemon.state / "vms").iterdir())


def test_clones_go_while_their_source_is_worked_on(daemon):
    """One that goes changes nothing of what its source remembers, whatever is done to that one in this moment."""
    numbers = range(6)
    daemon.hostler("create", "web1", "--image", "tiny")
    daemon.hostler("clone", "web1", *(f"clone{number}" for number in numbers))
    for number in numbers:
        with subprocess.Popen([BUILD / "hostler", "rm", f"clone{number}", "--now", "-y"], env=daemon.environment) as going:
            daemon.hostler("snapshot", "create", "web1", f"moment{number}")
        assert going.returncode == 0
    assert [snapshot["name"] for snapshot in daemon.json("snapshot", "ls", "web1")] == [f"moment{number}" for number in numbers]
    daemon.hostler("rm", "web1", "--now", "-y")


def test_a_full_clone_needs_nobody(daemon):
    source(daemon)
    daemon.hostler("clone", "web1", "web2", "--full")
    daemon.hostler("rm", "web1", "--now", "-y")
    daemon.hostler("start", "web2", "--wait", "agent")
    assert note(daemon, "web2") == "original"
    assert "image" not in daemon.show("web2")["spec"]["disk0"]


@limit(400)
def test_a_clone_of_a_clone_and_its_snapshots(daemon):
    source(daemon)
    daemon.hostler("stop", "web1")
    daemon.hostler("clone", "web1", "web2")
    daemon.hostler("start", "web2", "--wait", "agent")
    write(daemon, "web2", "second")
    daemon.hostler("snapshot", "create", "web2", "one")
    daemon.hostler("clone", "web2", "web3")
    write(daemon, "web2", "later")
    daemon.hostler("start", "web3", "--wait", "agent")
    assert note(daemon, "web3") == "second"
    daemon.hostler("revert", "web2", "one")
    assert note(daemon, "web2") == "second"
    daemon.hostler("snapshot", "rm", "web2", "one")
    assert note(daemon, "web2") == note(daemon, "web3") == "second"
    daemon.hostler("start", "web1", "--wait", "agent")
    assert note(daemon, "web1") == "original"


def test_refusals(daemon):
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "web1" in daemon.refused(4, "clone", "web1", "web1")
    assert "twice" in daemon.refused(2, "clone", "web1", "a", "a")
    assert "not both" in daemon.refused(2, "clone", "web1", "a", "--full", "--linked")
    assert [vm["name"] for vm in daemon.json("ls")] == ["web1"]
    daemon.hostler("clone", "web1", "a", "--dry-run")
    assert [vm["name"] for vm in daemon.json("ls")] == ["web1"]
