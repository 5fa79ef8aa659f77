"""A host in a guest: Debian's kernel, which has what the kernel of a test machine may lack (device mapper, NFS, Open vSwitch, control groups), and
whose power can be cut.

Its root is this machine's own, shared read-only by 9p below a tmpfs, so programs, builds and tests are where they are here. Kernel and modules are
those of the image tiny-full; daemons are those of build/, for sanitizers would be too slow under TCG. /data is a disk of its own, which outlives a
power cut; what is not synced by then is lost. Tests call functions of their files in there, where a Daemon() is the Daemon of all tests and lives
on /data:

    with Host() as host:
        host.call(fill, "name")         # fill("name") runs in the inner host; what it returns comes back
        host.cut()
        host.boot()
        host.call(look)

inner-host/init is its first process, inner-host/agent.py does there what is asked for here.
"""
import concurrent.futures
import contextlib
import functools
import inspect
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import harness
from harness import SLOWNESS, cached_image, wait_until

HERE = pathlib.Path(__file__).resolve().parent
BOOT_LIMIT_S = 300
# How much longer than here things take in there.
SLOWER = 4
# What is loaded at boot; the kernel asks for more itself.
MODULES = ("loop", "tun", "veth", "bridge")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REPORTS = "inner.reports"
SKIPPED = 77
REPORTING = threading.Lock()


