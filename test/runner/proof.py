"""After a run of everything: each test that docs/requirements.md and docs/SPECIFICATION.md name as a proof must have passed in it.

A proof that was skipped is told of; one that did not run, though it exists, is a failure: of a name that only looks like a test's, for example.
"""
import importlib.machinery
import importlib.util

from runner import builds

CHECK = builds.ROOT / "tools" / "check-specification"


def specification():
    loader = importlib.machinery.SourceFileLoader("check_specification", str(CHECK))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def is_case(case, name):
    """Cases of unit tests begin with the names of their build and program."""
    return case == name or case.endswith(name if name.startswith("/") else f"/{name}")


def run(results):
    skipped = [case for case, _ in results.skipped]
    check = specification()
    for page in check.PAGES:
        for number, _, names in check.proofs(page):
            for name in names:
                # What `make lint` runs is not run here.
                if name.startswith("lint/") or any(is_case(case, name) for case in results.passed):
                    continue
                if any(is_case(case, name) or name.startswith(f"{case}/") for case in skipped):
                    print(f"skipped, so not proven: {name} of {page}:{number}")
                elif name not in results.failed:
                    results.fail(f"proof/{name}", f"{page}:{number} names it, and it did not pass")
