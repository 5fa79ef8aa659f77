"""Counts single test cases and prints what failed, as it happens and again at the end."""
import sys
import threading

# Of a failing case's output, the end is what tells.
OUTPUT_LIMIT = 20000


class Results:
    """Any thread may add. @only: cases whose name does not contain it are neither run nor counted."""

    def __init__(self, only=None):
        self.only = only
        self.passed = 0
        self.failed = []
        self.skipped = []
        self._lock = threading.Lock()

    def wants(self, name):
        return not self.only or self.only in name

    def ok(self, name):
        with self._lock:
            self.passed += 1
            self._say(f"ok    {name}")

    def skip(self, name, reason):
        with self._lock:
            self.skipped.append((name, reason))
            self._say(f"skip  {name}: {reason}")

    def fail(self, name, output):
        with self._lock:
            self.failed.append(name)
            self._say(f"FAIL  {name}\n{indent(output[-OUTPUT_LIMIT:])}")

    def finish(self):
        """Prints the summary; returns the exit code. Nothing run at all is a failure: a mistyped pattern must not look like success."""
        for name, reason in self.skipped:
            print(f"skipped: {name}: {reason}")
        for name in self.failed:
            print(f"failed: {name}")
        if not (self.passed or self.failed or self.skipped):
            print(f"no test case's name contains '{self.only}'" if self.only else "there was no test to run")
            return 1
        print(f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return 1 if self.failed else 0

    @staticmethod
    def _say(text):
        print(text)
        sys.stdout.flush()


def indent(text):
    return "\n".join("      | " + line for line in text.rstrip().split("\n"))
