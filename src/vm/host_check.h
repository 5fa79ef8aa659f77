/* What a new spec asks of the host. */
#pragma once

#include "job/job.h"
#include "vm/manager.h"

/*
 * Looks at each part of the context's spec that is not as it is in @before (NULL: there was none): only an admin may
 * name files of the host (HOSTLER_ERROR_DENIED), and each kind's check_host() must find nothing wrong
 * (HOSTLER_ERROR_INVALID about @object, with all faults). On a job's thread.
 */
bool host_check(Job *job, const DeviceContext *context, const HostlerSpec *before, const char *object, GError **error);
