/* What the parts of a VM stand on, on the host: made before QEMU runs, given back after it. Job threads only. */
#pragma once

#include "vm/manager.h"

/* Makes what every part of the recorded run stands on. Again after a crash is fine. */
bool vm_acquire_parts(Vm *vm, GError **error);
/* Has what lives beside the running QEMU connect to it, where that has not happened. */
bool vm_connect_parts(Vm *vm, GError **error);
/* Ends what lives beside it for parts that the run does not have: an earlier daemon was killed as it took them away. */
void vm_end_strays(Vm *vm);
/* Gives it back, QEMU having ended. */
void vm_release_parts(Vm *vm);
/* The logs of the recorded run that the keeper is to keep, the console's first; of KeeperLog. g_array_unref. */
GArray *vm_logs(Vm *vm);
/* Programs that must run beside QEMU, of DeviceHelper. g_array_unref. */
GArray *vm_helpers(Vm *vm);
/*
 * The MAC address of an adapter that was given none: locally administered, unicast, always the same for this VM and
 * part. Caller frees.
 */
char *vm_new_mac(const char *vm_id, const char *part);
