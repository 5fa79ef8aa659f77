/*
 * Whether the programs beside a VM's QEMU (a TPM's, a shared folder's) still run: they are children of its keeper,
 * which the kernel lists. Main loop only, called by watch.c with each heartbeat; a VM without such programs costs
 * nothing.
 */
#include <stdlib.h>

#include "base/file.h"
#include "base/keeper_launch.h"
#include "vm/parts.h"
#include "vm/vm_internal.h"

#define CHILDREN_MAX_BYTES 4096

/* -1: nobody can tell, the keeper being gone. */
static int count_children(pid_t pid)
{
        g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", pid, pid);
        g_autofree char *text = file_read(path, CHILDREN_MAX_BYTES, NULL, NULL);
        int count = 0;
        for (char *at = text, *end; at && strtol(at, &end, 10) > 0; at = end)
                count++;
        return text ? count : -1;
}

int watch_helpers_expected(Vm *vm)
{
        g_autoptr(GArray) helpers = vm_helpers(vm);
        return (int)helpers->len;
}

void watch_helpers_check(Vm *vm, int expected)
{
        ProcessId keeper;
        if (expected == 0 || !keeper_read(vm_dir(vm), &keeper, NULL, NULL) || !process_id_alive(&keeper))
                return;
        int children = count_children(keeper.pid);
        /* QEMU is one of them. */
        if (children > 0 && children < 1 + expected)
                vm_set_condition(vm, "helper-ended",
                                 "a program beside QEMU has ended; what it served is back at the next start of the VM");
}
