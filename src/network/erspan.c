/*
 * Frames in, GRE packets out. See erspan.h; GRE with numbers is RFC 2890, type I has neither number nor header.
 *
 * Open vSwitch's own ERSPAN ports would need an underlay inside its network namespace, with a route, a neighbour table
 * and somebody who forwards to the host. Here it is the host's own stack that finds the way.
 */
#include "network/erspan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

#define GRE_HAS_SEQUENCE 0x1000
#define PROTOCOL_I_II 0x88be
#define PROTOCOL_III 0x22eb
#define TAG_TYPE 0x8100
#define TAG_KEPT 3 /* the frame has its 802.1Q tag */
#define TICK_US 100
#define IS_ETHERNET 0x8000
#define FRAME_MAX 65536
#define LOT 64
#define PACKET_ROOM 32768

struct Erspan {
        ErspanOptions options;
        int fd, socket, stop_fd;
        uint32_t sequence;
        gint blocked; /* atomic */
        GThread *thread;
};

/* ---- headers ---- */

static uint8_t *put(uint8_t *at, uint32_t value, int bytes)
{
        for (int i = bytes; i-- > 0;)
                *at++ = (uint8_t)(value >> (8 * i));
        return at;
}

/* Version, VLAN, its class of service, whether the tag is there, whether the frame was cut, session. */
static uint32_t first_word(const ErspanOptions *options, const uint8_t *frame, gsize length)
{
        bool tagged = length >= 16 && frame[12] == TAG_TYPE >> 8 && frame[13] == (TAG_TYPE & 0xff);
        uint32_t tag = tagged ? (uint32_t)frame[14] << 8 | frame[15] : 0;
        uint32_t cut = options->snaplen > 0 && length >= (gsize)options->snaplen;
        uint32_t version = options->type - 1;
        return version << 28 | (tag & 0xfff) << 16 | tag >> 13 << 13 | (tagged ? TAG_KEPT : 0) << 11 | cut << 10 |
               (uint32_t)options->session;
}

gsize erspan_header(const ErspanOptions *options, const uint8_t *frame, gsize length, uint32_t sequence, int64_t now_us,
                    uint8_t ret_header[ERSPAN_HEADER_MAX])
{
        uint8_t *at = put(ret_header, options->type == 1 ? 0 : GRE_HAS_SEQUENCE, 2);
        at = put(at, options->type == 3 ? PROTOCOL_III : PROTOCOL_I_II, 2);
        if (options->type == 1)
                return (gsize)(at - ret_header);
        at = put(put(at, sequence, 4), first_word(options, frame, length), 4);
        if (options->type == 2)
                return (gsize)(put(at, 0, 4) - ret_header); /* no index: a mirror has many ports */
        return (gsize)(put(put(at, (uint32_t)(now_us / TICK_US), 4), IS_ETHERNET, 4) - ret_header);
}

/* ---- the thread ---- */

static void send_copy(Erspan *erspan, uint8_t *frame, gsize length)
{
        uint8_t header[ERSPAN_HEADER_MAX];
        gsize header_length =
            erspan_header(&erspan->options, frame, length, erspan->sequence++, clock_monotonic_ms() * 1000, header);
        struct iovec parts[] = {{header, header_length}, {frame, length}};
        bool sent = writev(erspan->socket, parts, G_N_ELEMENTS(parts)) >= 0;
        if (sent || errno != ENOBUFS)
                g_atomic_int_set(&erspan->blocked, !sent);
}

static gpointer run(gpointer data)
{
        Erspan *erspan = data;
        g_autofree uint8_t *frame = g_malloc(FRAME_MAX);
        struct pollfd polls[] = {{.fd = erspan->stop_fd, .events = POLLIN}, {.fd = erspan->fd, .events = POLLIN}};
        while (poll(polls, G_N_ELEMENTS(polls), -1) >= 0 || errno == EINTR) {
                /* A device that is gone says so for ever: its mirror is about to go as well. */
                if (polls[0].revents || (polls[1].revents & (POLLERR | POLLNVAL)))
                        break;
                for (int i = 0; i < LOT; i++) {
                        ssize_t length = read(erspan->fd, frame, FRAME_MAX);
                        if (length <= 0)
                                break;
                        send_copy(erspan, frame, (gsize)length);
                }
        }
        return NULL;
}

/* ---- life ---- */

/* What comes back is nobody's: it has next to no room. Copies of large frames go in pieces. */
static int open_socket(const ErspanOptions *options, GError **error)
{
        struct sockaddr_in address = {.sin_family = AF_INET};
        int small = 1, large = PACKET_ROOM * LOT, pieces = IP_PMTUDISC_DONT;
        autoclose int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
        memcpy(&address.sin_addr, options->to, sizeof options->to);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large) < 0 ||
            setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &pieces, sizeof pieces) < 0 ||
            connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
                error_set_errno(error, errno, NULL, "a socket for copies to another host");
                return -1;
        }
        return fd_steal(&fd);
}

Erspan *erspan_new(int fd_taken, const ErspanOptions *options, GError **error)
{
        autoclose int fd = fd_taken;
        int socket = open_socket(options, error);
        if (socket < 0)
                return NULL;
        Erspan *erspan = g_new0(Erspan, 1);
        *erspan = (Erspan){.options = *options,
                           .fd = fd_steal(&fd),
                           .socket = socket,
                           .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        erspan->thread = g_thread_new("erspan", run, erspan);
        return erspan;
}

void erspan_free(Erspan *erspan)
{
        uint64_t one = 1;
        if (write(erspan->stop_fd, &one, sizeof one) < 0)
                g_warning("a thread of copies cannot be stopped");
        g_thread_join(erspan->thread);
        fd_close(&erspan->fd);
        fd_close(&erspan->socket);
        fd_close(&erspan->stop_fd);
        g_free(erspan);
}

bool erspan_reaches(const Erspan *erspan)
{
        return !g_atomic_int_get(&erspan->blocked);
}
