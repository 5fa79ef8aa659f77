/*
 * See stream.h. QEMU tells how far it is only when asked; it is asked more often when it may be at its end.
 */
#include "vm/snapshot/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/units.h"

#define FIRST_POLL_US 500
#define LAST_POLL_US 5000
#define NEAR_POLL_US 1000
#define CANCEL_MS 50000
/* So long a disk may take over one piece of memory before it is given up; and one that was given up, to end. */
#define STALL_MS 20000
#define CANCEL_STALL_MS 5000
/* The guest is to stand still no longer than this for memory alone. */
#define STILL_MS 25
/* It is given up that a guest's memory is ever written faster than it changes. */
#define MOST_PASSES 10

typedef struct {
        char *status;
        char *problem;
        double percent;
        int64_t remaining, sent, passes;
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
                                   .passes = number(ram, "dirty-sync-count")};
        ret_progress->percent = total > 0 ? 100.0 * (total - (double)ret_progress->remaining) / total : -1;
        return true;
}

/* When anything was last written; the threads that ask have one each. */
typedef struct {
        int64_t sent, remaining, passes, since_ms;
} Movement;

static int64_t still_ms(Movement *last, const Progress *now)
{
        if (!last->since_ms || now->sent != last->sent || now->remaining != last->remaining ||
            now->passes != last->passes)
                *last = (Movement){.sent = now->sent,
                                   .remaining = now->remaining,
                                   .passes = now->passes,
                                   .since_ms = clock_monotonic_ms()};
        return clock_monotonic_ms() - last->since_ms;
}

/* @cause (taken): why QEMU does not say; NULL: it has said that nothing moves. */
static bool say_stalled(GError *cause_taken, GError **error)
{
        g_autofree char *limit = duration_format(STALL_MS);
        if (cause_taken)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "the VM's memory cannot be written: %s",
                          cause_taken->message);
        else
                error_set(error, HOSTLER_ERROR_FAILED, NULL,
                          "the VM's memory cannot be written: the file system of its folder has taken nothing for %s",
                          limit);
        g_clear_error(&cause_taken);
        return error_hint(error, "see whether that file system is frozen, or its server gone; then ask again");
}

static bool is_one_of(const char *status, const char *const *words)
{
        return g_strv_contains(words, status);
}

/* Asks, and looks whether anything moves when something is written. */
static bool ask_again(Qmp *qmp, bool writes, Movement *last, Progress *ret_progress, GError **error)
{
        g_autoptr(GError) problem = NULL;
        if (!ask(qmp, ret_progress, &problem)) {
                if (writes && error_is(problem, HOSTLER_ERROR_UNRESPONSIVE))
                        return say_stalled(g_steal_pointer(&problem), error);
                g_propagate_error(error, g_steal_pointer(&problem));
                return false;
        }
        return !writes || still_ms(last, ret_progress) < STALL_MS || say_stalled(NULL, error);
}

/* Until @enough says so. @job NULL: nothing is written, and no progress to tell. */
static bool wait_for(Qmp *qmp, Job *job, GCancellable *cancellable, gulong most_us,
                     bool (*enough)(const Progress *progress), Progress *ret_last, GError **error)
{
        static const char *const bad[] = {"failed", "cancelling", "cancelled", NULL};
        Movement movement = {0};
        for (gulong pause_us = FIRST_POLL_US;; pause_us = MIN(2 * pause_us, most_us)) {
                g_auto(Progress) progress = {0};
                if (!ask_again(qmp, job != NULL, &movement, &progress, error) ||
                    g_cancellable_set_error_if_cancelled(cancellable, error))
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

/* QEMU stops a guest by itself when it can write what is left within STILL_MS, at the speed it had so far. */
static bool waits_for_devices(const Progress *progress)
{
        return strcmp(progress->status, "pre-switchover") == 0;
}

static bool is_decided(const Progress *progress)
{
        return waits_for_devices(progress) || progress->passes > MOST_PASSES;
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
        *ret_near = waits_for_devices(&last);
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
 * The speed: 0 is not "unlimited" in 7.2; the largest number it takes is. The time: with 0 a QEMU looks for what has
 * changed meanwhile only once it has stopped the guest.
 */
static bool set_limits(Qmp *qmp, GError **error)
{
        return qmp_call(qmp, "migrate-set-parameters",
                        json_pack("{s:I, s:i}", "max-bandwidth", (json_int_t)G_MAXINT64, "downtime-limit", STILL_MS),
                        NULL, error);
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

/* Also of one that waits for a disk: that ends when the disk answers, and nobody can be made to wait for it. */
static bool is_at_it(Qmp *qmp, Movement *movement, bool *ret_moves)
{
        static const char *const words[] = {"setup", "active", "pre-switchover", "device", "cancelling", NULL};
        g_auto(Progress) progress = {0};
        bool at_it = ask(qmp, &progress, NULL) && is_one_of(progress.status, words);
        *ret_moves = !at_it || still_ms(movement, &progress) < CANCEL_STALL_MS;
        return at_it;
}

/*
 * A QEMU 7.2 that is made to give up writing behind its guest hangs for ever: what it has protected against writing
 * stays so, and its main loop waits for one of those pages. So it is left to come to its end, which takes no longer
 * than the writing.
 */
void stream_cancel(Qmp *qmp)
{
        int64_t end = clock_monotonic_ms() + CANCEL_MS;
        Movement movement = {0};
        bool moves = true;
        if (!is_behind(qmp))
                qmp_call(qmp, "migrate_cancel", NULL, NULL, NULL);
        while (is_at_it(qmp, &movement, &moves) && moves && clock_monotonic_ms() < end)
                g_usleep(LAST_POLL_US);
        while (moves && is_refused(qmp) && clock_monotonic_ms() < end)
                g_usleep(LAST_POLL_US);
}

bool stream_mend(Qmp *qmp, GError **error)
{
        Movement movement = {0};
        bool moves;
        g_auto(Progress) last = {0};
        autoclose int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere < 0)
                return error_set_errno(error, errno, NULL, "cannot open /dev/null");
        if (is_at_it(qmp, &movement, &moves))
                return error_set(error, HOSTLER_ERROR_BUSY, NULL,
                                 "QEMU is still writing memory for an earlier snapshot, and the file system does not "
                                 "answer");
        bool ok = stream_set_mode(qmp, STREAM_BEHIND, error) && stream_begin(qmp, nowhere, error) &&
                  wait_for(qmp, NULL, NULL, LAST_POLL_US, is_complete, &last, error);
        stream_set_mode(qmp, STREAM_AT_ONCE, NULL);
        return ok;
}
