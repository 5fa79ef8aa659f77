"""hostler-cli.c: the table that the command line parses, completes and helps by (types in base/cli_decl.h)."""

import json

from .c_records import field_table, fields_name
from .c_text import GENERATED, boolean, string, strings
from .load import c_name


PREAMBLE = """#include "base/cli_decl.h"
#include "hostler-records.h"

static const CliArg no_args[] = {{.name = NULL}};
static const CliAlias no_aliases[] = {{.name = NULL}};
static const char *const no_strings[] = {NULL};
"""


def table(model):
    indexes = {verb.id: index for index, verb in enumerate(model.verbs.values())}
    verbs = [verb for verb in model.verbs.values() if verb.cli != "none"]
    commands = list(model.commands.values())
    parts = [GENERATED + PREAMBLE]
    parts += [command_decl(command) for command in commands]
    parts += [argument_tables(entry) for entry in verbs + commands]
    parts += [nouns(model), flags(model)]
    parts.append(rows("hostler_cli_verbs", [verb_row(verb, f"&hostler_verbs[{indexes[verb.id]}]") for verb in verbs]))
    parts.append(rows("hostler_cli_commands", [verb_row(command, f"&{prefix(command)}_decl") for command in commands]))
    return "\n".join(parts)


def rows(name, lines):
    return f"const CliVerb {name}[] = {{\n{''.join(lines)}        {{.verb = NULL}},\n}};\n"


def command_decl(command):
    """A command of the command line's own, in the shape of a verb without a route."""
    name = prefix(command)
    fields = [f".fields = {name}_client_fields", f".n_fields = {len(command.args.fields)}"] if command.args.fields else []
    record = ", ".join([f".name = {string(command.args.name)}", f".doc = {string(command.summary)}", *fields])
    table = "static " + field_table(f"{name}_client_fields", command.args.fields) if command.args.fields else ""
    return (f"{table}static const RecordType {name}_type = {{{record}}};\n"
            f"static const VerbDecl {name}_decl = {{\n        .id = {string(command.id)},\n        .noun = {string(command.noun)},\n"
            f"        .name = {string(command.name)},\n        .args = &{name}_type,\n        .summary = {string(command.summary)},\n"
            f"        .doc = {string(command.doc)},\n}};\n")


def prefix(verb):
    return f"{c_name(verb.noun)}_{c_name(verb.name)}"


def ordered_args(verb):
    """Positional arguments first, then flags, each as declared; those without a command line form left out."""
    shown = [field for field in verb.all_args if field.cli]
    return [field for field in shown if field.positional] + [field for field in shown if not field.positional]


def argument_tables(verb):
    name = prefix(verb)
    parts = []
    if verb.client_args and verb.kind != "command":
        parts.append("static " + field_table(f"{name}_client_fields", verb.client_args))
    if ordered_args(verb):
        rows = "".join(arg_row(verb, field) for field in ordered_args(verb))
        parts.append(f"static const CliArg {name}_args[] = {{\n{rows}        {{.name = NULL}},\n}};\n")
    if verb.aliases:
        rows = "".join(f"        {{{string(alias)}, {string(json.dumps(preset))}}},\n" for alias, preset in verb.aliases.items())
        parts.append(f"static const CliAlias {name}_aliases[] = {{\n{rows}        {{.name = NULL}},\n}};\n")
    for key in ("columns", "examples"):
        if getattr(verb, key):
            parts.append(strings(f"{name}_{key}", getattr(verb, key)))
    return "".join(parts)


def form(field):
    """How the argument is written on a command line."""
    if field.type == "patch":
        return "CLI_ASSIGNMENTS"
    if field.positional:
        return "CLI_REST" if field.is_list else "CLI_POSITIONAL"
    return "CLI_SWITCH" if field.type == "bool" else "CLI_FLAG"


def arg_row(verb, field):
    own = field in verb.client_args
    fields, table = (verb.client_args, f"{prefix(verb)}_client_fields") if own else (verb.args.fields, fields_name(verb.args))
    rows = {
        "name": string(field.name.replace("_", "-")),
        "form": form(field),
        "short_name": short_name(field) if field.short else None,
        "field": f"&{table}[{fields.index(field)}]",
        "client_only": "true" if field.client_only else None,
        "from_file": "true" if field.from_file else None,
        "complete": string(field.complete) if field.complete else None,
    }
    return "        {" + ", ".join(f".{key} = {value}" for key, value in rows.items() if value) + "},\n"


def nouns(model):
    lines = "".join(f"        {{{string(noun.name)}, {string(noun.plural)}, {string(noun.parent)}, {boolean(noun.silent)},\n"
                    f"         {string(noun.doc)}}},\n" for noun in model.nouns.values())
    return f"const CliNoun hostler_cli_nouns[] = {{\n{lines}        {{.name = NULL}},\n}};\n"


def flags(model):
    lines = "".join(f"        {{{string(flag.name)}, {short_name(flag)}, {string(flag.value)}, {string(flag.doc)}}},\n"
                    for flag in model.flags.values())
    return f"const CliFlag hostler_cli_flags[] = {{\n{lines}        {{.name = NULL}},\n}};\n"


def short_name(flag):
    return f"'{flag.short}'" if flag.short else "0"


def verb_row(verb, decl):
    name = prefix(verb)
    rows = {
        "verb": decl,
        "command": string(verb.cli),
        "many": boolean(verb.many),
        "args": f"{name}_args" if ordered_args(verb) else "no_args",
        "aliases": f"{name}_aliases" if verb.aliases else "no_aliases",
        "columns": f"{name}_columns" if verb.columns else "no_strings",
        "examples": f"{name}_examples" if verb.examples else "no_strings",
        "hidden": "true" if verb.hidden else None,
    }
    return "        {" + ",\n         ".join(f".{key} = {value}" for key, value in rows.items() if value) + "},\n"
