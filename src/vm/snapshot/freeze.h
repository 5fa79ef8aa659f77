/*
 * Freezing a guest's file systems through its agent, and that they thaw whatever happens. It is written down before the
 * guest is asked, so whoever comes later knows: the job's undo, the next daemon, or the watch, which tries for as long
 * as the guest runs.
 */
#pragma once

#include "vm/manager.h"

/* Job threads; blocks. Whether they are frozen now; false when there is no agent, or it cannot. guest_thaw() ends it.
 */
bool guest_freeze(Vm *vm, GCancellable *cancellable);
/* Blocks. Nothing to be done for a guest that nobody froze. */
void guest_thaw(Vm *vm);
/* Main loop: the agent is there. Thaws, on a thread, what no job is about to thaw. */
void guest_thaw_if_left(Vm *vm);
