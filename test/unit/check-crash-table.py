"""Every verb that is a job is killed at its steps somewhere: Case("VERB", …) or CRASHED_BY_HAND in test/system/test_*.py, or it is named in EXEMPT
with the reason. usage: check-crash-table.py OPENAPI"""
import ast
import json
import pathlib
import sys

SYSTEM = pathlib.Path(__file__).resolve().parent.parent / "system"
EXEMPT = {}


def jobs(document):
    """A job is answered with 202 and the place to look at it."""
    return {operation["operationId"] for path in json.loads(pathlib.Path(document).read_text())["paths"].values()
            for operation in path.values() if isinstance(operation, dict) and "202" in operation.get("responses", {})}


def killed_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Case" and node.args:
            yield from (part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "CRASHED_BY_HAND":
            yield from ast.literal_eval(node.value)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "cases_of":
            yield from (f"{node.args[1].value}.{verb}" for verb in ("create", "set", "rm"))


def main():
    killed = {verb for path in SYSTEM.glob("test_*.py") for verb in killed_in(path)}
    wanted = jobs(sys.argv[1])
    without = sorted(wanted - killed - set(EXEMPT))
    needless = sorted(set(EXEMPT) & killed | set(EXEMPT) - wanted)
    for verb in without:
        print(f"{verb} is a job that no test kills at its steps: add a Case to test/system/test_crash_verbs.py, or say in {__file__} why not")
    for verb in needless:
        print(f"{verb} is exempt here and need not be")
    return 1 if without or needless else 0


if __name__ == "__main__":
    sys.exit(main())
