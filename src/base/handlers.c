/*
 * Finds a verb's function in the generated table.
 *
 * A library of its own: the table refers to every verb function of the daemon, so only the daemon (and what tests
 * dispatch) can link it.
 */
#include "base/declare.h"

const Verb *verb_handler(const VerbDecl *decl)
{
        return &verb_handlers[decl - hostler_verbs];
}
