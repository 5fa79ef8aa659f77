/* The Manager struct, for manager.c and recover.c only. `lock` guards the tables. */
#pragma once

#include "vm/govern/foresee.h"
#include "vm/govern/govern.h"
#include "vm/warm/warm.h"

struct Manager {
        char *state_dir, *image_dir;
        Store *store; /* borrowed */
        EventLog *events;
        JobQueue *jobs;
        Network *network;
        int64_t started_ms;
        int kvm; /* -1: the probe is still at it */
        GCond kvm_known;
        GThread *recovery, *probe;
        gint jobs_ended;    /* atomic: the end of the daemon may go on */
        gint in_background; /* atomic: how many run */
        bool recovering;    /* until the main loop has told the end of the recovery; main thread only */
        GThread *scheduling;
        unsigned rounds;                     /* housekeeping.c, that thread only */
        guint hourly, state_check, schedule; /* housekeeping.c, main loop only */
        GThread *house;
        bool read_only;
        GThreadPool *silent;       /* adoptions that are tried again and again */
        GThreadPool *renewals;     /* VMs whose guests are to get identities of their own: identity.c */
        GCancellable *cancellable; /* of the recovery and the probe */

        Monitor *monitor;
        WarmPool *warm;
        Governor *governor;
        OutlookRounds outlook; /* the observer's */
        GThread *observer;     /* observe.c */
        GCond observe_end;

        unsigned pool_looks;    /* at how full they are; the observer's own */
        GHashTable *pool_marks; /* name → highest mark of fullness that was told of; the observer's own */

        GMutex lock;
        HostlerPoolConfigList pools;
        bool observed;     /* no more rounds */
        GHashTable *vms;   /* id → Vm (a reference) */
        GHashTable *names; /* name → Vm (borrowed), without the trash */
};

typedef struct {
        Manager *manager;
        GError *error;
} LoadRows;

/* housekeeping.c, main loop only. Starting it begins with a round. */
void housekeeping_start(Manager *manager);
void housekeeping_stop(Manager *manager);
/* observe.c, main loop only: the thread that measures. */
void observe_start(Manager *manager);
/* One round of it; without the thread on any. */
void observe_round(Manager *manager);
void observe_stop(Manager *manager);
/* Who asks for the jobs that the daemon gives itself. */
Caller manager_caller(void);
/*
 * Gives the daemon a job on @vm, with its turn. @args: of the verb; @key: so that it is asked for once, or NULL.
 * Nothing comes of it while the store cannot be written, or once the daemon's end has begun.
 */
void manager_ask(Vm *vm, const char *noun, const char *verb, const void *args, const char *key);
/* The same, and returns when the job has ended, however, or when the daemon's end has begun. Not on the main loop. */
void manager_have_done(Vm *vm, const char *noun, const char *verb, const void *args);
/* recover.c: what the row knows beyond the spec. */
void vm_load(Vm *vm, const VmRow *row);
/* recover.c: false while an adoption at daemon start is under way. */
bool vm_is_ready(Vm *vm, void *data);
/* adopt.c, main loop only. */
void vm_disconnect(Vm *vm);
