"""Completion for bash."""

from .commands import assignments, flag_name, flags, positionals
from .completion import MADE, entries, first_words, global_kind, kind, nouns_with_verbs

SCRIPT = """
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


def script(model):
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
    text = SCRIPT
    for name, lines in parts.items():
        text = text.replace(f"@{name}@", "".join(lines))
    return MADE + text


def value_case(pattern, what):
    return f"        {pattern}) echo '{what or 'none'}' "


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
