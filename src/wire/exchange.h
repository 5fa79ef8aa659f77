/*
 * What QMP and the guest agent have in common: the shape of commands and answers, and waiting for an answer. Used
 * inside wire only.
 *
 * A command is {"execute":NAME,"arguments":{…},"id":…}, an answer {"return":…} or {"error":{"class":…,"desc":…}}.
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>
#include <stdbool.h>

/* @arguments and @id may be NULL; both are borrowed. The caller owns the result. */
json_t *exchange_command(const char *command, json_t *arguments, json_t *id);
/*
 * Takes the result out of the answer of @who ("QEMU") to @command; owned by the caller. A refusal is NULL and
 * HOSTLER_ERROR_FAILED with the peer's text, made printable and cut at 1,024 bytes, tagged with its class; so is a
 * document that is neither. The result is shared with no other value, because jansson's counting does not order the
 * uses of one value on several threads.
 */
json_t *exchange_answer(json_t *answer, const char *who, const char *command, GError **error);

/* One thread's wait for one answer. Reference counted: the waiting thread and the answering one each drop theirs, in
 * any order. */
typedef struct Waiter Waiter;
typedef enum { WAIT_ANSWERED, WAIT_LATE, WAIT_CANCELLED } WaitEnd;

/* Starts with two references: one for waiter_unref() by the waiting thread, one that waiter_answer() takes. */
Waiter *waiter_new(void);
void waiter_unref(Waiter *waiter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Waiter, waiter_unref)
/* @result_taken is NULL with @error_taken set. Any thread, once. */
void waiter_answer(Waiter *waiter_taken, json_t *result_taken, GError *error_taken);
/* Blocks until the answer, @deadline_ms of clock_monotonic_ms(), or a cancel. */
WaitEnd waiter_wait(Waiter *waiter, int64_t deadline_ms, GCancellable *cancellable);
/* After WAIT_ANSWERED: hands out what waiter_answer() was given. @ret_result (NULL: not wanted) is owned by the caller.
 */
bool waiter_take(Waiter *waiter, json_t **ret_result, GError **error);
/* Blocks for @ms; false with HOSTLER_ERROR_CANCELLED when cancelled meanwhile. */
bool wait_ms(int64_t ms, GCancellable *cancellable, GError **error);

/*
 * Adds a reference unless the last is gone: for callbacks on the context while another thread lets go of a connection,
 * which is torn down on the context a little later.
 */
bool ref_if_alive(gint *references);

/* A source that calls @func each time its ready time comes. Attached to @context, not ready until alarm_set(). */
GSource *alarm_new(GMainContext *context, GSourceFunc func, void *data);
/* Any thread. @deadline_ms of clock_monotonic_ms(), INT64_MAX: never. */
void alarm_set(GSource *alarm, int64_t deadline_ms);
