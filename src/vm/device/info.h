/* What is to be said of a VM's devices. */
#pragma once

#include "vm/manager.h"

/*
 * All parts that are hardware (@only, an object: those of its keys), in the spec's order, those of the running QEMU
 * that the spec no longer has at the end. Asks QEMU for addresses and the guest's agent, where there is one, for its
 * view; blocks up to some seconds, so not on the main loop. The caller clears the list.
 */
void device_info_list(Vm *vm, const json_t *only, HostlerDeviceInfoList *ret_list);
/* A part of @spec that is hardware; NULL and HOSTLER_ERROR_NOT_FOUND when it has none of that name. verbs.c */
const HostlerPart *device_part(Vm *vm, const HostlerSpec *spec, const char *name, GError **error);
