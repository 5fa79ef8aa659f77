"""Completion for bash, zsh and fish. Names come from `hostler complete KIND [WORD…]`: one a line, with the words so far of the command."""

from .commands import alias_titles, assignments, flag_name, flags, positionals, title
from .load import camel

MADE = "# Made by tools/declare.py out of the declarations (src/*/*.toml).\n"


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


def global_kind(flag):
    if flag.words:
        return "=" + " ".join(flag.words)
    return "file" if flag.value in ("PATH", "DIR") else ""


def positional_kinds(command, model):
    kinds = [kind(field, model) for field in positionals(command)]
    if command.many or (positionals(command) and positionals(command)[-1].is_list):
        kinds.append("+")  # the last one again
    return kinds + (["+property"] if assignments(command) else [])


def value_flags(command, model):
    """(flag, kind) of the command's own that take a value."""
    for field in flags(command):
        if field.type != "bool":
            yield flag_name(field) + (f" | -{field.short}" if field.short else ""), kind(field, model)


def all_flags(command, model):
    names = [flag_name(field) for field in flags(command)]
    return names + [f"--{flag.name}" for flag in model.flags.values() if f"--{flag.name}" not in names]


# ---- bash ----

BASH = """
# The kinds of a command's positional words, with ; between them; "+" repeats the last, "+kind" is for all further words.
_hostler_words()
{
        case "$1" in
@POSITIONALS@        esac
}

_hostler_flags()
{
        case "$1" in
@FLAGS@        esac
}

# What the value of a flag may be: "none" when nothing is known, nothing when it takes no value.
_hostler_value()
{
        case "$1 $2" in
@VALUES@        esac
        case "$2" in
@GLOBAL_VALUES@        esac
}

_hostler_verbs()
{
        case "$1" in
@VERBS@        esac
}

# Prints the candidates for one word of a kind; the words of the command so far follow.
_hostler_candidates()
{
        local kind=$1
        shift
        case $kind in
        =*) echo "${kind#=}" ;;
        file | none | '') ;;
        *) hostler complete "$kind" "$@" 2>/dev/null ;;
        esac
}

_hostler()
{
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
        local command='' kind='' flag='' word kinds
        local -a given=()
        [[ $previous == "=" ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
        [[ $current == "=" ]] && current=
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                # A flag's value is no word of the command; --wait may stand without one.
                kind=$flag
                flag=
                [[ $kind == =* && " ${kind#=} " != *" $word "* ]] && kind=
                [[ $kind ]] && continue
                [[ $word == -* ]] && flag=$(_hostler_value "$command" "$word")
                [[ $word == -* ]] && continue
                if [[ -z $command ]]; then
                        command=$word
                elif [[ $command != *" "* && " $(_hostler_verbs "$command") " == *" $word "* ]]; then
                        command+=" $word"
                else
                        given+=("$word")
                fi
        done
        kind=
        if [[ $previous == -* ]] && kind=$(_hostler_value "$command" "$previous") && [[ $kind ]]; then
                :
        elif [[ -z $command ]]; then
                kind="=@FIRST@"
        elif [[ $current == -* ]]; then
                kind="=$(_hostler_flags "$command")"
        elif [[ $(_hostler_verbs "$command") && ${#given[@]} -eq 0 ]]; then
                kind="=$(_hostler_verbs "$command")"
        else
                IFS=';' read -ra kinds <<<"$(_hostler_words "$command")"
                kind=${kinds[${#given[@]}]-}
                [[ ${#kinds[@]} -gt 0 && -z $kind && ${kinds[-1]} == +* ]] && kind=${kinds[-1]}
                [[ $kind == + ]] && kind=${kinds[-2]}
                kind=${kind#+}
        fi
        if [[ $kind == file ]]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames
                return
        fi
        mapfile -t COMPREPLY < <(compgen -W "$(_hostler_candidates "$kind" "${given[@]}")" -- "$current")
        [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return 0
}
complete -F _hostler hostler
"""


def bash(model):
    positional, flag_lines, values = [], [], []
    for words, command in entries(model):
        kinds = ";".join(positional_kinds(command, model))
        if kinds:
            positional.append(f"        '{words}') echo '{kinds}' ;;\n")
        flag_lines.append(f"        '{words}') echo '{' '.join(all_flags(command, model))}' ;;\n")
        values += [value_case(" | ".join(f"'{words} {form}'" for form in name.split(" | ")), what) + "&& return ;;\n"
                   for name, what in value_flags(command, model)]
    global_values = [value_case(f"--{flag.name} | -{flag.short}" if flag.short else f"--{flag.name}", global_kind(flag)) + ";;\n"
                     for flag in model.flags.values() if flag.value]
    verbs = [f"        {noun}) echo '{' '.join(names)}' ;;\n" for noun, names in nouns_with_verbs(model).items()]
    parts = {"POSITIONALS": positional, "FLAGS": flag_lines, "VALUES": values, "GLOBAL_VALUES": global_values, "VERBS": verbs,
             "FIRST": [" ".join(first_words(model))]}
    text = BASH
    for name, lines in parts.items():
        text = text.replace(f"@{name}@", "".join(lines))
    return MADE + text


def value_case(pattern, what):
    return f"        {pattern}) echo '{what or 'none'}' "


# ---- zsh ----

