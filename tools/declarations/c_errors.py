"""hostler-errors: the codes an error can have, and the table behind error_decl()."""

from .c_text import GENERATED, comment, constant, guard, string


def header(model):
    codes = "".join(f"{comment(error.title, '        ')}        {constant('error', error.name)},\n" for error in model.errors.values())
    return guard("hostler-errors.h", f"typedef enum {{\n{codes}}} HostlerErrorCode;\n")


def table(model):
    rows = "".join(row(error) for error in model.errors.values())
    return f'{GENERATED}#include "base/error.h"\n\nconst ErrorDecl error_decls[] = {{\n{rows}        {{.name = NULL}},\n}};\n'


def row(error):
    return (f"        {{.code = {constant('error', error.name)},\n"
            f"         .name = {string(error.name)},\n"
            f"         .http_status = {error.http},\n"
            f"         .exit_code = {error.exit},\n"
            f"         .title = {string(error.title)},\n"
            f"         .doc = {string(error.doc)}}},\n")
