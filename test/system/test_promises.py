"""Promises of docs/SPECIFICATION.md that belong to no verb: of failed starts, of files in use, of what listens."""
import concurrent.futures
import os
import pathlib
import re
import signal
import socket

from harness import Daemon, wait_until

LISTEN = "0A"


def kept_for_a_vm(daemon):
    """Files of VMs that are only there while QEMU runs."""
    return sorted(str(path.relative_to(daemon.state)) for path in (daemon.state / "vms").glob("*/run/*"))


def test_a_failed_start_leaves_nothing_and_says_what_qemu_said(daemon):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon.hostler("create", "web1", "--image", "tiny", f"nic0.forward=tcp:{port}:22")
        own, files, descriptors = daemon.processes(), kept_for_a_vm(daemon), len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        for _ in range(2):
            message = daemon.refused(1, "start", "web1")
            assert str(port) in message and "forwarding rule" in message, message
            wait_until(lambda: daemon.processes() == own, 10, f"only the daemon is left: {daemon.processes()}")
            assert kept_for_a_vm(daemon) == files
        assert len(os.listdir(f"/proc/{daemon.process.pid}/fd")) <= descriptors
        status = daemon.show("web1")["status"]
        assert status["power"] == "off" and "pid" not in status, status
    daemon.hostler("start", "web1")
    assert daemon.power("web1") == "running"


def test_of_two_vms_that_start_at_once_with_one_disk_one_runs():
    """Of two daemons that know nothing of each other. The lock is the kernel's: it ends with its QEMU, however that ends."""
    with Daemon(images=()) as one, Daemon(images=()) as other:
        medium = one.folder / "shared.img"
        medium.write_bytes(bytes(1440 * 1024))
        for daemon in (one, other):
            daemon.hostler("create", "vm", "fd.kind=floppy", f"fd.medium={medium}")
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                results = list(pool.map(lambda daemon: daemon.run("start", "vm"), (one, other)))
            assert sorted(result.returncode == 0 for result in results) == [False, True], [result.stderr for result in results]
            winner, loser = (one, other) if results[0].returncode == 0 else (other, one)
            message = results[(one, other).index(loser)].stderr
            assert str(medium) in message and ("another" in message or "lock" in message), message
            assert winner.power("vm") == "running" and loser.power("vm") == "off"
            os.kill(winner.show("vm")["status"]["pid"], signal.SIGKILL)
            wait_until(lambda: winner.power("vm") == "crashed", 10)
        loser.hostler("start", "vm")


def sockets_of(pid):
    links = (os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())
    return {match[1] for match in (re.fullmatch(r"socket:\[(\d+)\]", link) for link in links) if match}


def listening(daemon):
    """(address, port) in hexadecimal of all TCP sockets that the daemon and what it started listen on."""
    own = set().union(*(sockets_of(pid) for pid in daemon.processes()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and words[9] in own:
                found.add(tuple(words[1].split(":")))
    return found


def test_nothing_listens_but_what_forwards_ask_for(daemon):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    daemon.hostler("create", "plain", "--start", "v.kind=video", "s.kind=serial", "u.kind=usb", "tpm.model=tpm-crb",
                   "m.kind=midi", "a.kind=audio", "a.model=spice")
    assert len(daemon.processes()) > 3
    assert listening(daemon) == set()
    daemon.hostler("create", "open", "--start", f"nic0.forward=tcp:{port}:22")
    assert listening(daemon) == {("0100007F", f"{port:04X}")}
    daemon.hostler("set", "open", "nic0.forward=")
    assert listening(daemon) == set()


def test_a_secret_is_in_no_log_no_command_line_and_no_answer(daemon):
    """Whoever may not read the files of the state folder, which are their owner's alone, has nowhere to find it."""
    secret = "swordfish-4711"
    daemon.hostler("create", "web1", "--image", "tiny", "--start", "--wait", "running", f"seed.user_data=#cloud-config {secret}")
    daemon.hostler("set", "web1", f"seed.user_data=#cloud-config {secret} again")
    daemon.refused(2, "set", "web1", f"seed.user_data=#cloud-config {secret}", "cpu.count=none")
    daemon.run("stop", "web1", "--hard")
    daemon.run("start", "web1")
    answers = [daemon.hostler(*words, "-o", "json") for words in
               (("ls",), ("show", "web1"), ("event", "ls"), ("job", "ls"), ("device", "ls", "web1"), ("volume", "ls"))]
    answers += [daemon.hostler("job", "show", job["id"], "-o", "json") for job in daemon.json("job", "ls")]
    assert not [answer for answer in answers if secret in answer]
    assert secret not in daemon.log_text() and secret not in daemon.hostler("console", "web1", "--log")
    for pid in daemon.processes():
        assert secret.encode() not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() + pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    keepers = [path for path in daemon.state.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert keepers and not [path for path in keepers if path.stat().st_mode & 0o077], keepers
