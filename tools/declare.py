#!/usr/bin/env python3
"""Turns the declarations (src/*/*.toml) into what is made of them; see HACKING.md, "Adding a verb".

    declare.py --c DIR FILE…       the C tables and headers, into DIR
"""

import argparse
import pathlib
import sys

from declarations import c_cli, c_client, c_errors, c_handlers, c_records, c_types
from declarations.load import load
from declarations.model import DeclarationError

C_FILES = {
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
}


def write_if_changed(path, text):
    """Leaves an unchanged file alone, so that nothing that depends on it is built again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--c", type=pathlib.Path, metavar="DIR", help="write C into DIR")
    parser.add_argument("files", nargs="+", metavar="FILE", help="declarations")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        model = load(sorted(arguments.files))
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.c:
        for name, emit in C_FILES.items():
            write_if_changed(arguments.c / name, emit(model))
    return 0


if __name__ == "__main__":
    sys.exit(main())
