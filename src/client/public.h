/* Between <hostler.h>'s types and ours. */
#pragma once

#include "client/client.h"

/* Fills *@error (may be NULL) from @failure_taken. Returns false. */
bool public_error(GError *failure_taken, HostlerError *error);
/* @options may be NULL. Borrows its strings. */
ClientOptions public_options(const HostlerCallOptions *options);
