"""How names and texts of the declarations look in C."""

import json

from .load import c_name, camel
from .model import UNSET

GENERATED = "/* Made by tools/declare.py out of the declarations (src/x/x.toml): change those. */\n"
# C's keywords and C++'s that are plain words: the public header is for both.
KEYWORDS = set("""auto bool break case catch char class const continue default delete do double else enum export extern false
    float for friend goto if inline int long namespace new not operator or private protected public register restrict return
    short signed sizeof static struct switch template this throw true try typedef union unsigned using virtual void volatile
    while""".split())


def member(name):
    """The C member of a field: `for` cannot be one."""
    name = c_name(name)
    return name + "_" if name in KEYWORDS else name


def struct_type(name):
    return "Hostler" + camel(name)


def list_type(name):
    return struct_type(name) + "List"


def constant(*parts):
    return "_".join(("HOSTLER", *(c_name(part).upper() for part in parts)))


def string(text):
    """A C string literal, or NULL."""
    if text is None:
        return "NULL"
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted.replace("\\u007f", "\\177").replace("??", "?\\?")


def number(value):
    return UNSET if value is None else f"INT64_C({value})"


def boolean(value):
    return "true" if value else "false"


def comment(text, indent=""):
    """A block comment; one line when it fits."""
    text = text.replace("*/", "* /").strip()
    if "\n" not in text and len(text) < 110:
        return f"{indent}/* {text} */\n"
    lines = "\n".join(f"{indent} * {line}".rstrip() for line in text.splitlines())
    return f"{indent}/*\n{lines}\n{indent} */\n"


def strings(name, items):
    """A static NULL-terminated array of strings."""
    listed = "".join(f"        {string(item)},\n" for item in items)
    return f"static const char *const {name}[] = {{\n{listed}        NULL,\n}};\n"


def guard(name, body):
    """A header with an include guard and C linkage under C++."""
    macro = name.upper().replace("-", "_").replace(".", "_")
    return (f"{GENERATED}#ifndef {macro}\n#define {macro}\n\n{body}\n#endif\n")
