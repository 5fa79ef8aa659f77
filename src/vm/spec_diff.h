/* What differs between two specs. Pure, any thread. */
#pragma once

#include "base/record.h"

/* "cpu.count", "disk0.size" for changed properties, "nic1" for a part that only one of them has. NULL-terminated,
 * g_strfreev. */
char **spec_differences(const HostlerSpec *a, const HostlerSpec *b);
