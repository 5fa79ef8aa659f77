/*
 * Making TAP devices. See tap.h; Linux: Documentation/networking/tuntap.rst.
 */
#include "network/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/file.h"

char *tap_name(const char *vm_id, const char *part)
{
        g_autofree char *text = g_strdup_printf("%s/%s", vm_id, part);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
        return g_strdup_printf("hst%.12s", hash);
}

static bool bring_up(const char *name, int mtu, GError **error)
{
        struct ifreq request = {0};
        autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "a socket for %s", name);
        g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
        request.ifr_mtu = mtu;
        if (ioctl(fd, SIOCSIFMTU, &request) < 0)
                return error_set_errno(error, errno, NULL, "give %s an MTU of %d", name, mtu);
        request.ifr_flags = IFF_UP;
        return ioctl(fd, SIOCSIFFLAGS, &request) == 0 || error_set_errno(error, errno, NULL, "switch %s on", name);
}

int tap_open(const char *name, int mtu, bool offloads, GError **error)
{
        struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (offloads ? IFF_VNET_HDR : 0))};
        autoclose int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
                error_set_errno(error, errno, NULL, "make the network device %s", name);
                return -1;
        }
        return bring_up(name, mtu, error) ? fd_steal(&fd) : -1;
}

void tap_resize(const char *name, int mtu)
{
        struct ifreq request = {0};
        autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
        if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) < 0 || request.ifr_mtu == mtu)
                return;
        request.ifr_mtu = mtu;
        if (ioctl(fd, SIOCSIFMTU, &request) < 0)
                g_warning("%s cannot have an MTU of %d: %s", name, mtu, g_strerror(errno));
}
