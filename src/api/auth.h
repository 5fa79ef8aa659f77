/*
 * Who a caller is and what it may do, from the kernel's word alone (SO_PEERCRED and SO_PEERGROUPS, see unix(7)).
 *
 * Session mode: the daemon's own user and root are admins. System mode: root is admin, members of the operators' group
 * are operators. Everybody else has no role, and a caller without a role reaches nothing, not even unknown paths. Pure
 * but for the socket options; any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/declare.h"

#define AUTH_NO_GROUP ((gid_t)-1)

typedef struct {
        bool system_mode;
        uid_t owner;     /* session mode: whose daemon it is */
        gid_t operators; /* system mode: the group `hostler`, AUTH_NO_GROUP if there is none */
} AuthRule;

/* @gid: the caller's effective group; @groups: its supplementary ones. */
Role auth_role(const AuthRule *rule, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups);
/* Fills @ret_caller from the peer of the connected Unix socket @fd. HOSTLER_ERROR_DENIED if the kernel does not say who
 * it is. */
bool auth_caller_of(int fd, const AuthRule *rule, Caller *ret_caller, GError **error);
/* HOSTLER_ERROR_DENIED unless @caller has at least @needed; @what is the verb's id or the path, for the message. */
bool auth_check(const Caller *caller, Role needed, const char *what, GError **error);
