"""What system tests stand on: a daemon of their own, the command line, waiting, and a check that nothing is left behind.

A test is a function test_* in a file test_*.py beside this one. A parameter named `daemon` is a started Daemon that is closed, and checked,
afterwards; tests that need two, or none, make their own with `with Daemon() as a, Daemon() as b`. `skip("reason")` skips; an assertion fails.
"""
import contextlib
import fcntl
import functools
import hashlib
import http.client
import inspect
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback

from api import Api

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ROOT / "build"))
FOLDER = pathlib.Path(os.environ.get("HOSTLER_TEST_FOLDER") or tempfile.mkdtemp(prefix="hostler-test-"))
IMAGES = ROOT / "build" / "test-cache"
SLOWNESS = float(os.environ.get("HOSTLER_TEST_SLOWNESS", "1"))
IMAGE_BUILD_LIMIT_S = 900


class Skip(Exception):
    pass


def skip(reason):
    raise Skip(reason)


def limit(seconds):
    """A test's own time limit; the runner reads it from the source."""
    return lambda function: function


def wait_until(condition, timeout=30, what=None, every=0.1):
    """Calls @condition until it gives something true, and returns that."""
    end = time.monotonic() + timeout * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout * SLOWNESS:.0f} s: {what or inspect.getsource(condition).strip()}")
        time.sleep(every)


class Failed(AssertionError):
    """A command of `hostler` that should have gone well and did not."""

    def __init__(self, done):
        super().__init__(f"{' '.join(map(str, done.args))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        self.done = done


class Daemon:
    """One hostlerd with a state folder of its own. @images: names of images that it must have (built once for all tests); @options: of each of its
    lives; @folder: an earlier one's, to go on with."""

    def __init__(self, images=("tiny",), environment=None, start=True, options=(), folder=None):
        self.options = options
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="d-", dir=FOLDER))
        self.state = self.folder / "state"
        self.socket = self.folder / "socket"
        self.log = self.folder / "log"
        self.process = None
        self.environment = os.environ | {
            # Without HOSTLER_STATE the command line cannot start a daemon of its own where ours has ended.
            "HOSTLER_SOCKET": str(self.socket), "HOSTLER_ACCEL": "tcg", "NO_COLOR": "1",
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:log_path={self.folder}/sanitizer",
            "UBSAN_OPTIONS": f"{os.environ.get('UBSAN_OPTIONS', '')}:log_path={self.folder}/sanitizer",
        } | (environment or {})
        if images:
            self.give_images(images)
        if start:
            self.start()

    # ---- life ----

    def spawn(self, *arguments, environment=None, program=BUILD / "hostlerd"):
        """Starts hostlerd and waits for nothing: one that is to die early may never answer."""
        with open(self.log, "ab") as log:
            self.started = time.time()
            self.process = subprocess.Popen([program, "--state", self.state, "--socket", self.socket, *self.options, *arguments], cwd="/",
                                            env=self.environment | (environment or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, *arguments, **options):
        """Starts hostlerd and waits until it answers; options as of spawn()."""
        self.spawn(*arguments, **options)
        wait_until(self.answers, 20, "the daemon answers on its socket", every=0.01)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"hostlerd ended with {self.process.returncode}:\n{self.log_text()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return Api(self.socket).call("GET", "/v1/version")

    def stop(self, timeout=20):
        """Asks the daemon to end; its VMs go on."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout * SLOWNESS) == 0, "\n".join(
            [f"hostlerd ended with {self.process.returncode}:", self.log_text(), *self.sanitizer_reports()])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self, kill=False):
        self.kill() if kill else self.stop()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        else:
            print(f"---- log of the daemon ({self.process.poll()}) in {self.state}:\n{self.log_text()[-8000:]}", *self.sanitizer_reports())

    def close(self):
        """Ends what still runs, through the product, and checks that then nothing is left: no process, socket or sanitizer report."""
        if self.process.poll() is None:
            for vm in self.json("ls"):
                if vm["status"]["power"] != "off":
                    self.hostler("stop", "--hard", vm["name"])
            self.stop()
        wait_until(lambda: not self.processes(), 10, f"no process is left of {self.state}: {self.processes()}")
        sockets = [str(path) for path in self.state.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
        assert not sockets, f"sockets are left: {sockets}"
        reports = self.sanitizer_reports()
        assert not reports, "\n".join(reports)

    # ---- commands ----

    def run(self, *arguments, input=None, timeout=120, environment=None):
        """`hostler` with these arguments, whatever comes of it."""
        return subprocess.run([BUILD / "hostler", *map(str, arguments)], env=self.environment | (environment or {}), input=input,
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True, errors="replace",
                              timeout=timeout * SLOWNESS)

    def hostler(self, *arguments, **options):
        """The same; it must succeed. Returns what it wrote to stdout."""
        done = self.run(*arguments, **options)
        if done.returncode != 0:
            raise Failed(done)
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.hostler(*arguments, "-o", "json", **options))

    def refused(self, code, *arguments, **options):
        """The command must end with exit code @code. Returns what it wrote to stderr."""
        done = self.run(*arguments, **options)
        if done.returncode != code:
            raise Failed(done)
        return done.stderr

    def show(self, vm):
        return self.json("show", vm)

    def power(self, vm):
        return self.show(vm)["status"]["power"]

    def guest(self, vm, *command, **options):
        """Runs a command in the guest through its agent; its stdout without the last newline."""
        return self.hostler("exec", vm, "--", *command, **options).rstrip("\n")

    def create(self, name, *arguments, image="tiny", wait="agent", timeout=180):
        """Creates and starts a VM; returns what `show` says once it is @wait."""
        self.hostler("create", name, "--image", image, "--start", "--wait", wait, *arguments, timeout=timeout)
        return self.show(name)

    # ---- looking from outside ----

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def sanitizer_reports(self):
        return [path.read_text(errors="replace") for path in sorted(self.folder.glob("sanitizer.*"))]

    def processes(self):
        """{pid: command line} of every process that names this daemon's folders or works in them, the daemon included."""
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                where = os.readlink(process / "cwd")
                if (str(self.folder).encode() in command or where.startswith(str(self.folder))) and int(process.name) != os.getpid():
                    found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:200].strip()
        return found

    def give_images(self, names):
        for name in names:
            folder = cached_image(name)
            shutil.copytree(folder, self.state / "images" / folder.name, copy_function=link_or_copy, dirs_exist_ok=True)


