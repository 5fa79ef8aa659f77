/*
 * See stream.h. QEMU tells how far it is only when asked; it is asked more often when it may be at its end.
 */
#include "vm/snapshot/stream.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define FIRST_POLL_US 500
#define LAST_POLL_US 5000
#define NEAR_POLL_US 1000
#define CANCEL_MS 50000
/* The guest is to stand still no longer than this for memory alone. */
#define STILL_MS 25
/* It is given up that a guest's memory is ever written faster than it changes. */
#define MOST_PASSES 10

typedef struct {
        char *status;
        char *problem;
        double percent;
        int64_t remaining, sent, passes, ms;
} Progress;

static void progress_clear(Progress *progress)
{
        g_free(progress->status);
        g_free(progress->problem);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Progress, progress_clear)

static int64_t number(const json_t *object, const char *name)
{
        return json_integer_value(json_object_get(object, name));
}

static bool ask(Qmp *qmp, Progress *ret_progress, GError **error)
{
        json_auto_t *info = NULL;
        if (!qmp_call(qmp, "query-migrate", NULL, &info, error))
                return false;
        const json_t *ram = json_object_get(info, "ram");
        const char *status = json_string_value(json_object_get(info, "status"));
        double total = (double)number(ram, "total");
        *ret_progress = (Progress){.status = g_strdup(status ? status : "none"),
                                   .problem = g_strdup(json_string_value(json_object_get(info, "error-desc"))),
                                   .remaining = number(ram, "remaining"),
                                   .sent = number(ram, "transferred"),
                                   .passes = number(ram, "dirty-sync-count"),
                                   .ms = number(info, "total-time")};
        ret_progress->percent = total > 0 ? 100.0 * (total - (double)ret_progress->remaining) / total : -1;
        return true;
}

static bool is_one_of(const char *status, const char *const *words)
{
        return g_strv_contains(words, status);
}

/* Until @enough says so. @job NULL: no progress to tell. */
static bool wait_for(Qmp *qmp, Job *job, GCancellable *cancellable, gulong most_us,
                     bool (*enough)(const Progress *progress), Progress *ret_last, GError **error)
{
        static const char *const bad[] = {"failed", "cancelling", "cancelled", NULL};
        for (gulong pause_us = FIRST_POLL_US;; pause_us = MIN(2 * pause_us, most_us)) {
                g_auto(Progress) progress = {0};
                if (!ask(qmp, &progress, error) || g_cancellable_set_error_if_cancelled(cancellable, error))
                        return false;
                if (is_one_of(progress.status, bad))
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU could not move the VM's memory: %s",
                                         progress.problem ? progress.problem : progress.status);
                if (enough(&progress)) {
                        *ret_last = progress;
                        progress = (Progress){0};
                        return true;
                }
                if (job)
                        job_progress(job, progress.percent, "writing memory");
                g_usleep(pause_us);
        }
}

static bool is_complete(const Progress *progress)
{
        return strcmp(progress->status, "completed") == 0;
}

/* QEMU stops a guest by itself when nothing at all is left. */
static bool waits_for_devices(const Progress *progress)
{
        return strcmp(progress->status, "pre-switchover") == 0;
}

/* At the speed it had so far. */
static bool is_near_end(const Progress *progress)
{
        return waits_for_devices(progress) ||
               (progress->passes > 1 && progress->remaining * MAX(progress->ms, 1) <= progress->sent * STILL_MS);
}

static bool is_decided(const Progress *progress)
{
        return is_near_end(progress) || progress->passes > MOST_PASSES;
}

bool stream_wait(Qmp *qmp, Job *job, GError **error)
{
        g_auto(Progress) last = {0};
        return wait_for(qmp, job, job_cancellable(job), LAST_POLL_US, is_complete, &last, error);
}

