/* Files in a VM's folder that nothing speaks of (strays.c says how they come to be there). */
#pragma once

#include "vm/manager.h"

/* Deletes them, each a step of @job, which has the VM's turn. */
bool strays_remove(Job *job, Vm *vm, GError **error);
/* At the daemon's start: the VMs of @vms (Vm *) that have some are tidied up, each in a job of its own. */
void strays_remove_soon(const GPtrArray *vms);