def link_or_copy(source, target):
    """Images never change, so all daemons may share one file, where it is on the same file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@functools.cache
def recipes():
    """What images are made by, in a few characters."""
    files = [path for folder, pattern in ((ROOT / "image", "**/*"), (ROOT / "src" / "storage", "image_*.c")) for path in folder.glob(pattern)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files) if path.is_file())).hexdigest()[:12]


def cached_image(name):
    """Folder of an image that `hostler image build` made once on this machine by today's recipes. Several tests may come here at once."""
    folder = IMAGES / recipes() / name.replace(":", "_")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with open(IMAGES / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with Daemon(images=()) as builder:
                builder.hostler("image", "build", name, timeout=IMAGE_BUILD_LIMIT_S)
                for old in IMAGES.iterdir():
                    if old.is_dir() and old.name != recipes():
                        shutil.rmtree(old, ignore_errors=True)
                folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(builder.state / "images" / folder.name, f"{folder}.new", dirs_exist_ok=True)
                os.rename(f"{folder}.new", folder)
    return folder


def run_test(path, name):
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.modules["harness"] = sys.modules["__main__"]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    test = getattr(module, name)
    if "daemon" in inspect.signature(test).parameters:
        with Daemon() as daemon:
            test(daemon)
    else:
        test()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(124))
    try:
        run_test(pathlib.Path(sys.argv[1]), sys.argv[2])
    except Skip as reason:
        print(reason)
        return 77
    except (Exception, SystemExit):
        traceback.print_exc(file=sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
