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
/* The logs that the keeper is to keep of @run (NULL: the recorded one), the console's first; of KeeperLog.
 * g_array_unref. */
GArray *vm_logs(Vm *vm, const HostlerVmRuntime *run);
/* Programs that must run beside QEMU, of DeviceHelper. g_array_unref. */
GArray *vm_helpers(Vm *vm);
/* A folder that a part shares, opened once: what QEMU and its helpers get is this one, wherever its path leads later.
 */
typedef struct {
        char *word; /* "@DIR:share0@", what arguments have in its place */
        int fd;
        bool is_port; /* of an adapter's device on a switch: arguments get its number */
} SharedFolder;
/* Of SharedFolder; g_array_unref closes them. NULL and error when one is not there or is not to be shared. */
GArray *vm_open_folders(Vm *vm, GError **error);
/* For good: what is kept on the host of the part @name, which has left the VM's spec; @known: one that has it. */
void vm_remove_part(Vm *vm, const HostlerSpec *known, const char *name);
/* The same for all parts of @known that @spec has not. */
void vm_remove_parts(Vm *vm, const HostlerSpec *known, const HostlerSpec *spec);
/* What is left open of a part is decided and written down, so that it never changes by itself later. */
void vm_settle_part(const char *vm_id, HostlerPart *part);
