"""Counts single test cases and prints what failed, as it happens and again at the end."""
import sys
import threading
import time

# Of a failing case's output, the end is what tells.
OUTPUT_LIMIT = 20000
SLOWEST = 15
# What a sanitizer has seen once has happened; no second try takes it back.
FINAL = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


class Trial:
    """What one test program's cases came to, kept until it counts."""

    def __init__(self, results):
        self.wants = results.wants
        self.passed, self.skipped, self.failed = [], [], []

    def ok(self, name):
        self.passed.append(name)

    def skip(self, name, reason):
        self.skipped.append((name, reason))

    def fail(self, name, output):
        self.failed.append((name, output))

    def deserves_another(self):
        return self.failed and not any(mark in output for _, output in self.failed for mark in FINAL)


class Results:
    """Any thread may add. @only: cases whose name does not contain it are neither run nor counted."""

    def __init__(self, only=None):
        self.only = only
        self.passed = set()
        self.failed = []
        self.skipped = []
        self.unsteady = []
        self._took = []
        self._again = []
        self._lock = threading.Lock()

    def wants(self, name):
        return not self.only or self.only in name

    def ok(self, name):
        with self._lock:
            self.passed.add(name)
            self._say(f"ok    {name}")

    def skip(self, name, reason):
        with self._lock:
            self.skipped.append((name, reason))
            self._say(f"skip  {name}: {reason}")

    def fail(self, name, output):
        with self._lock:
            self.failed.append(name)
            self._say(f"FAIL  {name}\n{indent(output[-OUTPUT_LIMIT:])}")

    def trial(self, run):
        """Calls run(trial) for one test program. If it fails it has a second try, in run_again(): machines that are shared are late at times."""
        trial = Trial(self)
        began = time.monotonic()
        run(trial)
        self._note_time(trial, time.monotonic() - began)
        if trial.deserves_another():
            with self._lock:
                self._again.append((run, trial))
                self._say("\n".join(f"later {name}\n{indent(output[-OUTPUT_LIMIT:])}" for name, output in trial.failed))
        else:
            self._count(trial)

    def _note_time(self, trial, seconds):
        cases = trial.passed + [name for name, _ in trial.skipped + trial.failed]
        if cases:
            with self._lock:
                self._took.append((seconds, cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"))

    def run_again(self):
        """Second tries, one at a time with nothing beside them. What fails again has failed; what does not is named at the end all the same."""
        again, self._again = self._again, []
        for run, first in again:
            second = Trial(self)
            run(second)
            if not second.failed:
                self.unsteady += [name for name, _ in first.failed]
            self._count(second)

    def _count(self, trial):
        for name in trial.passed:
            self.ok(name)
        for name, reason in trial.skipped:
            self.skip(name, reason)
        for name, output in trial.failed:
            self.fail(name, output)

    def finish(self):
        """Prints the summary, with where the time went; returns the exit code. Nothing run at all is a failure: a mistyped pattern must not look like success."""
        for seconds, name in sorted(self._took, reverse=True)[:SLOWEST]:
            print(f"took {seconds:.0f} s: {name}")
        for name, reason in self.skipped:
            print(f"skipped: {name}: {reason}")
        for name in self.unsteady:
            print(f"passed at the second try only: {name}")
        for name in self.failed:
            print(f"failed: {name}")
        if not (self.passed or self.failed or self.skipped):
            print(f"no test case's name contains '{self.only}'" if self.only else "there was no test to run")
            return 1
        print(f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return 1 if self.failed else 0

    @staticmethod
    def _say(text):
        print(text)
        sys.stdout.flush()


def indent(text):
    return "\n".join("      | " + line for line in text.rstrip().split("\n"))
