"""hostler-records: the tables that base/record.c interprets, and those of kinds, events and verbs."""

import json

from .c_text import GENERATED, boolean, guard, member, number, string, strings, struct_type
from .load import c_name

FIELD_TYPES = {"list:string": "FIELD_LIST_STRING", "list:record": "FIELD_LIST_RECORD"}


def header(model):
    types = "".join(f"extern const RecordType {type_name(struct)};\n" for struct in model.structs())
    fields = "".join(f"extern const Field {fields_name(verb.args)}[];\n" for verb in model.verbs.values() if verb.args.fields)
    enums = "".join(f"extern const EnumType {enum_name(name)};\n" for name in model.enums)
    return guard("hostler-records.h", f'#include "base/record.h"\n\n{types}\n{enums}\n'
                 f"/* The same tables as in .fields above, for other static tables. */\n{fields}")


def tables(model):
    parts = [f'{GENERATED}#include "hostler-records.h"\n\n#include "base/declare.h"\n']
    parts += [enum(item) for item in model.enums.values()]
    parts += [record(struct) for struct in model.structs()]
    parts += [kinds(model), events(model), verbs(model)]
    return "\n".join(parts)


def type_name(struct):
    return f"hostler_{c_name(struct.name)}_type"


def fields_name(struct):
    return f"hostler_{c_name(struct.name)}_fields"


def enum_name(name):
    return f"hostler_{c_name(name)}_enum"


def enum(item):
    name = enum_name(item.name)
    return (strings(f"{name}_values", ["", *item.values]) + strings(f"{name}_docs", ["", *item.values.values()])
            + f"const EnumType {name} = {{{string(item.name)}, {name}_values, {name}_docs}};\n")


def record(struct):
    head = (f"const RecordType {type_name(struct)} = {{\n        .name = {string(struct.name)},\n        .doc = {string(struct.doc)},\n"
            f"        .size = sizeof({struct_type(struct.name)}),\n")
    if not struct.fields:
        return head + "};\n"
    name = fields_name(struct)
    linkage = "" if struct.name.endswith("_args") else "static "
    return (linkage + field_table(name, struct.fields, struct_type(struct.name))
            + head + f"        .fields = {name},\n        .n_fields = G_N_ELEMENTS({name}),\n}};\n")


def field_table(name, fields, struct=None):
    """An array of Field; without @struct the fields belong to none (offset 0)."""
    return f"const Field {name}[] = {{\n{''.join(field_row(field, struct) for field in fields)}}};\n"


def field_row(field, struct):
    rows = {
        "name": string(field.name),
        "type": FIELD_TYPES.get(field.type, "FIELD_" + field.type.upper()),
        "flags": flags(field),
        "live": f"LIVE_{field.live.upper()}" if field.live else None,
        "offset": f"offsetof({struct}, {member(field.name)})" if struct else None,
        "min": number(field.min),
        "max": number(field.max),
        "multiple": field.multiple or None,
        "pattern": string(field.pattern) if field.pattern else None,
        "default_value": string(json.dumps(field.default)) if field.default is not None else None,
        "values": f"&{enum_name(field.target)}" if field.type == "enum" else None,
        "record": f"&hostler_{c_name(field.target)}_type" if "record" in field.type else None,
        "doc": string(field.doc),
    }
    set_rows = ",\n         ".join(f".{key} = {value}" for key, value in rows.items() if value is not None)
    return f"        {{{set_rows}}},\n"


def flags(field):
    names = [f"FIELD_{name.upper()}" for name in ("required", "secret", "in_path", "percent") if getattr(field, name)]
    return " | ".join(names) or None


def kinds(model):
    devices = model.devices.values()
    lists = "".join(models(device) for device in devices) + "".join(strings(f"{c_name(device.kind)}_aliases", device.aliases)
                                                                    for device in devices if device.aliases)
    rows = "".join(kind_row(device) for device in devices)
    return f"{lists}const KindDecl hostler_kinds[] = {{\n{rows}        {{.kind = NULL}},\n}};\n"


def kind_row(device):
    rows = {
        "kind": string(device.kind),
        "single": boolean(device.single),
        "always": boolean(device.always),
        "props": f"&{type_name(device.props)}",
        "aliases": f"{c_name(device.kind)}_aliases" if device.aliases else None,
        "models": f"{c_name(device.kind)}_models" if device.models else None,
    }
    return "        {" + ", ".join(f".{key} = {value}" for key, value in rows.items() if value is not None) + "},\n"


def models(device):
    """Indexed by the value of `model`: row 0 is none."""
    if not device.models:
        return ""
    rows = "".join(f"        {{{string(model.name)}, {string(model.doc)}, {string(model.driver)}, BUS_{model.bus.upper()}, {boolean(model.live)}, "
                   f"{string(model.blocks) if model.blocks else 'NULL'}, {string(model.package) if model.package else 'NULL'}, "
                   f"{boolean(model.stays)}, {boolean(model.lingers)}}},\n" for model in device.models.values())
    return f"static const ModelDecl {c_name(device.kind)}_models[] = {{\n        {{.name = NULL}},\n{rows}        {{.name = NULL}},\n}};\n"


def events(model):
    rows = "".join(f"        {{{string(event.kind)},\n         {string(event.doc)},\n         &{type_name(event.fields)}}},\n"
                   for event in model.events.values())
    return f"const EventDecl hostler_event_decls[] = {{\n{rows}        {{.kind = NULL}},\n}};\n"


def verbs(model):
    rows = "".join(verb_row(verb) for verb in model.verbs.values())
    return f"const VerbDecl hostler_verbs[] = {{\n{rows}        {{.id = NULL}},\n}};\n"


def verb_row(verb):
    rows = {
        "id": string(verb.id),
        "noun": string(verb.noun),
        "name": string(verb.name),
        "kind": f"VERB_{verb.kind.upper()}",
        "method": string(verb.method),
        "path": string(verb.path),
        "role": f"ROLE_{verb.role.upper()}",
        "streams": boolean(verb.streams),
        "recover": f"RECOVER_{verb.recover.upper()}" if verb.recover else None,
        "urgent": boolean(verb.urgent),
        "urgent_if": string(verb.urgent_if),
        "args": "&" + type_name(verb.args),
        "result": f"&hostler_{c_name(verb.result)}_type" if verb.result else None,
        "result_shape": f"RESULT_{verb.result_shape.upper()}",
        "summary": string(verb.summary),
        "doc": string(verb.doc),
    }
    return "        {" + ",\n         ".join(f".{key} = {value}" for key, value in rows.items() if value is not None) + "},\n"
