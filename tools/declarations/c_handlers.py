"""hostler-handlers: prototypes of the daemon's verb functions and the table that dispatch goes through."""

from .c_text import GENERATED, guard, list_type, struct_type

CALL = "const Call *call"
JOB = "Job *job"


def header(model):
    prototypes = "".join(f"bool {verb.handler}({', '.join(parameters(verb))});\n" for verb in handled(model))
    return guard("hostler-handlers.h", f'#include "base/declare.h"\n\n{prototypes}')


def table(model):
    thunks = "\n".join(thunk(verb) for verb in handled(model))
    rows = "".join(row(index, verb) for index, verb in enumerate(model.verbs.values()))
    return (f'{GENERATED}#include "hostler-handlers.h"\n\n{thunks}\n'
            f"const Verb verb_handlers[] = {{\n{rows}        {{.decl = NULL}},\n}};\n")


def handled(model):
    return [verb for verb in model.verbs.values() if not verb.streams]


def result_type(verb):
    """The C type of what the verb gives, or None."""
    if not verb.result:
        return None
    return list_type(verb.result) if verb.result_shape == "list" else struct_type(verb.result)


def parameters(verb):
    yield JOB if verb.kind == "job" else CALL
    yield f"const {struct_type(verb.args.name)} *args"
    if verb.result:
        yield f"{result_type(verb)} *ret_result"
    yield "GError **error"


def thunk(verb):
    first = JOB if verb.kind == "job" else CALL
    passed = [verb.kind, "args", *(["ret_result"] if verb.result else []), "error"]
    return (f"static bool run_{verb.handler}({first}, const void *args, void *ret_result, GError **error)\n"
            f"{{\n        return {verb.handler}({', '.join(passed)});\n}}\n")


def row(index, verb):
    run = "" if verb.streams else f", .{verb.kind} = run_{verb.handler}"
    return f"        {{.decl = &hostler_verbs[{index}]{run}}},\n"
