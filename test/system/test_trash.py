"""rm, the trash, undelete, and removing for ever."""
import datetime
import subprocess
import time

from harness import Daemon, skip, wait_until


def folder_of(daemon, vm):
    return daemon.state / "vms" / vm["id"]


def test_there_and_back_with_all_that_was_on_it(daemon):
    vm = daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo kept > /root/kept; sync")
    said = daemon.refused(9, "rm", "web1")
    assert "running" in said and "-y" in said and daemon.power("web1") == "running"
    daemon.hostler("rm", "-y", "web1")
    assert daemon.json("ls") == [] and [gone["id"] for gone in daemon.json("ls", "--trash")] == [vm["id"]]
    assert len(daemon.processes()) == 1 and daemon.json("ls", "--trash")[0]["trashed"]
    daemon.refused(3, "start", "web1")
    daemon.restart(kill=True)
    # The name is free meanwhile, and the one who took it is in the way of the old one.
    daemon.hostler("create", "web1", "--image", "tiny")
    assert "--name" in daemon.refused(4, "undelete", vm["id"])
    daemon.hostler("undelete", vm["id"], "--name", "web0")
    back = daemon.show("web0")
    assert back["id"] == vm["id"] and back["status"]["power"] == "off" and "trashed" not in back
    daemon.hostler("start", "web0", "--wait", "agent")
    assert daemon.guest("web0", "cat", "/root/kept") == "kept"


def test_now_removes_disks_too(daemon):
    vm = daemon.json("create", "web1", "--image", "tiny")
    other = daemon.json("create", "web2", "--image", "tiny")
    daemon.hostler("rm", "--now", "web1")
    assert not folder_of(daemon, vm).exists() and daemon.json("ls", "--trash") == []
    daemon.refused(3, "undelete", "web1")
    daemon.hostler("rm", "web2")
    assert folder_of(daemon, other).exists()
    daemon.hostler("delete", "--now", "web2")
    assert not folder_of(daemon, other).exists() and daemon.json("ls", "--trash") == []


def test_keep_disks_leaves_volumes(daemon):
    vm = daemon.json("create", "web1", "--image", "tiny", "disk1.size=8M")
    daemon.hostler("rm", "--keep-disks", "web1")
    assert not folder_of(daemon, vm).exists() and daemon.json("ls") == []
    assert sorted(path.name.rsplit("-", 1)[1] for path in (daemon.state / "volumes").iterdir()) == ["disk0.qcow2", "disk1.qcow2"]


def test_a_protected_vm_stays(daemon):
    daemon.hostler("create", "web1", "--image", "tiny", "options.protect=on")
    for flags in ((), ("--now",), ("--keep-disks",), ("-y",)):
        assert "options.protect=off" in daemon.refused(4, "rm", *flags, "web1")
    daemon.hostler("set", "web1", "options.protect=off")
    daemon.hostler("rm", "web1")


def test_a_suspended_vm_comes_back_suspended(daemon):
    daemon.create("web1")
    daemon.guest("web1", "sh", "-c", "echo in-memory > /tmp/note")
    daemon.hostler("suspend", "web1")
    daemon.hostler("rm", "web1")
    daemon.hostler("undelete", "web1")
    assert daemon.power("web1") == "suspended"
    daemon.hostler("resume", "web1", "--wait", "agent")
    assert daemon.guest("web1", "cat", "/tmp/note") == "in-memory"


def test_rm_of_a_running_one_takes_its_processes(daemon):
    daemon.create("web1", wait="running")
    daemon.hostler("rm", "--now", "-y", "web1")
    wait_until(lambda: len(daemon.processes()) == 1, 5)
    assert not list((daemon.state / "vms").iterdir())
    time.sleep(0.2)
    assert daemon.json("ls") == []


def test_the_trash_says_when_and_goes_when_space_is_short():
    with Daemon(images=(), start=False) as daemon:
        daemon.state.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200M", "none", daemon.state], capture_output=True).returncode != 0:
            skip("no file system can be mounted here")
        try:
            daemon.start()
            for name in ("first", "kept", "second"):
                daemon.hostler("create", name, "disk0.size=16M", "memory.size=64M")
            daemon.hostler("clone", "kept", "clone")
            for name in ("kept", "first", "second"):
                daemon.hostler("rm", name)
            header, *rows = daemon.hostler("ls", "--trash").splitlines()
            assert header.split()[:3] == ["NAME", "TRASHED", "EXPIRES"] and len(rows) == 3
            gone, = [vm for vm in daemon.json("ls", "--trash") if vm["name"] == "first"]
            week = datetime.datetime.fromisoformat(gone["expires"]) - datetime.datetime.fromisoformat(gone["trashed"])
            assert week == datetime.timedelta(days=7)
            filler = daemon.state / "filler"
            filler.write_bytes(bytes(185 << 20))
            wait_until(lambda: {vm["name"] for vm in daemon.json("ls", "--trash")} == {"kept", "second"}, 90, "the one thrown away first goes")
            filler.unlink()
            assert {vm["name"] for vm in daemon.json("ls", "--trash")} >= {"kept"} and daemon.json("ls")[0]["name"] == "clone"
            daemon.stop()
        finally:
            subprocess.run(["umount", "-l", daemon.state], check=True)
