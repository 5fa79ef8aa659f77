/* Before and after QEMU is started: is there room, are the files there, what only a started QEMU can be told. Jobs'
 * threads only. */
#pragma once

#include "vm/manager.h"

/* HOSTLER_ERROR_NO_CAPACITY when memory or disk would not do, before QEMU is run. */
bool prepare_capacity(Job *job, Vm *vm, GError **error);
/* Capacity, the spec checked against this host, the seed written, ports given out; the run is recorded as the one to
 * launch. */
bool prepare_run(Job *job, Vm *vm, GError **error);
/* What a run of @spec begun now would be, nothing of it recorded. Clear with hostler_vm_runtime_type. */
void prepare_describe(Vm *vm, const HostlerSpec *spec, HostlerVmRuntime *ret_run);
/* Writes the cloud-init seed, if its spec has one. */
bool prepare_seed(Vm *vm, GError **error);
bool prepare_launched(Vm *vm, GError **error);
