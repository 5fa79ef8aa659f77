/*
 * Waiting for a job: long polls of `job show`, so that the end comes at once and news in between. Called by public.c
 * and by every verb of the command line that is a job.
 */
#include "base/clock.h"
#include "base/error.h"
#include "client/client.h"
#include "hostler-records.h"

enum { REPLY_SLACK_MS = 30000 };

static bool job_fetch(HostlerClient *client, const char *id, int64_t wait_ms, GCancellable *cancellable,
                      HostlerJob *ret_job, GError **error);

static bool job_has_ended(const HostlerJob *job)
{
        return job->state == HOSTLER_JOB_STATE_DONE || job->state == HOSTLER_JOB_STATE_FAILED ||
               job->state == HOSTLER_JOB_STATE_CANCELLED;
}

bool client_job_wait(HostlerClient *client, const char *id, int64_t timeout_ms, int64_t interval_ms,
                     HostlerProgressFunc progress, void *data, GCancellable *cancellable, HostlerJob *ret_job,
                     GError **error)
{
        int64_t deadline = timeout_ms > 0 ? clock_monotonic_ms() + timeout_ms : INT64_MAX;

        for (;;) {
                int64_t left_ms = MAX(deadline - clock_monotonic_ms(), 0);
                HostlerJob job;

                if (!job_fetch(client, id, MIN(interval_ms, left_ms), cancellable, &job, error))
                        return false;
                bool go_on = !progress || progress(&job, data);
                if (job_has_ended(&job)) {
                        *ret_job = job;
                        return true;
                }
                record_clear(&hostler_job_type, &job);
                if (!go_on || clock_monotonic_ms() >= deadline) {
                        error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "job %s is still running", id);
                        return error_hint(error, "hostler job wait %s", id);
                }
        }
}

GError *client_job_error(const HostlerJob *job)
{
        if (job->state == HOSTLER_JOB_STATE_DONE)
                return NULL;

        json_auto_t *problem = job->error ? json_loads(job->error, JSON_REJECT_DUPLICATES, NULL) : NULL;
        GError *error = NULL;
        if (json_is_object(problem))
                error = error_from_json(problem);
        else
                error_set(&error, HOSTLER_ERROR_FAILED, job->object, "job %s ended without saying why", job->id);
        return error;
}

static bool job_fetch(HostlerClient *client, const char *id, int64_t wait_ms, GCancellable *cancellable,
                      HostlerJob *ret_job, GError **error)
{
        json_auto_t *args = json_pack("{s:s, s:I}", "job", id, "wait", (json_int_t)wait_ms);
        ClientOptions options = {.timeout_ms = wait_ms + REPLY_SLACK_MS, .cancellable = cancellable};
        g_autofree char *body = NULL;
        gsize length;

        if (!client_call(client, verb_find("job", "show"), args, &options, &body, &length, error))
                return false;

        json_auto_t *json = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
        bool valid = record_from_json(&hostler_job_type, json, "", ret_job, error);
        return valid ||
               error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer about job %s makes no sense", id);
}
