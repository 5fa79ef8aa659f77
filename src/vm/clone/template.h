/* Templates: VMs that are only there to be cloned. */
#pragma once

#include "vm/manager.h"

bool template_is(Vm *vm);
bool template_mark(Vm *vm, bool on, GError **error);
/* Every disk is known as layers from now on, so that clones can stand on them. */
bool template_write_layers(Vm *vm, GError **error);
/* HOSTLER_ERROR_WRONG_STATE for a template; @what: "start", "change". */
bool template_check_not(Vm *vm, const char *what, GError **error);
