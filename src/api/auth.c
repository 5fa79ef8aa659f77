/*
 * Roles from peer credentials. The groups come from the socket too, so that no name service is asked (it may block) and
 * the answer is what the process had when it connected. It knows nothing of verbs; server.c and dispatch.c ask it.
 */
#include "api/auth.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/file.h"

Role auth_role(const AuthRule *rule, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups)
{
        if (uid == 0)
                return ROLE_ADMIN;
        if (!rule->system_mode)
                return uid == rule->owner ? ROLE_ADMIN : ROLE_NONE;
        if (rule->operators == AUTH_NO_GROUP)
                return ROLE_NONE;
        if (gid == rule->operators)
                return ROLE_OPERATOR;
        for (size_t i = 0; i < n_groups; i++)
                if (groups[i] == rule->operators)
                        return ROLE_OPERATOR;
        return ROLE_NONE;
}

/* The supplementary groups of the peer; empty when the kernel does not tell (then they give nobody a role). */
static GArray *peer_groups(int fd)
{
        GArray *groups = g_array_new(false, true, sizeof(gid_t));
        socklen_t length = 64 * sizeof(gid_t);

        g_array_set_size(groups, length / sizeof(gid_t));
        int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups->data, &length);
        if (result < 0 && errno == ERANGE) {
                g_array_set_size(groups, length / sizeof(gid_t));
                result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups->data, &length);
        }
        g_array_set_size(groups, result < 0 ? 0 : length / sizeof(gid_t));
        return groups;
}

bool auth_caller_of(int fd, const AuthRule *rule, Caller *ret_caller, GError **error)
{
        struct ucred peer = {.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
        socklen_t length = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.uid == (uid_t)-1)
                return error_set(error, HOSTLER_ERROR_DENIED, NULL, "cannot tell who is calling");
        g_autoptr(GArray) groups = peer_groups(fd);

        *ret_caller = (Caller){
            .uid = peer.uid,
            .gid = peer.gid,
            .pid = peer.pid,
            .role = auth_role(rule, peer.uid, peer.gid, (const gid_t *)groups->data, groups->len),
        };
        return true;
}

bool auth_check(const Caller *caller, Role needed, const char *what, GError **error)
{
        static const char *const names[] = {"nobody", "viewer", "operator", "admin"};

        if (caller->role != ROLE_NONE && caller->role >= needed)
                return true;
        error_set(error, HOSTLER_ERROR_DENIED, NULL,
                  "user %u may not use %s: it needs the role %s, and this user is %s", caller->uid, what, names[needed],
                  names[caller->role]);
        if (caller->role == ROLE_NONE)
                error_hint(error, "Ask for membership in the group `hostler`, or run your own session daemon.");
        return false;
}
