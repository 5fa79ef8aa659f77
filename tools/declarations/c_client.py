"""hostler-verbs: the client library's function for each verb, and what initialises and frees its structs."""

from .c_handlers import result_type
from .c_text import GENERATED, comment, guard, list_type, struct_type
from .load import c_name


def header(model):
    parts = ["/* Included by <hostler.h>. Arguments: set up with _args_init, then set members; the functions only read them. */\n"]
    parts += [clears(name) for name in model.records]
    parts += [f"{comment(verb.summary + '.' + returns(verb))}{prototype(verb)};\n{init_prototype(verb)};\n"
              for verb in callable_verbs(model)]
    return guard("hostler-verbs.h", "\n".join(parts))


def functions(model):
    indexes = {verb.id: index for index, verb in enumerate(model.verbs.values())}
    parts = [f'{GENERATED}#include <hostler.h>\n\n#include "client/typed_call.h"\n#include "hostler-records.h"\n']
    parts += [clear_functions(name) for name in model.records]
    parts += [f"{init_prototype(verb)}\n{{\n        record_init(&hostler_{c_name(verb.args.name)}_type, args);\n}}\n\n"
              f"{prototype(verb)}\n{{\n        return typed_call({', '.join(call_arguments(verb, indexes[verb.id]))});\n}}\n"
              for verb in callable_verbs(model)]
    return "\n".join(parts)


def callable_verbs(model):
    """Streams without an answer (consoles, events) have functions of their own in hostler.h."""
    return [verb for verb in model.verbs.values() if verb.result or not verb.streams]


def function_name(verb):
    return f"hostler_{c_name(verb.noun)}_{c_name(verb.name)}"


def returns(verb):
    if verb.kind != "job":
        return ""
    return f" Its job's result is a {verb.result_shape == 'list' and 'list of ' or ''}{verb.result}." if verb.result else " A job."


def init_prototype(verb):
    return f"void {function_name(verb)}_args_init({struct_type(verb.args.name)} *args)"


def prototype(verb):
    parameters = ["HostlerClient *client", f"const {struct_type(verb.args.name)} *args", "const HostlerCallOptions *options"]
    if verb.kind == "job":
        parameters.append("HostlerJob *ret_job")
    elif verb.result:
        parameters.append(f"{result_type(verb)} *ret_result")
    return f"bool {function_name(verb)}({', '.join(parameters)}, HostlerError *error)"


def call_arguments(verb, index):
    result = "ret_job" if verb.kind == "job" else "ret_result" if verb.result else "NULL"
    return ["client", f"&hostler_verbs[{index}]", "args", "options", result, "error"]


def clears(name):
    return (f"void hostler_{c_name(name)}_clear({struct_type(name)} *value);\n"
            f"void hostler_{c_name(name)}_list_clear({list_type(name)} *list);\n")


def clear_functions(name):
    record = c_name(name)
    return (f"void hostler_{record}_clear({struct_type(name)} *value)\n"
            f"{{\n        record_clear(&hostler_{record}_type, value);\n}}\n\n"
            f"void hostler_{record}_list_clear({list_type(name)} *list)\n"
            f"{{\n        record_list_clear(&hostler_{record}_type, list);\n}}\n")
