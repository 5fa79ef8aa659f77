/*
 * Signals, taken by a thread. Called by main.c; armed by what waits: jobs, consoles, streams.
 */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "cli/terminal.h"

struct Interrupt {
        GCancellable *cancellable;
        sigset_t signals;
        gint armed, signal;
};

static gpointer watch(gpointer data);

Interrupt *interrupt_new(void)
{
        Interrupt *interrupt = g_new0(Interrupt, 1);

        interrupt->cancellable = g_cancellable_new();
        sigemptyset(&interrupt->signals);
        sigaddset(&interrupt->signals, SIGINT);
        sigaddset(&interrupt->signals, SIGTERM);
        sigaddset(&interrupt->signals, SIGHUP);
        pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
        g_thread_unref(g_thread_new("signals", watch, interrupt));
        return interrupt;
}

GCancellable *interrupt_arm(Interrupt *interrupt)
{
        g_atomic_int_set(&interrupt->armed, 1);
        return interrupt->cancellable;
}

void interrupt_disarm(Interrupt *interrupt)
{
        g_atomic_int_set(&interrupt->armed, 0);
}

int interrupt_signal(Interrupt *interrupt)
{
        return g_atomic_int_get(&interrupt->signal);
}

static void end_by(const Interrupt *interrupt, int signal_number)
{
        terminal_restore();
        signal(signal_number, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
        raise(signal_number);
}

static gpointer watch(gpointer data)
{
        Interrupt *interrupt = data;
        int signal_number;

        while (sigwait(&interrupt->signals, &signal_number) == 0) {
                if (!g_atomic_int_get(&interrupt->armed) || g_cancellable_is_cancelled(interrupt->cancellable))
                        end_by(interrupt, signal_number);
                g_atomic_int_set(&interrupt->signal, signal_number);
                g_cancellable_cancel(interrupt->cancellable);
        }
        return NULL;
}
