/* What is to be said of snapshots. */
#pragma once

#include "vm/manager.h"

/* All of a VM's, each below the one it came after. The caller clears the list. */
void snapshot_info_list(Vm *vm, HostlerSnapshotInfoList *ret_list);
/* One of them; an empty one when it is not there (a dry run). Always true. */
bool snapshot_info(Vm *vm, const char *name, HostlerSnapshotInfo *ret_info);
