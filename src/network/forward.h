/*
 * Whether the host forwards packets: it does while a router with NAT is there, and then does again what it did before.
 * Linux: networking/ip-sysctl. Both block, and are called in the host's network namespace.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Has it forward IPv4, and with @v6 IPv6; @path: file that says what was otherwise before, while that is so. */
bool forward_begin(const char *path, bool v6, GError **error);
/* Puts back what was otherwise, if that was since the host was started. */
void forward_end(const char *path);
/* IPv6 can be had at all; else HOSTLER_ERROR_UNSUPPORTED. */
bool forward_has_v6(GError **error);
