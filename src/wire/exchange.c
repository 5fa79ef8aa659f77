/*
 * What QMP and the guest agent have in common: documents of commands and answers, a thread's wait for an answer, an
 * alarm.
 *
 * Knows no command. Called by qmp.c and guest_agent*.c.
 */
#include "wire/exchange.h"

#include "base/clock.h"
#include "base/error.h"

#define DESCRIPTION_LIMIT 1024

struct Waiter {
        gint references;
        GMutex mutex; /* guards what follows */
        GCond changed;
        bool answered;
        bool cancelled;
        json_t *result;
        GError *error;
};

json_t *exchange_command(const char *command, json_t *arguments, json_t *id)
{
        json_t *document = json_pack("{s:s}", "execute", command);
        if (arguments)
                json_object_set(document, "arguments", arguments);
        if (id)
                json_object_set(document, "id", id);
        return document;
}

/* Descriptions may repeat what a guest said: no control character of it reaches a terminal. */
static char *printable(const char *text)
{
        gsize length = strlen(text);
        g_autofree char *cut = g_utf8_make_valid(text, (gssize)MIN(length, DESCRIPTION_LIMIT));
        GString *clean = g_string_new(NULL);
        for (const char *at = cut; *at; at = g_utf8_next_char(at)) {
                gunichar character = g_utf8_get_char(at);
                g_string_append_unichar(clean, g_unichar_isprint(character) ? character : ' ');
        }
        return g_string_free(clean, FALSE);
}

json_t *exchange_answer(json_t *answer, const char *who, const char *command, GError **error)
{
        json_t *result = json_incref(json_object_get(answer, "return"));
        if (result) {
                json_object_del(answer, "return");
                return result;
        }
        const json_t *refusal = json_object_get(answer, "error");
        const char *description = json_string_value(json_object_get(refusal, "desc"));
        g_autofree char *text = printable(description ? description : "no reason given");
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s refused %s: %s", who, command, text);
        error_set_tag(error, json_string_value(json_object_get(refusal, "class")));
        return NULL;
}

Waiter *waiter_new(void)
{
        Waiter *waiter = g_new0(Waiter, 1);
        waiter->references = 2;
        g_mutex_init(&waiter->mutex);
        g_cond_init(&waiter->changed);
        return waiter;
}

void waiter_unref(Waiter *waiter)
{
        if (!waiter || !g_atomic_int_dec_and_test(&waiter->references))
                return;
        json_decref(waiter->result);
        g_clear_error(&waiter->error);
        g_cond_clear(&waiter->changed);
        g_mutex_clear(&waiter->mutex);
        g_free(waiter);
}

void waiter_answer(Waiter *waiter_taken, json_t *result_taken, GError *error_taken)
{
        g_mutex_lock(&waiter_taken->mutex);
        waiter_taken->answered = true;
        waiter_taken->result = result_taken;
        waiter_taken->error = error_taken;
        g_cond_signal(&waiter_taken->changed);
        g_mutex_unlock(&waiter_taken->mutex);
        waiter_unref(waiter_taken);
}

static void waiter_cancelled(GCancellable *cancellable, gpointer data)
{
        Waiter *waiter = data;
        g_mutex_lock(&waiter->mutex);
        waiter->cancelled = true;
        g_cond_signal(&waiter->changed);
        g_mutex_unlock(&waiter->mutex);
}

WaitEnd waiter_wait(Waiter *waiter, int64_t deadline_ms, GCancellable *cancellable)
{
        gulong handler =
            cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(waiter_cancelled), waiter, NULL) : 0;
        g_mutex_lock(&waiter->mutex);
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        while (!waiter->answered && !waiter->cancelled && left_ms > 0) {
                g_cond_wait_until(&waiter->changed, &waiter->mutex,
                                  g_get_monotonic_time() + MIN(left_ms, G_MAXINT32) * 1000);
                left_ms = deadline_ms - clock_monotonic_ms();
        }
        WaitEnd end = waiter->answered ? WAIT_ANSWERED : waiter->cancelled ? WAIT_CANCELLED : WAIT_LATE;
        g_mutex_unlock(&waiter->mutex);
        g_cancellable_disconnect(cancellable, handler);
        return end;
}

bool waiter_take(Waiter *waiter, json_t **ret_result, GError **error)
{
        g_mutex_lock(&waiter->mutex);
        json_t *result = g_steal_pointer(&waiter->result);
        GError *fault = g_steal_pointer(&waiter->error);
        g_mutex_unlock(&waiter->mutex);
        if (fault) {
                g_propagate_error(error, fault);
                return false;
        }
        if (ret_result)
                *ret_result = result;
        else
                json_decref(result);
        return true;
}

bool wait_ms(int64_t ms, GCancellable *cancellable, GError **error)
{
        g_autoptr(Waiter) waiter = waiter_new();
        waiter_unref(waiter); /* nobody will answer */
        if (waiter_wait(waiter, clock_monotonic_ms() + ms, cancellable) == WAIT_CANCELLED)
                return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "cancelled");
        return true;
}

bool ref_if_alive(gint *references)
{
        gint count = g_atomic_int_get(references);
        while (count > 0 && !g_atomic_int_compare_and_exchange(references, count, count + 1))
                count = g_atomic_int_get(references);
        return count > 0;
}

static gboolean alarm_dispatch(GSource *source, GSourceFunc func, gpointer data)
{
        g_source_set_ready_time(source, -1);
        return func(data);
}

GSource *alarm_new(GMainContext *context, GSourceFunc func, void *data)
{
        static const GSourceFuncs alarm_funcs = {.dispatch = alarm_dispatch};
        GSource *alarm = g_source_new((GSourceFuncs *)&alarm_funcs, sizeof(GSource));
        g_source_set_callback(alarm, func, data, NULL);
        g_source_attach(alarm, context);
        return alarm;
}

void alarm_set(GSource *alarm, int64_t deadline_ms)
{
        int64_t left_ms = MAX(deadline_ms - clock_monotonic_ms(), 0);
        bool never = deadline_ms == INT64_MAX;
        g_source_set_ready_time(alarm, never ? -1 : g_get_monotonic_time() + left_ms * 1000);
}
