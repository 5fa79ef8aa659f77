/* What clones are made of, for instant.c. */
#pragma once

#include "vm/manager.h"

/* @source less what must not be in two VMs, settled for the VM @id. */
Spec *clone_spec(const HostlerSpec *source, const char *id);
