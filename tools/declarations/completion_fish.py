"""Completion for fish."""

from .commands import assignments, flag_name, flags, positionals
from .completion import MADE, entries, first_words, global_kind, kind, nouns_with_verbs, quote

HELPERS = """
# The words of the command line that are no flags, without `hostler`.
function __hostler_words
    string match --invert -- '-*' (commandline -opc)[2..]
end

# Whether the command is exactly these words, followed by COUNT others (COUNT+: at least so many).
function __hostler_at --argument-names count
    set -l begin $argv[2..]
    set -l words (__hostler_words)
    test (count $words) -ge (count $begin); or return 1
    test (count $begin) -eq 0; or test "$words[1..$(count $begin)]" = "$begin"; or return 1
    set -l more (math (count $words) - (count $begin))
    if string match -q '*+' -- $count
        test $more -ge (string trim --right --chars=+ -- $count)
    else
        test $more -eq $count
    end
end

# Names of a kind for the command that begins with so many words.
function __hostler_names --argument-names kind skip
    set -l first (math $skip + 1)
    set -l words (__hostler_words)
    hostler complete $kind $words[$first..] 2>/dev/null
end
"""


def script(model):
    lines = [MADE, HELPERS, "complete -c hostler -f\n"]
    nouns = nouns_with_verbs(model)
    known = dict(entries(model))
    for word in first_words(model):
        lines.append(line("__hostler_at 0", f"-a {word}", (known[word].summary if word in known else model.nouns[word].doc)))
    for noun, verbs in nouns.items():
        lines += [line(f"__hostler_at 0 {noun}", f"-a {verb}", known[f"{noun} {verb}"].summary) for verb in verbs]
    for flag in model.flags.values():
        short = f"-s {flag.short} " if flag.short else ""
        lines.append(line(None, f"{short}-l {flag.name}{flag_value(global_kind(flag), 0) if flag.value else ''}", flag.doc))
    for words, command in entries(model):
        lines += command_lines(words, command, model)
    return "".join(lines)


def line(condition, what, doc):
    when = f" -n {quote(condition)}" if condition else ""
    return f"complete -c hostler{when} {what}" + (f" -d {quote(doc)}" if doc else "") + "\n"


def flag_value(what, skip):
    """The part of a `complete` line that says what the value of a flag is."""
    if what == "file":
        return " -r -F"
    return f" -x -a {quote(candidates(what, skip))}" if what else " -x"


def candidates(what, skip):
    return what[1:] if what.startswith("=") else f"(__hostler_names {what} {skip})"


def command_lines(words, command, model):
    skip = len(words.split())
    for field in flags(command):
        value = "" if field.type == "bool" else flag_value(kind(field, model), skip)
        short = f"-s {field.short} " if field.short else ""
        yield line(f"__hostler_at 0+ {words}", f"{short}-l {flag_name(field)[2:]}{value}", field.doc)
    for index, field in enumerate(positionals(command)):
        what = kind(field, model)
        if what:
            place = f"{index}+" if field.is_list or (command.many and index == 0) else str(index)
            action = "-F" if what == "file" else f"-a {quote(candidates(what, skip))}"
            yield line(f"__hostler_at {place} {words}", action, "")
    if assignments(command):
        yield line(f"__hostler_at {len(positionals(command))}+ {words}", f"-a {quote(candidates('property', skip))}", "")
