/* What the generated functions of hostler-verbs.c are made of: one verb called with typed arguments. Internal to
 * libhostler. */
#pragma once

#include <hostler.h>

#include "base/declare.h"

/*
 * Calls @verb with @args (struct of verb->args, borrowed) and reads the answer into @ret_value: a HostlerJob for jobs,
 * else a struct of verb->result or a list of them; NULL when the verb gives nothing. In a dry run the job is the plan:
 * only its `steps` are set. On failure fills @error (may be NULL) and touches nothing else.
 */
bool typed_call(HostlerClient *client, const VerbDecl *verb, const void *args, const HostlerCallOptions *options,
                void *ret_value, HostlerError *error);