bool stream_wait_near_end(Qmp *qmp, Job *job, bool *ret_near, GError **error)
{
        g_auto(Progress) last = {0};
        if (!wait_for(qmp, job, job_cancellable(job), NEAR_POLL_US, is_decided, &last, error))
                return false;
        *ret_near = is_near_end(&last);
        return true;
}

bool stream_wait_devices(Qmp *qmp, Job *job, GError **error)
{
        g_auto(Progress) last = {0};
        return wait_for(qmp, job, job_cancellable(job), NEAR_POLL_US, waits_for_devices, &last, error);
}

bool stream_go_on(Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "migrate-continue", json_pack("{s:s}", "state", "pre-switchover"), NULL, error);
}

bool stream_set_mode(Qmp *qmp, StreamMode mode, GError **error)
{
        json_t *args =
            json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability", "background-snapshot", "state",
                      mode == STREAM_BEHIND, "capability", "pause-before-switchover", "state", mode == STREAM_AHEAD);
        return qmp_call(qmp, "migrate-set-capabilities", args, NULL, error);
}

/*
 * The speed: 0 is not "unlimited" in 7.2; the largest number it takes is. The time: when a guest is to be stopped is
 * ours to say.
 */
static bool set_limits(Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "migrate-set-parameters",
                        json_pack("{s:I, s:i}", "max-bandwidth", (json_int_t)G_MAXINT64, "downtime-limit", 0), NULL,
                        error);
}

static bool pass(Qmp *qmp, int fd, GError **error)
{
        return qmp_call_with_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), fd, NULL, error);
}

bool stream_begin(Qmp *qmp, int fd, GError **error)
{
        return set_limits(qmp, error) && pass(qmp, fd, error) &&
               qmp_call(qmp, "migrate", json_pack("{s:s}", "uri", "fd:state"), NULL, error);
}

bool stream_load(Qmp *qmp, int fd, GCancellable *cancellable, GError **error)
{
        g_auto(Progress) last = {0};
        return pass(qmp, fd, error) &&
               qmp_call(qmp, "migrate-incoming", json_pack("{s:s}", "uri", "fd:state"), NULL, error) &&
               wait_for(qmp, NULL, cancellable, LAST_POLL_US, is_complete, &last, error);
}

/* ---- ending one ---- */

/* QEMU has said no, which it does as long as a stream is being cancelled; not: it is gone. */
static bool is_refused(Qmp *qmp)
{
        g_autoptr(GError) problem = NULL;
        return !stream_set_mode(qmp, STREAM_AT_ONCE, &problem) && qmp_error_class(problem);
}

static bool is_behind(Qmp *qmp)
{
        json_auto_t *capabilities = NULL;
        json_t *entry;
        size_t i;
        if (!qmp_call(qmp, "query-migrate-capabilities", NULL, &capabilities, NULL))
                return false;
        json_array_foreach (capabilities, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "capability")), "background-snapshot") == 0)
                        return json_is_true(json_object_get(entry, "state"));
        return false;
}

static bool is_at_it(Qmp *qmp)
{
        static const char *const words[] = {"setup", "active", "pre-switchover", "device", "cancelling", NULL};
        g_auto(Progress) progress = {0};
        return ask(qmp, &progress, NULL) && is_one_of(progress.status, words);
}

/*
 * A QEMU 7.2 that is made to give up writing behind its guest hangs for ever: what it has protected against writing
 * stays so, and its main loop waits for one of those pages. So it is left to come to its end, which takes no longer
 * than the writing.
 */
void stream_cancel(Qmp *qmp)
{
        int64_t end = clock_monotonic_ms() + CANCEL_MS;
        if (!is_behind(qmp))
                qmp_call(qmp, "migrate_cancel", NULL, NULL, NULL);
        while (is_at_it(qmp) && clock_monotonic_ms() < end)
                g_usleep(LAST_POLL_US);
        while (is_refused(qmp) && clock_monotonic_ms() < end)
                g_usleep(LAST_POLL_US);
}
