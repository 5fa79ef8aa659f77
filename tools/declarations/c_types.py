"""hostler-types.h: enums and structs as C sees them. Public: no GLib types, fit for C++."""

from .c_text import comment, constant, guard, list_type, member, struct_type

PREAMBLE = """#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An int, size (bytes) or duration (ms) that is absent. */
#define HOSTLER_UNSET INT64_MIN

/* A named piece of a spec. @props is the struct of its kind: HostlerDiskProps for "disk". */
typedef struct {
        char *name;
        const char *kind; /* static */
        void *props;
} HostlerPart;

typedef struct {
        HostlerPart *items;
        size_t count;
} HostlerSpec;
"""

PLAIN = {"string": "char *", "name": "char *", "path": "char *", "time": "char *", "json": "char *", "patch": "char *",
         "int": "int64_t ", "size": "int64_t ", "duration": "int64_t ", "real": "double ", "bool": "bool ",
         "list:string": "char **", "spec": "HostlerSpec "}
UNITS = {"size": " Bytes.", "duration": " Milliseconds."}


def header(model):
    parts = [PREAMBLE]
    parts += [enum(item) for item in model.enums.values()]
    parts += ["".join(f"typedef struct {struct_type(item.name)} {struct_type(item.name)};\n" for item in model.structs())]
    parts += [record_list(name) for name in model.records]
    parts += [struct(item) for item in model.structs()]
    return guard("hostler-types.h", "\n".join(parts))


def enum(item):
    values = "".join(f"{comment(doc, '        ')}        {constant(item.name, value)},\n" for value, doc in item.values.items())
    return f"{comment(item.doc)}typedef enum {{\n        {constant(item.name, 'absent')} = 0,\n{values}}} {struct_type(item.name)};\n"


def record_list(name):
    return f"typedef struct {{\n        {struct_type(name)} *items;\n        size_t count;\n}} {list_type(name)};\n"


def struct(item):
    members = "".join(comment(field.doc + UNITS.get(field.type, ""), "        ") + f"        {c_type(field)}{member(field.name)};\n"
                      for field in item.fields)
    # An empty struct has size 0 in C and 1 in C++.
    return f"{comment(item.doc)}struct {struct_type(item.name)} {{\n{members or '        char nothing;' + chr(10)}}};\n"


def c_type(field):
    if field.type == "enum":
        return struct_type(field.target) + " "
    if field.type == "record":
        return struct_type(field.target) + " *"
    if field.type == "list:record":
        return list_type(field.target) + " "
    return PLAIN[field.type]
