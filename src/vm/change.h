/*
 * Changes of a spec, on disk and live: the one engine under `set`, `disk add`, `disk rm`.
 *
 * For each property that differs: live where QEMU can (the device's setter), else pending until the next start. Parts
 * that appear are plugged, parts that vanish are unplugged, volumes are made and grown. What was done live is recorded
 * in the runtime's `launched` spec at once, so that a change cut short by a crash can be run again.
 */
#pragma once

#include "vm/manager.h"

#define CHANGE_UNPLUG_MS 30000

/*
 * Makes @wanted (consumed) the VM's spec. @expected: generation, -1 any. @unplug_ms: patience with the guest. On a
 * job's thread; the journal gets what must be undone. Each difference has its row in @ret_changes (caller clears items
 * and frees).
 */
bool change_spec(Job *job, Vm *vm, HostlerSpec *wanted_taken, int64_t expected, int64_t unplug_ms,
                 HostlerPropertyChangeList *ret_changes, GError **error);
void change_list_clear(HostlerPropertyChangeList *changes);
/* Takes a part out of the running QEMU and its root port back; nothing to do is success. */
bool change_unplug(Vm *vm, const char *part, int64_t timeout_ms, GError **error);
