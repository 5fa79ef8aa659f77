"""How a command is written on a command line: for usage lines, manual page, reference and completion."""


def title(model, command):
    """`disk add`, or `start` for the silent noun; a noun's only verb may be left out: `doctor`."""
    noun = model.nouns[command.noun]
    if noun.silent:
        return command.name
    verbs = [verb for verb in model.shown_commands() if verb.noun == noun.name]
    return noun.name if len(verbs) == 1 else f"{noun.name} {command.name}"


def alias_titles(model, command):
    noun = model.nouns[command.noun]
    return [alias if noun.silent else f"{noun.name} {alias}" for alias in command.aliases]


def arguments(command):
    return [field for field in command.all_args if field.cli]


def takes_assignments(field):
    return field.type == "patch"


def positionals(command):
    return [field for field in arguments(command) if field.positional and not takes_assignments(field)]


def assignments(command):
    """The argument that PROP=VALUE words go to, or None."""
    return next((field for field in arguments(command) if takes_assignments(field)), None)


def flags(command):
    return [field for field in arguments(command) if not field.positional and not takes_assignments(field)]


def flag_name(field):
    return "--" + field.name.replace("_", "-")


def value_name(field):
    """What stands for a flag's value in texts; "" for a switch."""
    if field.type == "bool":
        return ""
    if field.from_file or field.type == "path" or field.name == "file":
        return "FILE"
    return {"size": "SIZE", "duration": "TIME", "int": "N", "real": "N"}.get(field.type, field.name.upper().replace("_", "-"))


def positional_usage(command, field):
    word = field.name.upper().replace("_", "-")
    if field.is_list:
        word = ("-- " if command.name == "exec" else "") + word + "…"
    elif command.many and field is positionals(command)[0]:
        word += "…"
    return word if field.required else f"[{word}]"


def usage(model, command):
    words = ["hostler", title(model, command), *(positional_usage(command, field) for field in positionals(command))]
    words += [f"{flag_name(field)} {value_name(field)}" for field in flags(command) if field.required]
    if field := assignments(command):
        words.append("PROP=VALUE…" if field.required else "[PROP=VALUE…]")
    if any(not field.required for field in flags(command)):
        words.append("[flags]")
    return " ".join(words)


def size_text(number):
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def duration_text(number):
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return f"{number}ms"


def value_text(field, value):
    """A default or limit as a person writes it."""
    if value is None:
        return ""
    if field.type == "bool":
        return "on" if value else "off"
    return {"size": size_text, "duration": duration_text}.get(field.type, str)(value)


def limits_text(field, model):
    """Range, values or pattern of a field."""
    if field.type == "enum":
        return ", ".join(f"`{value}`" for value in model.enums[field.target].values)
    parts = []
    unit = " bytes" if field.type == "string" else " elements" if field.is_list else ""
    if field.min is not None and field.max is not None and not unit:
        parts.append(f"{value_text(field, field.min)} to {value_text(field, field.max)}")
    elif field.min is not None and field.min > 0:
        parts.append(f"at least {value_text(field, field.min)}{unit}")
    if field.max is not None and (unit or field.min is None):
        parts.append(f"at most {value_text(field, field.max)}{unit}")
    if field.multiple:
        parts.append(f"multiple of {value_text(field, field.multiple)}")
    if field.pattern:
        parts.append(f"`{field.pattern.encode('unicode_escape').decode()}`")
    return "; ".join(parts)
