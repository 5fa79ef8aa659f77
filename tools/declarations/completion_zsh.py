"""Completion for zsh."""

from .commands import assignments, flag_name, flags, positionals
from .completion import MADE, entries, first_words, global_kind, kind, nouns_with_verbs, quote

HELPERS = """
# Names of a kind, from the daemon; the words of the command so far go with it.
_hostler_names()
{
        local -a names
        names=(${(f)"$(hostler complete $1 ${(@)line[1,-2]} 2>/dev/null)"})
        compadd -S "${2-}" -a names
}
_hostler_properties()
{
        _hostler_names property ''
}
"""


def script(model):
    parts = ["#compdef hostler\n", MADE, HELPERS]
    for words, command in entries(model):
        parts.append(f"_hostler_{function(words)}()\n{{\n        _arguments -s \\\n{arguments(command, model)}}}\n")
    nouns = nouns_with_verbs(model)
    for noun, verbs in nouns.items():
        parts.append(choice(f"_hostler_noun_{function(noun)}", noun, verbs, model, {}))
    parts.append(choice("_hostler", "", first_words(model), model, nouns))
    parts.append('_hostler "$@"\n')
    return "\n".join(parts)


def function(words):
    return words.replace(" ", "__").replace("-", "_")


def plain(text):
    """What zsh would take for its own in a description is written otherwise."""
    return text.replace("[", "(").replace("]", ")").replace(":", "\\:").replace("`", "")


def action(what):
    if what.startswith("="):
        return f"({what[1:]})"
    if what == "file":
        return "_files"
    if what == "property":
        return "_hostler_properties"
    return f"{{_hostler_names {what} ' '}}" if what else " "


def arguments(command, model):
    specs = []
    own = {flag_name(field): field for field in flags(command)}
    for name, field in own.items():
        value = f":{field.name}:{action(kind(field, model))}" if field.type != "bool" else ""
        specs.append(flag_spec(name, field.doc, value))
    for flag in model.flags.values():
        value = f":{flag.value}:{action(global_kind(flag))}" if flag.value else ""
        if f"--{flag.name}" not in own:
            specs.append(flag_spec(f"--{flag.name}", flag.doc, value))
    for index, field in enumerate(positionals(command)):
        place = "*" if field.is_list or (command.many and index == 0) else str(index + 1)
        specs.append(quote(f"{place}:{field.name}:{action(kind(field, model))}"))
    if assignments(command):
        specs.append(quote("*:property:_hostler_properties"))
    return "".join(f"                {spec} \\\n" for spec in specs).removesuffix(" \\\n") + "\n"


def flag_spec(name, doc, value):
    return quote(f"{name}{'=' if value else ''}[{plain(doc)}]{value}")


def choice(name, noun, words, model, nouns):
    """A function that completes one of @words, and after it what belongs to it."""
    known = dict(entries(model))
    described, branches = [], []
    for word in words:
        whole = f"{noun} {word}".strip()
        target = f"_hostler_noun_{function(whole)}" if word in nouns else f"_hostler_{function(whole)}"
        about = known[whole].summary if whole in known else model.nouns[word].doc
        described.append(quote(f"{word}:{plain(about)}"))
        branches.append(f"                {word}) {target} ;;\n")
    listed = "".join(f"                {line}\n" for line in described)
    return (f"{name}()\n{{\n        local -a choices=(\n{listed}        )\n        local context state line\n"
            "        _arguments -C '1: :->first' '*:: :->rest'\n        case $state in\n        first) _describe word choices ;;\n"
            f"        rest)\n                case $words[1] in\n{''.join(branches)}                esac\n"
            "                ;;\n        esac\n}\n")
