/* Templates: VMs that are only there to be cloned. */
#pragma once

#include "vm/manager.h"

bool template_is(Vm *vm);
/* HOSTLER_ERROR_WRONG_STATE for a template; @what: "start", "change". */
bool template_check_not(Vm *vm, const char *what, GError **error);
