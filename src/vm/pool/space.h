/* What happens when a disk cannot grow because its pool is full: the guest stands still until there is space again. */
#pragma once

#include "vm/manager.h"

/* QEMU has stopped the guest at a write to @node, a disk's head (NULL: not known which). Tells of it. */
void space_ran_out(Vm *vm, const char *node);
/* The same of a QEMU that stood still before this daemon was there; asks it which disk it is. Blocks. */
void space_was_out(Vm *vm, Qmp *qmp);
/* Has a guest that waits for space go on if there is some. Looks at file systems but waits for no QEMU. */
void space_look(Vm *vm);
/* Tells of pools that have passed a mark of fullness. One thread only, which keeps calling; may block on a share. */
void space_look_at_pools(Manager *manager);
