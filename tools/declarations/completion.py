"""What completion for bash, zsh and fish has in common.

Names come from `hostler complete KIND [WORD…]`: one a line, with the words so far of the command.
"""

from .commands import alias_titles, title

MADE = "# Made by tools/declare.py out of the declarations (src/**/*.toml).\n"


def entries(model):
    """(words, command): every way in which each command can begin; `disk add` for one with a noun."""
    for command in model.shown_commands():
        yield title(model, command), command
        for alias in alias_titles(model, command):
            yield alias, command
    silent = next(noun.name for noun in model.nouns.values() if noun.silent)
    for command in model.shown_commands():
        if command.noun == silent:
            yield f"{silent} {command.name}", command


def first_words(model):
    return sorted({words.split()[0] for words, _ in entries(model)})


def nouns_with_verbs(model):
    """noun -> its verbs, for the nouns that need one."""
    found = {}
    for words, _ in entries(model):
        noun, _, verb = words.partition(" ")
        if verb:
            found.setdefault(noun, []).append(verb)
    return found


def kind(field, model):
    """What completes a value: "=a b" for known words, else a kind of `hostler complete`, "file" or ""."""
    if field.type == "enum":
        return "=" + " ".join(model.enums[field.target].values)
    if field.type == "path" or field.from_file or (field.client_only and field.name == "file"):
        return "file"
    return field.complete or ""


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def global_kind(flag):
    if flag.words:
        return "=" + " ".join(flag.words)
    return "file" if flag.value in ("PATH", "DIR") else ""