ZSH_HELPERS = """
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


def zsh(model):
    parts = ["#compdef hostler\n", MADE, ZSH_HELPERS]
    for words, command in entries(model):
        parts.append(f"_hostler_{function(words)}()\n{{\n        _arguments -s \\\n{zsh_arguments(command, model)}}}\n")
    nouns = nouns_with_verbs(model)
    for noun, verbs in nouns.items():
        parts.append(zsh_choice(f"_hostler_noun_{function(noun)}", noun, verbs, model, {}))
    parts.append(zsh_choice("_hostler", "", first_words(model), model, nouns))
    parts.append('_hostler "$@"\n')
    return "\n".join(parts)


def function(words):
    return words.replace(" ", "__").replace("-", "_")


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def zsh_text(text):
    return text.replace("[", "(").replace("]", ")").replace(":", "\\:").replace("`", "")


def zsh_action(what):
    if what.startswith("="):
        return f"({what[1:]})"
    if what == "file":
        return "_files"
    if what == "property":
        return "_hostler_properties"
    return f"{{_hostler_names {what} ' '}}" if what else " "


def zsh_arguments(command, model):
    specs = []
    own = {flag_name(field): field for field in flags(command)}
    for name, field in own.items():
        value = "" if field.type == "bool" else f"=:{field.name}:{zsh_action(kind(field, model))}"
        specs.append(quote(f"{name}{value and '='}[{zsh_text(field.doc)}]{value[1:]}"))
    for flag in model.flags.values():
        if f"--{flag.name}" not in own:
            value = f":{flag.value}:{zsh_action(global_kind(flag))}" if flag.value else ""
            specs.append(quote(f"--{flag.name}{'=' if value else ''}[{zsh_text(flag.doc)}]{value}"))
    for index, field in enumerate(positionals(command)):
        place = "*" if field.is_list or (command.many and index == 0) else str(index + 1)
        specs.append(quote(f"{place}:{field.name}:{zsh_action(kind(field, model))}"))
    if assignments(command):
        specs.append(quote("*:property:_hostler_properties"))
    return "".join(f"                {spec} \\\n" for spec in specs).removesuffix(" \\\n") + "\n"


def zsh_choice(name, noun, words, model, nouns):
    """A function that completes one of @words, and after it what belongs to it."""
    known = dict(entries(model))
    described, branches = [], []
    for word in words:
        whole = f"{noun} {word}".strip()
        target = f"_hostler_noun_{function(whole)}" if word in nouns else f"_hostler_{function(whole)}"
        about = known[whole].summary if whole in known else model.nouns[word].doc
        described.append(quote(f"{word}:{zsh_text(about)}"))
        branches.append(f"                {word}) {target} ;;\n")
    listed = "".join(f"                {line}\n" for line in described)
    return (f"{name}()\n{{\n        local -a choices=(\n{listed}        )\n        local context state line\n"
            "        _arguments -C '1: :->first' '*:: :->rest'\n        case $state in\n        first) _describe word choices ;;\n"
            f"        rest)\n                case $words[1] in\n{''.join(branches)}                esac\n                ;;\n        esac\n}}\n")


# ---- fish ----

FISH = """
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


def fish(model):
    lines = [MADE, FISH, "complete -c hostler -f\n"]
    nouns = nouns_with_verbs(model)
    known = dict(entries(model))
    for word in first_words(model):
        lines.append(fish_line("__hostler_at 0", f"-a {word}", (known[word].summary if word in known else model.nouns[word].doc)))
    for noun, verbs in nouns.items():
        lines += [fish_line(f"__hostler_at 0 {noun}", f"-a {verb}", known[f"{noun} {verb}"].summary) for verb in verbs]
    for flag in model.flags.values():
        short = f"-s {flag.short} " if flag.short else ""
        lines.append(fish_line(None, f"{short}-l {flag.name}{fish_value(global_kind(flag), 0) if flag.value else ''}", flag.doc))
    for words, command in entries(model):
        lines += fish_command(words, command, model)
    return "".join(lines)


def fish_line(condition, what, doc):
    when = f" -n {quote(condition)}" if condition else ""
    return f"complete -c hostler{when} {what}" + (f" -d {quote(doc)}" if doc else "") + "\n"


def fish_value(what, skip):
    """The part of a `complete` line that says what the value of a flag is."""
    if what == "file":
        return " -r -F"
    return f" -x -a {quote(fish_words(what, skip))}" if what else " -x"


def fish_words(what, skip):
    return what[1:] if what.startswith("=") else f"(__hostler_names {what} {skip})"


def fish_command(words, command, model):
    skip = len(words.split())
    for field in flags(command):
        value = "" if field.type == "bool" else fish_value(kind(field, model), skip)
        short = f"-s {field.short} " if field.short else ""
        yield fish_line(f"__hostler_at 0+ {words}", f"{short}-l {flag_name(field)[2:]}{value}", field.doc)
    for index, field in enumerate(positionals(command)):
        what = kind(field, model)
        if what:
            place = f"{index}+" if field.is_list or (command.many and index == 0) else str(index)
            action = "-F" if what == "file" else f"-a {quote(fish_words(what, skip))}"
            yield fish_line(f"__hostler_at {place} {words}", action, "")
    if assignments(command):
        yield fish_line(f"__hostler_at {len(positionals(command))}+ {words}", f"-a {quote(fish_words('property', skip))}", "")
