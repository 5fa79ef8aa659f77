/*
 * Plans: what QEMU must be told to have a device, as data.
 *
 * A step is one QMP command's arguments. The same steps become argv when QEMU is started (-object, -blockdev, -netdev,
 * -device take the very JSON of their QMP twins) and QMP calls when it runs; run backwards they unplug and roll back.
 * Values are never joined into option strings; the one exception, -chardev (QEMU 7.2 takes no JSON there), carries only
 * names and numbers made here.
 *
 * Pure but for plan_run and plan_unplug, which block on QMP and so belong on a job's thread.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "wire/qmp.h"

typedef enum {
        STEP_ARGUMENT, /* cold only: {"option": "-kernel", "value": "…"} */
        STEP_OBJECT,
        STEP_CHARDEV, /* as of QMP's chardev-add: {"id", "backend": {"type", "data"}} */
        STEP_BLOCKDEV,
        STEP_NETDEV,
        STEP_DEVICE
} StepKind;

typedef struct {
        StepKind kind;
        json_t *args; /* owned */
} Step;

typedef struct {
        GArray *steps; /* of Step */
} Plan;

Plan *plan_new(void);
void plan_free(Plan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)

void plan_add(Plan *plan, StepKind kind, json_t *args_taken);
/* An option with a plain value; @value NULL: the option stands alone. */
void plan_argument(Plan *plan, const char *option, const char *value);

/*
 * Character devices, the host ends of ports. Names are relative to QEMU's working directory VMDIR/run, never a user's.
 * A socket that listens (@log_fdset > 0: what passes is also written to that descriptor set), connects and comes back
 * after a second when the other end went, or attaches to a helper's, which must be there, once and for all; a ring of
 * @size bytes (a power of two) that ringbuf-read empties; a pseudo-terminal; a file that is appended to, by descriptor
 * set; nothing at all.
 */
void plan_chardev_listen(Plan *plan, const char *id, const char *path, int log_fdset);
void plan_chardev_connect(Plan *plan, const char *id, const char *path);
void plan_chardev_attach(Plan *plan, const char *id, const char *path);
void plan_chardev_ring(Plan *plan, const char *id, int64_t size_bytes);
void plan_chardev_pty(Plan *plan, const char *id);
void plan_chardev_log(Plan *plan, const char *id, int fdset);
void plan_chardev_null(Plan *plan, const char *id);

/* Appends QEMU arguments (g_malloc'ed strings) to @argv. */
void plan_to_argv(const Plan *plan, GPtrArray *argv);
/* Tells the running QEMU, step by step; on failure what was done is taken back. */
bool plan_run(const Plan *plan, Qmp *qmp, GError **error);
/* The same without waiting in between, of a QEMU that is ended when anything fails: nothing is taken back. */
bool plan_run_at_once(const Plan *plan, Qmp *qmp, GError **error);
/* Whether all its devices are in the running QEMU already. */
bool plan_is_there(const Plan *plan, Qmp *qmp);
/*
 * Takes the steps back, last first. A device is asked to go and then waited for until its id has left
 * /machine/peripheral (DEVICE_DELETED does not come for every device): HOSTLER_ERROR_TIMEOUT after @timeout_ms if the
 * guest keeps it; nothing behind it is removed then.
 */
bool plan_unplug(const Plan *plan, Qmp *qmp, int64_t timeout_ms, GError **error);
/* [{"step":"device","args":{…}}] for golden tests and dry runs. Owned by the caller. */
json_t *plan_to_json(const Plan *plan);
