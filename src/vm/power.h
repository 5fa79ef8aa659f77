/* Starting a VM as a part of another verb. Jobs' threads only. */
#pragma once

#include "vm/manager.h"

/* What `start` and `resume` do: from its saved state where there is one, else cold. Commits the job. */
bool power_start(Job *job, Vm *vm, GError **error);
