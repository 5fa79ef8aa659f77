#!/usr/bin/env python3
"""Turns the declarations (src/**/*.toml) into what is made of them; see HACKING.md, "Adding a verb".

    declare.py --c DIR [FILE…]         C tables and headers into DIR (the build does this)
    declare.py --completion DIR        completion for bash, zsh and fish into DIR (the build does this)
    declare.py --references            docs/, man/ and the fuzzer's seeds in the repository, as `make docs` does
    declare.py --check                 nothing but the checks; also whether those files are up to date
"""

import argparse
import pathlib
import sys

from declarations import c_cli, c_client, c_errors, c_handlers, c_records, c_types
from declarations import completion_bash, completion_fish, completion_zsh, manual, markdown, openapi, seeds
from declarations.load import load
from declarations.model import DeclarationError

ROOT = pathlib.Path(__file__).resolve().parent.parent

C = {
    "hostler-errors.h": c_errors.header,
    "hostler-errors.c": c_errors.table,
    "hostler-types.h": c_types.header,
    "hostler-records.h": c_records.header,
    "hostler-records.c": c_records.tables,
    "hostler-handlers.h": c_handlers.header,
    "hostler-handlers.c": c_handlers.table,
    "hostler-verbs.h": c_client.header,
    "hostler-verbs.c": c_client.functions,
    "hostler-cli.c": c_cli.table,
    "hostler-openapi.h": openapi.c_header,
    "hostler-openapi.c": openapi.c_string,
}
COMPLETION = {"hostler": completion_bash.script, "_hostler": completion_zsh.script, "hostler.fish": completion_fish.script}
REFERENCES = {
    "docs/verbs.md": markdown.verbs,
    "docs/properties.md": markdown.properties,
    "docs/errors.md": markdown.errors,
    "docs/events.md": markdown.events,
    "docs/openapi.json": openapi.document,
    "man/hostler.1": manual.page,
}


def texts(emitters, model):
    return {name: emit(model) for name, emit in emitters.items()}


def references(model):
    return texts(REFERENCES, model) | seeds.files(model)


def write(folder, files):
    """Leaves unchanged files alone, so that nothing that depends on them is built again."""
    for name in stale(folder, files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])


def stale(folder, files):
    """Which files do not say what they should."""
    return [name for name, text in files.items() if not (folder / name).exists() or (folder / name).read_text() != text]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--c", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--completion", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--references", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("files", nargs="*", metavar="FILE", default=(ROOT / "src").rglob("*.toml"))
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        model = load(sorted(str(path) for path in arguments.files))
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.c:
        write(arguments.c, texts(C, model))
    if arguments.completion:
        write(arguments.completion, texts(COMPLETION, model))
    if arguments.references:
        write(ROOT, references(model))
    old = stale(ROOT, references(model)) if arguments.check else []
    for name in old:
        print(f"{name}: not what the declarations say; run `make docs`", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
