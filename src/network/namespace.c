/*
 * Entering namespaces, and what is set in them. See namespace.h.
 *
 * Called by the network's thread, which lives in the switch's.
 */
#include "network/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define IP_MS 20000

int namespace_here(GError **error)
{
        int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                error_set_errno(error, errno, NULL, "this thread's network namespace");
        return fd;
}

int namespace_of(int pid)
{
        g_autofree char *path = g_strdup_printf("/proc/%d/ns/net", pid);
        return open(path, O_RDONLY | O_CLOEXEC);
}

bool namespace_enter(int fd, GError **error)
{
        return setns(fd, CLONE_NEWNET) == 0 || error_set_errno(error, errno, NULL, "enter a network namespace");
}

void namespace_return(int fd)
{
        if (setns(fd, CLONE_NEWNET) < 0)
                g_error("cannot return to the switches' network namespace: %s", g_strerror(errno));
}

void namespace_set(const char *path, const char *value)
{
        autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, value, strlen(value)) < 0)
                g_warning("%s cannot be set: %s", path, g_strerror(errno));
}

bool namespace_enter_new(GError **error)
{
        if (unshare(CLONE_NEWNET) < 0)
                return error_set_errno(error, errno, NULL, "make a network namespace");
        namespace_set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
        namespace_set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        return true;
}

bool namespace_ip(const char *lines, GError **error)
{
        const char *argv[] = {"ip", "-batch", "-", NULL};
        ProcessOptions options = {.argv = argv, .input = lines, .timeout_ms = IP_MS};
        return process_run(&options, NULL, error);
}

bool namespace_no_offloads(const char *device, GError **error)
{
        static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO};
        autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        for (gsize i = 0; fd >= 0 && i < G_N_ELEMENTS(commands); i++) {
                struct ethtool_value value = {.cmd = commands[i]};
                struct ifreq request = {.ifr_data = (void *)&value};
                g_strlcpy(request.ifr_name, device, sizeof request.ifr_name);
                /* Without checksums there is no cutting to size, and saying so again may be refused. */
                if (ioctl(fd, SIOCETHTOOL, &request) < 0 && i == 0)
                        return error_set_errno(error, errno, NULL, "switch the offloads of %s off", device);
        }
        return fd >= 0 || error_set_errno(error, errno, NULL, "a socket for %s", device);
}
