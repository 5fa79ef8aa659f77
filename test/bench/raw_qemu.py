"""The floor: the very QEMU process that Hostler starts for a VM, driven by hand over QMP."""
import json
import os
import pathlib
import re
import socket
import subprocess
import time


class RawQemu:
    """Takes the arguments of a VM's running QEMU, so that both do the same work. The VM must be off when this one is started."""

    def __init__(self, pid, folder):
        process = pathlib.Path(f"/proc/{pid}")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.argv = list(self.own_arguments(process.joinpath("cmdline").read_bytes().decode().split("\0")[:-1]))

    @staticmethod
    def own_arguments(argv):
        """Without the console log's descriptor, which the keeper passes: the log becomes a plain file."""
        arguments = iter(argv)
        for argument in arguments:
            if argument == "-add-fd":
                next(arguments)
            else:
                yield re.sub(r"logfile=/dev/fdset/\d+", "logfile=console.log", argument)

    def start(self, state=None):
        """Spawns it and lets the guest run, from a saved state if that is given; returns when it does."""
        monitor = self.folder / "qmp.sock"
        monitor.unlink(missing_ok=True)
        argv = self.argv + (["-incoming", "defer"] if state else [])
        self.process = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.connect(monitor)
        self.read()  # the greeting
        self.command("qmp_capabilities")
        if state:
            self.pass_file(state, os.O_RDONLY)
            self.command("migrate-incoming", uri="fd:state")
            self.wait(lambda: self.command("query-migrate").get("status") == "completed")
        self.command("cont")
        assert self.command("query-status")["running"]

    def connect(self, monitor):
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(monitor))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                assert self.process.poll() is None, f"QEMU ended with {self.process.returncode}"
                time.sleep(0.0005)
        self.connection = connection
        self.stream = connection.makefile("rwb", buffering=0)

    def pass_file(self, path, flags):
        """QEMU has it as `state`; its sandbox lets it run no program."""
        file = os.open(path, flags, 0o600)
        socket.send_fds(self.connection, [json.dumps({"execute": "getfd", "arguments": {"fdname": "state"}}).encode() + b"\n"], [file])
        os.close(file)
        self.answer()

    def read(self):
        return json.loads(self.stream.readline())

    def command(self, name, **arguments):
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        return self.answer()

    def answer(self):
        """What comes back of a command, whatever events come before."""
        while True:
            reply = self.read()
            if "return" in reply:
                return reply["return"]
            assert "error" not in reply, reply

    @staticmethod
    def wait(condition):
        while not condition():
            time.sleep(0.001)

    def nodes(self):
        return [block["inserted"]["node-name"] for block in self.command("query-block") if block.get("inserted")]

    def snapshot_job(self, command, **arguments):
        """A snapshot inside of the disks' files: QEMU's own, for which the guest stands still."""
        self.command(command, **{"job-id": "job", "tag": "bench", **arguments})
        done = lambda: next((job for job in self.command("query-jobs") if job["id"] == "job"), {}).get("status") == "concluded"
        self.wait(done)
        self.command("job-dismiss", id="job")

    def snapshot(self):
        self.snapshot_job("snapshot-save", vmstate=self.nodes()[0], devices=self.nodes())

    def revert(self):
        self.command("stop")
        self.snapshot_job("snapshot-load", vmstate=self.nodes()[0], devices=self.nodes())
        self.command("cont")

    def forget(self):
        self.snapshot_job("snapshot-delete", devices=self.nodes())

    def suspend(self, state):
        self.command("stop")
        self.command("migrate-set-parameters", **{"max-bandwidth": (1 << 63) - 1})
        self.pass_file(state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.command("migrate", uri="fd:state")
        self.wait(lambda: self.command("query-migrate").get("status") == "completed")
        self.stop()

    def stop(self):
        """Power off: returns when the process is gone."""
        self.command("quit")
        self.process.wait()
