"""docs/verbs.md, properties.md, errors.md and events.md."""

from .commands import alias_titles, assignments, flag_name, limits_text, positionals, title, usage, value_name, value_text

GENERATED = "<!-- Made by tools/declare.py out of the declarations (src/**/*.toml): change those, then `make docs`. -->\n"
BUS = {"none": "-", "serial": "virtio-serial"}
LIVE = {"now": "yes", "restart": "at the next start", "never": "never"}


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def verbs(model):
    parts = [f"{GENERATED}# Verbs\n",
             "Every command, with its route. `hostler VERB --help` says the same. Jobs answer `202` with the job; `?dryRun=true` gives "
             "their steps.\n"]
    parts.append("## Flags of every command\n\n" + table(("flag", "what it does"), [
        (", ".join(f"`{name}`" for name in flag_forms(flag)), flag.doc) for flag in model.flags.values()]))
    for noun in model.shown_nouns():
        entries = [verb for verb in model.verbs.values() if verb.noun == noun.name]
        entries += [command for command in model.commands.values() if command.noun == noun.name and not command.hidden]
        if entries:
            parts.append(f"## {noun.name}\n\n{noun.doc}\n")
            parts += [verb_section(model, verb) for verb in entries]
    return "\n".join(parts)


def flag_forms(flag):
    value = f" {flag.value}" if flag.value else ""
    return [f"-{flag.short}{value}", f"--{flag.name}{value}"] if flag.short else [f"--{flag.name}{value}"]


def verb_section(model, verb):
    parts = [f"### {title(model, verb) if verb.cli != 'none' else verb.id}\n", f"{verb.summary}. {verb.doc}\n"]
    if verb.cli != "none":
        parts.append(f"    {usage(model, verb)}\n")
    facts = list(verb_facts(model, verb))
    if facts:
        parts.append("\n".join(facts) + "\n")
    if verb.all_args:
        parts.append(table(("argument", "type", "default", "limits", ""),
                           [argument_row(model, verb, field) for field in verb.all_args]))
    if verb.examples:
        parts.append("\n".join(f"    {example}" for example in verb.examples) + "\n")
    return "\n".join(parts)


def verb_facts(model, verb):
    if verb.kind == "command":
        return
    yield f"- Route: `{verb.method} {verb.path}`, {'a job' if verb.kind == 'job' else 'answered at once'}; role {verb.role}."
    if verb.result:
        yield f"- Result: {'list of ' if verb.result_shape == 'list' else ''}`{verb.result}`."
    for alias, preset in zip(alias_titles(model, verb), verb.aliases.values()):
        words = " ".join(f"--{name.replace('_', '-')}" for name in preset)
        yield f"- `{alias}` is the same{f' with {words}' if words else ''}."


def argument_row(model, verb, field):
    if field in positionals(verb) or field is assignments(verb) or not field.cli:
        name = f"`{field.name}`"
    else:
        value = f" {value_name(field)}" if value_name(field) else ""
        name = f"`{flag_name(field)}{value}`" + (f", `-{field.short}`" if field.short else "")
    default = "required" if field.required else value_text(field, field.default)
    return name, type_text(field), default, limits_text(field, model), field.doc


def type_text(field):
    return f"list of {field.target or 'string'}" if field.is_list else field.target if field.type in ("enum", "record") else field.type


def properties(model):
    parts = [f"{GENERATED}# Properties\n",
             "`hostler set VM PART.PROPERTY=VALUE`. A part is named like its kind, with a number where there may be several "
             "(`disk0`); with any other name it says its `kind`. The first of several models is the default. Sizes: `4G`, `500M` (binary); an empty value goes back to the default.\n"]
    for device in model.devices.values():
        name = device.kind if device.single else f"{device.kind}N"
        how = "Every VM has it." if device.always else "At most one." if device.single else "Any number."
        parts.append(f"## {name}\n\n{device.doc} {how}\n")
        if device.models:
            parts.append(table(("model", "bus", "comes and goes live", ""), list(model_rows(device))))
        parts.append(table(("property", "type", "default", "limits", "changes live", ""), [
            (f"`{name}.{prop.name}`", type_text(prop), value_text(prop, prop.default), limits_text(prop, model), LIVE[prop.live],
             prop.doc + (" Never shown." if prop.secret else "")) for prop in device.props.fields]))
    parts.append("## Values\n")
    used = {prop.target for device in model.devices.values() for prop in device.props.fields if prop.type == "enum"}
    for enum in model.enums.values():
        if enum.name in used:
            parts.append(f"### {enum.name}\n\n{enum.doc}\n")
            parts.append(table(("value", ""), [(f"`{value}`", doc) for value, doc in enum.values.items()]))
    return "\n".join(parts)


def model_rows(device):
    """The first is the default."""
    for row in device.models.values():
        doc = row.doc + (f" A VM that has it cannot be suspended to disk or migrated: {row.blocks}." if row.blocks else "")
        yield f"`{row.name}`", BUS.get(row.bus, row.bus), "yes" if row.live else "no", doc


def errors(model):
    head = (f"{GENERATED}# Errors\n\n"
            "An error is a problem document (RFC 9457): `type`, `title`, `status`, `code`, `detail`, and where they say more `object`, "
            "`causes` (each a `detail`, often with the JSON `pointer` of what is wrong) and `hint`, the next command to run.\n\n")
    return head + table(("code", "HTTP", "exit code", "title", "meaning"), [
        (f"`{error.name}`", str(error.http), str(error.exit), error.title, error.doc) for error in model.errors.values()])


def events(model):
    parts = [f"{GENERATED}# Events\n",
             "An event has `seq` (numbered without gaps), `time`, `kind`, `object` and `data`, the fields of its kind. "
             "`hostler event ls`, `hostler event watch`, or server-sent events at `/v1/events/stream?since=SEQ`.\n"]
    for event in model.events.values():
        parts.append(f"## {event.kind}\n\n{event.doc}\n")
        if event.fields.fields:
            parts.append(table(("field", "type", ""),
                               [(f"`{field.name}`", type_text(field), field.doc) for field in event.fields.fields]))
    return "\n".join(parts)
