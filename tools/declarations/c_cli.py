"""hostler-cli.c: the table that the command line parses, completes and helps by (types in base/cli_decl.h)."""

import json

from .c_records import field_table, fields_name
from .c_text import GENERATED, boolean, string, strings
from .load import c_name


def table(model):
    parts = [f'{GENERATED}#include "base/cli_decl.h"\n#include "hostler-records.h"\n\n'
             "static const CliArg no_args[] = {{.name = NULL}};\n"
             "static const CliAlias no_aliases[] = {{.name = NULL}};\n"
             "static const char *const no_strings[] = {NULL};\n"]
    indexes = {verb.id: index for index, verb in enumerate(model.verbs.values())}
    shown = [verb for verb in model.verbs.values() if verb.cli != "none"]
    parts += [verb_tables(verb) for verb in shown]
    parts.append(nouns(model))
    rows = "".join(verb_row(verb, indexes[verb.id]) for verb in shown)
    parts.append(f"const CliVerb hostler_cli_verbs[] = {{\n{rows}        {{.verb = NULL}},\n}};\n")
    return "\n".join(parts)


def prefix(verb):
    return f"{c_name(verb.noun)}_{c_name(verb.name)}"


def ordered_args(verb):
    """Positional arguments first, then flags, each as declared; those without a command line form left out."""
    shown = [field for field in verb.all_args if field.cli]
    return [field for field in shown if field.positional] + [field for field in shown if not field.positional]


def verb_tables(verb):
    name = prefix(verb)
    parts = []
    if verb.client_args:
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
    fields, table = (verb.client_args, f"{prefix(verb)}_client_fields") if field.client_only else (verb.args.fields, fields_name(verb.args))
    rows = {
        "name": string(field.name.replace("_", "-")),
        "form": form(field),
        "short_name": f"'{field.short}'" if field.short else None,
        "field": f"&{table}[{fields.index(field)}]",
        "client_only": "true" if field.client_only else None,
        "from_file": "true" if field.from_file else None,
        "complete": string(field.complete) if field.complete else None,
    }
    return "        {" + ", ".join(f".{key} = {value}" for key, value in rows.items() if value) + "},\n"


def nouns(model):
    rows = "".join(f"        {{{string(noun.name)}, {string(noun.plural)}, {string(noun.parent)}, {boolean(noun.silent)}, {string(noun.doc)}}},\n"
                   for noun in model.nouns.values())
    return f"const CliNoun hostler_cli_nouns[] = {{\n{rows}        {{.name = NULL}},\n}};\n"


def verb_row(verb, index):
    name = prefix(verb)
    rows = {
        "verb": f"&hostler_verbs[{index}]",
        "command": string(verb.cli),
        "many": boolean(verb.many),
        "args": f"{name}_args" if ordered_args(verb) else "no_args",
        "aliases": f"{name}_aliases" if verb.aliases else "no_aliases",
        "columns": f"{name}_columns" if verb.columns else "no_strings",
        "examples": f"{name}_examples" if verb.examples else "no_strings",
    }
    return "        {" + ",\n         ".join(f".{key} = {value}" for key, value in rows.items()) + "},\n"