class Host:
    """@cgroup: "v2" with all controllers at /sys/fs/cgroup, or "v1" with a folder for each. @data: size of the disk at /data in GiB, @mount: its
    options."""

    def __init__(self, cgroup="v2", memory="1536M", cpus=2, modules=(), data=4, mount="defaults", boot=True):
        self.options = {"cgroup": cgroup, "modules": ",".join([*MODULES, *modules]), "data": mount}
        self.memory, self.cpus = memory, cpus
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="h-", dir=harness.FOLDER))
        self.console = self.folder / "console"
        self.reports = self.folder / "reports"
        self.disk = self.folder / "data.raw"
        self.image = cached_image("tiny-full")
        self.process = self.channel = None
        make_ext4(self.disk, data << 30)
        self.make_initrd()
        if boot:
            self.boot()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        else:
            print(f"---- console of the inner host:\n{self.console_text()[-6000:]}")
            self.cut()

    # ---- power ----

    def boot(self, disks=()):
        """@disks: files of more disks, /dev/vdc and on."""
        with open(self.folder / "qemu.log", "ab") as log:
            self.process = subprocess.Popen(self.command(disks), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.channel = wait_until(self.connect, 10, "QEMU listens", every=0.02)
        if not self.channel.hello.wait(BOOT_LIMIT_S * SLOWNESS):
            self.cut()
            raise AssertionError(f"the inner host is not up within {BOOT_LIMIT_S * SLOWNESS:.0f} s:\n{self.console_text()[-4000:]}")

    def connect(self):
        assert self.process.poll() is None, f"QEMU of the inner host ended:\n{(self.folder / 'qemu.log').read_text()}"
        with contextlib.suppress(OSError):
            return Channel(self.folder / "agent")

    def cut(self):
        """The power fails, at this very moment."""
        if self.channel:
            self.channel.close()
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def frozen(self):
        """It stands still within: what is on its disk now is what it would find there if the power failed now."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def copy_disk(self, name):
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.disk, self.folder / name], check=True)
        return self.folder / name

    def close(self):
        self.output("sync")
        self.cut()

    def command(self, disks):
        more = [word for number, path in enumerate(disks) for word in
                ("-blockdev", blockdev(f"more{number}", "raw", path), "-device", f"virtio-blk-pci,drive=more{number}")]
        kernel = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check", "mitigations=off", "transparent_hugepage=never",  # khugepaged can keep an emulated processor for 20 s
                  "rdinit=/inner/init",
                  *(f"inner.{name}={value}" for name, value in self.options.items())]
        return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-m", self.memory, "-smp", str(self.cpus),
                "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self.console}",
                "-kernel", self.image / "vmlinuz", "-initrd", "initrd", "-append", " ".join(kernel),
                "-blockdev", blockdev("image", "qcow2", self.image / "disk.qcow2", read_only=True), "-device", "virtio-blk-pci,drive=image",
                "-blockdev", blockdev("data", "raw", self.disk), "-device", "virtio-blk-pci,drive=data", *more,
                "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                "-chardev", "socket,id=agent,path=agent,server=on,wait=off", "-device", "virtserialport,chardev=agent,name=inner.agent",
                "-chardev", "file,id=reports,path=reports,append=on", "-device", f"virtserialport,chardev=reports,name={REPORTS}"]

    def make_initrd(self):
        """That of the image, and behind it what boots from our root instead."""
        settings = {"tests": str(HERE), "environment": {
            "PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "HOSTLER_TEST_FOLDER": "/data", "HOSTLER_BUILD": str(harness.ROOT / "build"),
            "HOSTLER_TEST_SLOWNESS": str(SLOWNESS * SLOWER)}}
        shutil.copyfile(self.image / "initrd", self.folder / "initrd")
        with open(self.folder / "initrd", "ab") as file:
            file.write(bytes(-file.tell() % 512))
            file.write(cpio({"inner": None, "inner/init": (HERE / "inner-host" / "init").read_bytes(),
                             "inner/agent.py": (HERE / "inner-host" / "agent.py").read_bytes(),
                             "inner/python": sys.executable.encode(), "inner/settings": json.dumps(settings).encode()}))

    # ---- what runs in it ----

    def run(self, *argv, input=None, timeout=60, environment=None):
        """A command in it, whatever comes of it."""
        words = [str(word) for word in argv]
        answer = self.channel.ask({"argv": words, "input": input, "environment": environment or {}}, timeout * SLOWNESS * SLOWER)
        return subprocess.CompletedProcess(words, answer["code"], answer["stdout"], answer["stderr"])

    def output(self, *argv, **options):
        """The same; it must succeed. Returns what it wrote to stdout."""
        done = self.run(*argv, **options)
        if done.returncode != 0:
            raise harness.Failed(done)
        return done.stdout

    def call(self, function, *arguments, timeout=60):
        """Calls @function of a test file in it and returns what it returns; that and @arguments are JSON on their way."""
        answer = self.channel.ask({"file": inspect.getsourcefile(function), "function": function.__name__, "arguments": arguments},
                                  timeout * SLOWNESS * SLOWER)
        if answer["code"] == SKIPPED:
            harness.skip(answer["stdout"].strip())
        print(answer["stdout"].rstrip())
        assert answer["code"] == 0, f"{function.__name__}() ended with {answer['code']} in the inner host"
        return json.loads(answer["value"])

    def begin(self, function, *arguments):
        """The same, meanwhile: a Future, which fails when the power is cut."""
        future = concurrent.futures.Future()

        def run():
            try:
                future.set_result(self.call(function, *arguments, timeout=600))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    # ---- looking from outside ----

    def console_text(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def reported(self):
        """All that report() has been told so far, in all lives of the host."""
        lines = self.reports.read_text().split("\n") if self.reports.exists() else [""]
        return [json.loads(line) for line in lines[:-1]]


def report(value):
    """In the inner host: tells the outer one, which remembers it whatever happens to the inner one afterwards. Any thread of one process."""
    with REPORTING:
        os.write(report_port(), (json.dumps(value) + "\n").encode())


@functools.cache
def report_port():
    for port in pathlib.Path("/sys/class/virtio-ports").iterdir():
        if (port / "name").read_text().strip() == REPORTS:
            return os.open(f"/dev/{port.name}", os.O_WRONLY | os.O_CLOEXEC)


class Channel:
    """Asks the agent, over the socket at @path; several threads may."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.hello = threading.Event()
        self.changed = threading.Condition()
        self.answers = {}
        self.asked = 0
        self.open = True
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self.socket.makefile("r", encoding="utf-8"):
                self.take(json.loads(line))
        with self.changed:
            self.open = False
            self.changed.notify_all()

    def take(self, answer):
        if answer["id"] == 0:
            self.hello.set()
        with self.changed:
            self.answers[answer["id"]] = answer
            self.changed.notify_all()

    def ask(self, request, timeout):
        """ConnectionError if the host ends meanwhile."""
        with self.changed:
            self.asked += 1
            number = self.asked
            self.socket.sendall((json.dumps(request | {"id": number, "timeout": timeout}) + "\n").encode())
            there = self.changed.wait_for(lambda: number in self.answers or not self.open, timeout + 10)
            if not self.open:
                raise ConnectionError("the inner host has ended")
            assert there, f"no answer of the inner host within {timeout:.0f} s: {request}"
            return self.answers.pop(number)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def make_ext4(path, size_bytes):
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True, env=os.environ | {"PATH": PATH})


def blockdev(name, driver, path, read_only=False):
    file = {"driver": "file", "filename": str(path), "read-only": read_only, "locking": "off"}
    return json.dumps({"node-name": name, "driver": driver, "read-only": read_only, "file": file})


def cpio(files):
    """An archive in the "newc" format, as the kernel's buffer-format.rst has it. @files: {name: content, None for a folder}; all may be executed."""
    archive = b""
    for number, (name, content) in enumerate([*files.items(), ("TRAILER!!!", b"")], start=1):
        mode = 0o40755 if content is None else 0o100755
        content = content or b""
        fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        archive += padded(b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0") + padded(content)
    return archive


def padded(data):
    return data + bytes(-len(data) % 4)
