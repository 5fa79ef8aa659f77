"""The builds under test: folder, compiler and Meson options of each."""
import dataclasses
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Build:
    name: str
    folder: pathlib.Path
    options: tuple = ()
    compiler: str = "gcc"
    subjects: tuple = ()  # only Meson tests whose name begins with one of these; empty: all
    environment: dict = dataclasses.field(default_factory=dict)


ASAN_ENVIRONMENT = {
    "G_SLICE": "always-malloc",  # GLib's own allocator would hide who owns what
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=86:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=86",
}
TSAN_ENVIRONMENT = {
    # GLib and jansson are not instrumented and lock with futexes of their own: what their insides do with memory looks like a race and is none.
    "TSAN_OPTIONS": f"halt_on_error=0:exitcode=87:ignore_noninstrumented_modules=1:suppressions={ROOT / 'test' / 'tsan' / 'suppressions'}",
    "LD_PRELOAD": str(ROOT / "build-tsan" / "test" / "libglib-sync.so"),
    "G_SLICE": "always-malloc",  # GLib's own allocator passes memory between threads without a word
}

PLAIN = Build("plain", ROOT / "build")
ASAN = Build("asan", ROOT / "build-asan", ("-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dwerror=true"), environment=ASAN_ENVIRONMENT)
TSAN = Build("tsan", ROOT / "build-tsan", ("-Db_sanitize=thread", "-Db_lundef=false"), subjects=("job", "event", "qmp", "agent", "guest", "api", "http", "monitor"),
             environment=TSAN_ENVIRONMENT)
FUZZ = Build("fuzz", ROOT / "build-fuzz", ("-Dfuzz=true", "-Db_lundef=false"), compiler="clang", environment=ASAN_ENVIRONMENT)


def make(build):
    """Configures once, then compiles what is out of date. Ends the whole run when that fails: nothing could be tested."""
    environment = os.environ | {"CC": build.compiler}
    print(f"----  building {build.folder.name}", flush=True)
    if not (build.folder / "build.ninja").exists():
        run(["meson", "setup", *build.options, str(build.folder)], environment)
    run(["ninja", "-C", str(build.folder)], environment)


def run(argv, environment):
    done = subprocess.run(argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout)
        sys.exit(f"{' '.join(argv)} failed; no test was run on it")
