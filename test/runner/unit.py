"""Runs the tests that Meson knows of in one build, side by side, and counts the cases of their TAP output."""
import concurrent.futures
import functools
import json
import os
import re
import subprocess

from runner import builds

CASE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:- )?(.*?)\s*(?:#\s*(SKIP|TODO)\b\s*(.*))?$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)")


def run(build, results):
    tests = [test for test in known_tests(build) if not build.subjects or test["name"].startswith(build.subjects)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for future in [pool.submit(results.trial, functools.partial(run_one, build, test)) for test in tests]:
            future.result()
    results.run_again()


def known_tests(build):
    text = subprocess.run(["meson", "introspect", "--tests", str(build.folder)], check=True, capture_output=True, text=True).stdout
    return json.loads(text)


def run_one(build, test, results):
    name = f"{build.name}/{test['name']}"
    if not results.wants(name):
        return
    environment = os.environ | build.environment | test["env"] | {"HOSTLER_BUILD": str(build.folder)}
    try:
        done = subprocess.run(test["cmd"], cwd=test["workdir"] or build.folder, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=test["timeout"] * 4, text=True, errors="replace")
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace") + f"\nno end within {test['timeout'] * 4} s", 124
    if test["protocol"] == "tap":
        count_tap(name, output, code, results)
    else:
        count_exit_code(name, output, code, results)


def count_exit_code(name, output, code, results):
    if code == 77:
        results.skip(name, output.strip().split("\n")[-1] or "no reason given")
    elif code != 0:
        results.fail(name, output)
    else:
        results.ok(name)


def count_tap(name, output, code, results):
    """Each `ok` is a case. A program that ends early or badly has failed one more, whatever its cases said."""
    cases = [match for match in map(CASE.match, output.split("\n")) if match]
    planned = [int(match[1]) for match in map(PLAN.match, output.split("\n")) if match]
    for bad, what, directive, reason in (match.groups() for match in cases):
        case = f"{name}{what}" if what.startswith("/") else f"{name}/{what}"
        if directive and directive.upper() == "SKIP":
            results.skip(case, reason or "no reason given")
        elif bad:
            results.fail(case, output)
        else:
            results.ok(case)
    failed_case = any(match[1] for match in cases)
    if not planned or planned[0] != len(cases):
        results.fail(f"{name}/whole", f"{output}\nended with {code} after {len(cases)} of {planned[0] if planned else '?'} cases")
    elif code != 0 and not failed_case:
        results.fail(f"{name}/end", f"{output}\nended with {code}")
