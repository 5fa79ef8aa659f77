/*
 * Asks the kernel whether it has Open vSwitch's datapath. See datapath.h.
 *
 * Neither /proc/modules nor Open vSwitch itself would do: the module may not be loaded yet or be built in, and
 * ovs-vswitchd takes a bridge of any type and only logs that it cannot make it.
 */
#include "network/datapath.h"

#include <linux/genetlink.h>
#include <linux/openvswitch.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"

#define WAIT_S 5 /* the module may have to be loaded */

typedef struct {
        struct nlmsghdr header;
        struct genlmsghdr generic;
        struct nlattr attribute;
        char name[NLMSG_ALIGN(sizeof OVS_DATAPATH_FAMILY)];
} Question;

/* An answer that is no error is the family's description. */
static bool kernel_has_it(void)
{
        Question question = {
            .header = {.nlmsg_len = sizeof question, .nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST},
            .generic = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
            .attribute = {.nla_len = NLA_HDRLEN + sizeof OVS_DATAPATH_FAMILY, .nla_type = CTRL_ATTR_FAMILY_NAME},
            .name = OVS_DATAPATH_FAMILY};
        struct timeval limit = {.tv_sec = WAIT_S};
        autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
        _Alignas(struct nlmsghdr) char answer[4096];
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
            send(fd, &question, sizeof question, 0) < 0)
                return false;
        ssize_t length = recv(fd, answer, sizeof answer, 0);
        return length >= (ssize_t)sizeof(struct nlmsghdr) && ((struct nlmsghdr *)answer)->nlmsg_type == GENL_ID_CTRL;
}

const char *datapath_type(void)
{
        static gsize known;
        static const char *type;
        if (g_once_init_enter(&known)) {
                type = kernel_has_it() ? "system" : "netdev";
                g_once_init_leave(&known, 1);
        }
        return type;
}

bool datapath_takes_offloads(void)
{
        return strcmp(datapath_type(), "system") == 0;
}
