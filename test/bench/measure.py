"""Interleaved measuring and its printing. Two noisy cores: only ratios of runs taken in turn (A B A B …) mean something."""
import json
import statistics
import sys
import time

ROUNDS = 9
LEAST_ROUNDS = 3
LIMIT_S = 120


def wait_for(condition, timeout_s=LIMIT_S, every_s=0.001):
    """Looks often, for a time is taken; never without end."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s"
        time.sleep(every_s)


def interleave(actions, rounds=ROUNDS, budget_s=LIMIT_S):
    """Runs each of {name: function} in turn, @rounds times after one run that is not counted; {name: [milliseconds]}.

    When @budget_s have passed no further round is begun, but for the first three: on a loaded machine there are fewer samples instead of none.
    A function that returns a float has timed itself (it had to prepare something first); otherwise all of it is timed.
    """
    samples = {name: [] for name in actions}
    end = time.monotonic() + budget_s
    for turn in range(rounds + 1):
        if turn > LEAST_ROUNDS and time.monotonic() > end:
            break
        for name, action in actions.items():
            start = time.perf_counter()
            own = action()
            took = (time.perf_counter() - start) * 1000
            if turn > 0:
                samples[name].append(own if isinstance(own, float) else took)
    return samples


class Table:
    """Rows of one benchmark: printed as a table, and as JSON lines on the way."""

    def __init__(self, bench, unit="ms"):
        self.bench = bench
        self.unit = unit
        self.rows = []

    def add(self, what, samples, floor=None, goal=None):
        """@floor: samples of the bare way to do it. @goal: limit of the median, or of its ratio to the floor when there is one."""
        median = statistics.median(samples)
        row = {"bench": self.bench, "what": what, "unit": self.unit, "median": round(median, 2), "min": round(min(samples), 2),
               "max": round(max(samples), 2), "n": len(samples)}
        if floor:
            row["ratio"] = round(median / statistics.median(floor), 2)
        if goal is not None:
            row["goal"] = goal
            row["met"] = (row["ratio"] if floor else median) <= goal
        self.rows.append(row)

    def show(self):
        columns = [("what", 44), ("median", 9), ("min", 9), ("max", 9), ("n", 6), ("ratio", 6), ("goal", 6), ("met", 5)]
        print(f"\n{self.bench} ({self.unit})")
        print("  ".join(name.ljust(width) if name == "what" else name.rjust(width) for name, width in columns))
        for row in self.rows:
            cells = [str(row.get(name, "")) for name, _ in columns]
            print("  ".join(cell.ljust(width) if name == "what" else cell.rjust(width) for cell, (name, width) in zip(cells, columns)))
        for row in self.rows:
            print(json.dumps(row))
        sys.stdout.flush()
