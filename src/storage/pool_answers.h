/*
 * Whether a folder's file system answers at all. One whose server is gone lets whoever looks at it wait for ever, and
 * nobody can be called back from that.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/statvfs.h>

/*
 * statvfs() of @folder, in a thread of its own that is left behind when it is not back in time. As long as it is not,
 * the same question is answered at once. HOSTLER_ERROR_UNRESPONSIVE; what statvfs() says is HOSTLER_ERROR_FAILED. Any
 * thread.
 */
bool pool_answers(const char *folder, struct statvfs *ret_space, GError **error);
