"""The host in a guest that other tests stand on: commands and daemons run in it, and its power can be cut."""
import os
import pathlib

from harness import Daemon, limit
from inner import Host, report


def daemon_answers():
    """A daemon on /data, of the same build as outside, and what it knows after its own restart."""
    with Daemon(images=()) as daemon:
        daemon.hostler("create", "here", "memory.size=64M")
        assert [vm["name"] for vm in daemon.json("ls")] == ["here"]
        report({"folder": str(daemon.folder)})
        return {"version": daemon.hostler("version"), "kernel": os.uname().release}


def what_is_kept():
    return {path.name: path.read_text() for path in pathlib.Path("/data").glob("*.txt")}


@limit(400)
def test_inner_host():
    with Host(cgroup="v2", mount="commit=600") as host:
        done = host.run("sh", "-c", "echo out; echo err >&2; cat; exit 3", input="in")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\nin", "err\n")
        assert {"cpu", "memory", "io"} <= set(host.output("cat", "/sys/fs/cgroup/cgroup.controllers").split())
        answers = host.call(daemon_answers)
        assert answers["kernel"] != os.uname().release and answers["version"].startswith("hostler ")
        assert host.reported()[0]["folder"].startswith("/data/")

        host.output("sh", "-c", "echo kept > /data/synced.txt; sync; echo lost > /data/late.txt")
        host.cut()
        host.boot()
        assert host.call(what_is_kept) == {"synced.txt": "kept\n"}
