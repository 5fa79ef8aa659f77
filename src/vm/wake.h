/* Waking a guest from S3 sleep. */
#pragma once

#include "vm/vm.h"

/* Jobs' threads only. True once the guest runs again; it may still be bringing its devices back. */
bool wake_guest(Qmp *qmp, GError **error);
