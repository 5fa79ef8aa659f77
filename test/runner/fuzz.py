"""Runs every fuzzer of build-fuzz side by side for a fixed time; each is one test case. A crashing input stays in build-fuzz/crashes."""
import os
import subprocess

from runner import builds


def run(results, seconds):
    folder = builds.FUZZ.folder / "test" / "fuzz"
    fuzzers = [path for path in sorted(folder.glob("fuzz-*")) if path.is_file() and os.access(path, os.X_OK) and results.wants(f"fuzz/{path.name[5:]}")]
    running = [(path.name[5:], start(path, seconds)) for path in fuzzers]
    for subject, process in running:
        if process.wait() == 0:
            results.ok(f"fuzz/{subject}")
        else:
            results.fail(f"fuzz/{subject}", said(subject))


def log_of(subject):
    """Files and no pipes: nobody reads while another fuzzer is waited for, and one that says much would stand still."""
    return builds.FUZZ.folder / "crashes" / f"{subject}.log"


def said(subject):
    """The log without libFuzzer's lines of progress, which are many and hide what it died of."""
    lines = log_of(subject).read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def start(path, seconds):
    """What a run learns goes to a folder of the build; the committed seeds are only read."""
    subject = path.name[5:]
    learned = builds.FUZZ.folder / "corpus" / subject
    crashes = builds.FUZZ.folder / "crashes"
    seeds = builds.ROOT / "test" / "fuzz" / "seeds" / subject
    for folder in (learned, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    argv = [str(path), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1",
            f"-artifact_prefix={crashes}/{subject}-", str(learned), *([str(seeds)] if seeds.is_dir() else [])]
    with open(log_of(subject), "wb") as log:
        return subprocess.Popen(argv, env=os.environ | builds.FUZZ.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
