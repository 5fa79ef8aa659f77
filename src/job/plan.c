/*
 * Dry runs: the verb's own function in a job that is neither queued nor written, whose steps are the plan. Called by
 * src/api.
 */
#include "job/job_internal.h"

json_t *job_plan(JobQueue *queue, const JobRequest *request, GError **error)
{
        JobRequest dry = *request;
        dry.dry_run = true;
        g_autoptr(Job) job = job_new(queue, &dry);
        json_t *result = NULL;
        if (!job_call(job, &result, error))
                return NULL;
        json_decref(result);
        json_t *plan = json_array();
        for (size_t i = 0; i < job->shown.steps.count; i++) {
                const HostlerJobStep *step = &job->shown.steps.items[i];
                json_array_append_new(plan, json_pack("{s:s, s:s}", "name", step->name, "detail", step->detail));
        }
        return plan;
}
