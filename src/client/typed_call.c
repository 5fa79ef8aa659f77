/*
 * Typed calls: a struct of arguments becomes JSON, the answer becomes a struct again.
 *
 * Does not speak HTTP (hostler_call does). Called by the generated functions of hostler-verbs.c.
 */
#include "client/typed_call.h"

#include <jansson.h>
#include <stdlib.h>

#include "client/public.h"
#include "hostler-records.h"

static bool read_answer(const VerbDecl *verb, const json_t *answer, void *ret_value, GError **error)
{
        if (verb->kind == VERB_JOB)
                return record_from_json(&hostler_job_type, answer, "", ret_value, error);
        if (verb->result_shape == RESULT_LIST)
                return record_list_from_json(verb->result, answer, "", ret_value, error);
        return verb->result_shape == RESULT_NONE || record_from_json(verb->result, answer, "", ret_value, error);
}

bool typed_call(HostlerClient *client, const VerbDecl *verb, const void *args, const HostlerCallOptions *options,
                void *ret_value, HostlerError *error)
{
        json_auto_t *request = record_to_json(verb->args, args, RECORD_STORED);
        char *request_text = json_dumps(request, JSON_COMPACT);
        char *answer_text = NULL;
        bool called = hostler_call(client, verb->id, request_text, options, &answer_text, error);
        free(request_text);
        if (!called)
                return false;

        json_auto_t *answer = answer_text ? json_loads(answer_text, JSON_DECODE_ANY, NULL) : NULL;
        free(answer_text);
        GError *problem = NULL;
        return read_answer(verb, answer, ret_value, &problem) || public_error(problem, error);
}
