/* Starting a VM as a part of another verb. Jobs' threads only. */
#pragma once

#include "vm/manager.h"

/*
 * What `start` and `resume` do: from its saved state where there is one, else cold. Commits the job. @run false: there
 * is a saved state, and the guest stays paused when it is loaded.
 */
bool power_start(Job *job, Vm *vm, bool run, GError **error);
/* Boots a VM whose run is recorded (prepare_run()); commits nothing. */
bool power_boot(Job *job, Vm *vm, GError **error);
/* QEMU's `cont`, and that the guest runs: one whose state came from elsewhere, or that has not run yet. */
bool power_let_run(Job *job, Vm *vm, GError **error);
