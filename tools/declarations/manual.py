"""man/hostler.1: the command line's manual page, in mdoc (man(7)'s readable sister; both man-db and mandoc take it)."""

import re

from .commands import alias_titles, flag_name, flags, usage, value_name, value_text

HEAD = """.\\" Made by tools/declare.py out of the declarations (src/x/x.toml): change those, then `make docs`.
.Dd $Mdocdate$
.Dt HOSTLER 1
.Os
.Sh NAME
.Nm hostler
.Nd boot and manage virtual machines
.Sh SYNOPSIS
.Nm
.Op Ar noun
.Ar verb
.Op Ar argument ...
.Op Ar flags
.Sh DESCRIPTION
.Nm
asks
.Xr hostlerd 8
to do things with virtual machines, their disks and images.
The noun
.Cm vm
need not be written:
.Ql hostler start web1 .
Where no daemon runs, one is started for the user.
.Pp
Sizes are written
.Ql 4G
or
.Ql 500M
(binary), durations
.Ql 90s
or
.Ql 2h .
Whatever takes longer than a second shows its progress; an interrupt detaches from a job and says how to wait for it again.
"""


def page(model):
    parts = [HEAD, ".Sh FLAGS OF EVERY COMMAND\n.Bl -tag -width Ds\n"]
    parts += [flag_item(flag.name, flag.short, flag.value, flag.doc) for flag in model.flags.values()]
    parts.append(".El\n.Sh COMMANDS\n")
    for noun in model.shown_nouns():
        entries = [command for command in model.shown_commands() if command.noun == noun.name]
        if entries:
            parts.append(f".Ss {escape(noun.name.capitalize())}\n{paragraph(noun.doc)}.Bl -tag -width Ds\n")
            parts += [command_item(model, command) for command in entries]
            parts.append(".El\n")
    parts += [devices(model), properties(model), environment(), exit_codes(model)]
    parts.append(".Sh SEE ALSO\n.Xr hostler-keeper 8 ,\n.Xr hostlerd 8\n")
    return "".join(parts)


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", " ...")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def paragraph(text):
    """Markdown's `words` become quoted literals; each sentence begins a line, as mdoc wants."""
    text = escape(text).replace("``", "`")
    text = re.sub(r"`([^`]+)`", r"\\(oq\\fB\1\\fP\\(cq", text)
    return re.sub(r"(?<=[.;:]) +(?=[A-Z])", "\n", text).strip() + "\n"


def flag_item(name, short, value, doc):
    long_form = f"Fl \\-{escape(name)}" + (f" Ar {escape(value)}" if value else "")
    return f".It {f'Fl {short} , ' if short else ''}{long_form}\n{paragraph(doc)}"


def command_item(model, command):
    words = usage(model, command).removeprefix("hostler ")
    parts = [f".It Nm {escape(words)}\n", paragraph(command.summary + "."), paragraph(command.doc)]
    if command.aliases:
        parts.append(paragraph("Also: " + ", ".join(f"`{alias}`" for alias in alias_titles(model, command)) + "."))
    explained = flags(command)
    if explained:
        parts.append(".Bl -tag -width Ds\n")
        parts += [flag_item(flag_name(field)[2:], field.short, value_name(field), field.doc + default_text(field)) for field in explained]
        parts.append(".El\n")
    parts += [f".Dl {escape(example)}\n" for example in command.examples]
    return "".join(parts)


def default_text(field):
    return f" Default: {value_text(field, field.default)}." if field.default not in (None, False) else ""


def devices(model):
    about = ("Kinds of devices and their models, for `hostler device add VM KIND --model MODEL`; the first is the default. "
             "Those marked * come and go with the next start only.")
    parts = [".Sh DEVICES\n", paragraph(about), ".Bl -tag -width Ds\n"]
    for device in model.devices.values():
        if device.models:
            names = ", ".join([device.kind, *device.aliases])
            parts.append(f".It Cm {escape(names)}\n{paragraph(device.doc)}.Bl -tag -width Ds -compact\n")
            parts += [f".It Cm {escape(row.name)}{'' if row.live else ' *'}\n{paragraph(row.doc)}" for row in device.models.values()]
            parts.append(".El\n")
    return "".join(parts) + ".El\n"


def properties(model):
    about = ("`hostler set VM PART.PROPERTY=VALUE`; an empty value goes back to the default. "
             "Those marked * take effect at the next start, those marked ! never change.")
    parts = [".Sh PROPERTIES\n", paragraph(about), ".Bl -tag -width Ds\n"]
    marks = {"now": "", "restart": " *", "never": " !"}
    for device in model.devices.values():
        name = device.kind if device.single else f"{device.kind}N"
        parts += [f".It Cm {escape(name + '.' + prop.name)}{marks[prop.live]}\n{paragraph(prop.doc + default_text(prop))}"
                  for prop in device.props.fields]
    return "".join(parts) + ".El\n"


def environment():
    return (".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev HOSTLER_SOCKET\nThe daemon's socket.\n.It Ev HOSTLER_STATE\n"
            "The session daemon's folder.\n.It Ev NO_COLOR\nWhen set, nothing is coloured.\n.El\n")


def exit_codes(model):
    codes = {}
    for error in model.errors.values():
        codes.setdefault(error.exit, []).append(error.title)
    items = "".join(f".It {code}\n{escape('; '.join(titles))}.\n" for code, titles in sorted(codes.items()))
    return f".Sh EXIT STATUS\n.Bl -tag -width Ds\n.It 0\nDone.\n{items}.El\n"
