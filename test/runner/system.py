"""Runs the system tests: each function test_* of test/system/test_*.py in a process of its own, two at a time, with a time limit.

Whatever a test leaves behind is found by its private folder's name: a process that mentions it is ended, and the test has failed.
"""
import ast
import concurrent.futures
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from runner import builds

FOLDER = builds.ROOT / "test" / "system"
WORKERS = 2
TIME_LIMIT_S = 300
SKIPPED = 77


def run(build, results):
    if not (build.folder / "hostlerd").exists():
        return results.skip("system", f"{build.folder.name} has no hostlerd")
    tests = [(path, name, limit) for path in sorted(FOLDER.glob("test_*.py")) for name, limit in functions(path)
             if results.wants(f"system/{path.stem[5:]}/{name[5:]}")]
    tests.sort(key=lambda test: -test[2])  # the longest first: begun last, one of them would keep the other workers waiting
    with concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for future in [pool.submit(results.trial, functools.partial(run_one, build, *test)) for test in tests]:
            future.result()
    results.run_again()


def functions(path):
    """(name, time limit) of each test; `@limit(seconds)` above one changes its limit. Read, not imported: a broken file fails its own tests only."""
    for node in ast.parse(path.read_text(), str(path)).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            limits = [call.args[0].value for call in node.decorator_list
                      if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "limit"]
            yield node.name, limits[0] if limits else TIME_LIMIT_S


def run_one(build, path, name, limit, results):
    case = f"system/{path.stem[5:]}/{name[5:]}"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-test-"))
    try:
        code, output = run_in(build, path, name, limit * slowness(), folder)
        left = end_processes_of(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if left and code in (0, SKIPPED):
        results.fail(case, output + "\nleft behind:\n" + "\n".join(left))
    elif code == SKIPPED:
        results.skip(case, output.strip().split("\n")[-1] or "no reason given")
    elif code != 0:
        results.fail(case, output)
    else:
        results.ok(case)


def slowness():
    """How much slower than usual this machine is: time limits are multiplied by it."""
    return float(os.environ.get("HOSTLER_TEST_SLOWNESS", "1"))


def run_in(build, path, name, limit, folder):
    environment = os.environ | build.environment | {"HOSTLER_TEST_FOLDER": str(folder), "HOSTLER_BUILD": str(build.folder)}
    process = subprocess.Popen([sys.executable, str(FOLDER / "harness.py"), str(path), name], env=environment, start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        return 124, f"{output}\nno end within {limit:.0f} s"


def end_processes_of(folder):
    """Ends every process whose command line, environment or working folder is of this test; says which they were."""
    left = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            mark = str(folder).encode()
            command = (process / "cmdline").read_bytes()
            if mark in command or mark in (process / "environ").read_bytes() or str(folder) in os.readlink(process / "cwd"):
                left.append(f"{process.name}: {command.replace(bytes(1), b' ').decode(errors='replace')[:300]}")
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return left
