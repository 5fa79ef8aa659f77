"""Scheduling: how long allocation and placement take, and how placement does on recorded demand.

HOSTLER_TRACES=DIR: a folder with one folder of traces for each day (PlanetLab's form); each is replayed by `hostler simulate`.
HOSTLER_YARDSTICK=PROGRAM: an independent simulator that runs policies as its child (see src/simulate/protocol.h), called as
`PROGRAM --day DIR [--strict --ram MB] (--policy NAME | --cmd COMMAND)`; its rows are printed as they are.
"""
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ["HOSTLER_BUILD"])
MODES = [[], ["--strict", "--ram", "4096"], ["--strict", "--ram", "8192"], ["--strict", "--ram", "16384"]]
POLICIES = "balanced,never,threshold,regression"


def run(*words):
    print(subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout, end="", flush=True)


def days(folder):
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.is_dir())


def yardstick(program, folder):
    run(program, "--header")
    for mode in MODES:
        print(" ".join(mode) or "cloudsim mode")
        for day in days(folder):
            for policy in ("lb", "dvfs", "thr-mmt-0.8", "lr-mmt-1.2"):
                run(program, "--day", day, *mode, "--policy", policy)
            run(program, "--day", day, *mode, "--cmd", f"{BUILD}/hostler simulate --stdio")


def main():
    run(BUILD / "test/unit/test-allocate", "--bench")
    run(BUILD / "test/unit/test-place", "--bench")
    traces, program = os.environ.get("HOSTLER_TRACES"), os.environ.get("HOSTLER_YARDSTICK")
    if not traces:
        print("HOSTLER_TRACES is not set: nothing is replayed")
        return
    for day in days(traces):
        run(BUILD / "hostler", "simulate", day, "--policy", POLICIES)
    if program:
        yardstick(program, traces)


if __name__ == "__main__":
    main()
