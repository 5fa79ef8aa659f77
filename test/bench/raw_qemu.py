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

    def start(self):
        """Spawns it and lets the guest run; returns when it does."""
        monitor = self.folder / "qmp.sock"
        monitor.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.connect(monitor)
        self.read()  # the greeting
        self.command("qmp_capabilities")
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
        self.stream = connection.makefile("rwb", buffering=0)

    def read(self):
        return json.loads(self.stream.readline())

    def command(self, name):
        self.stream.write(json.dumps({"execute": name}).encode() + b"\n")
        while True:
            reply = self.read()
            if "return" in reply:
                return reply["return"]
            assert "error" not in reply, reply

    def stop(self):
        """Power off: returns when the process is gone."""
        self.command("quit")
        self.process.wait()
