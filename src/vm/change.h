/*
 * Changes of a spec, on disk and live: the one engine under `set`, `disk add`, `disk rm`.
 *
 * For each property that differs: live where QEMU can (the device's setter), else pending until the next start. Parts
 * that appear are plugged, parts that vanish are unplugged, volumes are made and grown. What was done live is recorded
 * in the runtime's `launched` spec at once, so that a change cut short by a crash can be run again.
 */
#pragma once

#include "vm/manager.h"

#define CHANGE_PATIENCE_MS 30000

typedef struct {
        int64_t expected;    /* generation, -1: any */
        int64_t patience_ms; /* how long the guest may take to let go of something */
        bool force;          /* what the guest uses goes all the same */
} ChangeOptions;
#define CHANGE_USUALLY (&(const ChangeOptions){.expected = -1, .patience_ms = CHANGE_PATIENCE_MS})

/*
 * Makes @wanted (consumed) the VM's spec. On a job's thread; the journal gets what must be undone. Each difference has
 * its row in @ret_changes (caller clears items and frees).
 */
bool change_spec(Job *job, Vm *vm, HostlerSpec *wanted_taken, const ChangeOptions *options,
                 HostlerPropertyChangeList *ret_changes, GError **error);
void change_list_clear(HostlerPropertyChangeList *changes);
/* Properties of @patch that had the wanted value already get a row too: the answer is about all that was asked. */
void change_list_add_unchanged(const HostlerSpec *spec, const json_t *patch, HostlerPropertyChangeList *rows);
/* Takes a part out of the running QEMU and its root port back; nothing to do is success. */
bool change_unplug(Vm *vm, const char *part, int64_t timeout_ms, GError **error);
