/*
 * Copies for another host as they arrive there: GRE and ERSPAN of each type, byte by byte. Called by test-switch.c.
 */
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/erspan.h"
#include "switch/rig.h"
#include "wire/openflow.h"

#define IP_HEADER 20
#define FRAME_BYTES 124 /* the rig's, with its tag */
#define SESSION 77
#define WAIT_MS 30000

/* A packet from GRE on; its length. */
static gsize receive(int fd, uint8_t *packet, gsize size)
{
        uint8_t bytes[2048];
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        g_assert_cmpint(poll(&poll_fd, 1, WAIT_MS), ==, 1);
        ssize_t length = recv(fd, bytes, sizeof bytes, 0);
        g_assert_cmpint(length, >, IP_HEADER);
        g_assert_cmpint(length - IP_HEADER, <=, size);
        memcpy(packet, bytes + IP_HEADER, (gsize)length - IP_HEADER);
        return (gsize)length - IP_HEADER;
}

static void check_frame(const uint8_t *frame)
{
        Mac to = rig_mac(2), from = rig_mac(1);
        g_assert_cmpmem(frame, 6, to.bytes, 6);
        g_assert_cmpmem(frame + 6, 6, from.bytes, 6);
        g_assert_cmphex(openflow_get(frame + 12, 4), ==, 0x8100000a); /* as the switch carries it: in VLAN 10 */
}

/* @cut: 0, or to how many bytes. */
static void check_packet(int type, guint32 sequence, int cut, const uint8_t *packet, gsize length)
{
        static const gsize headers[] = {0, 4, 16, 20};
        guint32 word = (guint32)(type - 1) << 28 | 10 << 16 | 3 << 11 | (cut ? 1 << 10 : 0) | SESSION;
        g_assert_cmpuint(length, ==, headers[type] + (gsize)(cut ? cut : FRAME_BYTES));
        g_assert_cmphex(openflow_get(packet, 4), ==, type == 1 ? 0x000088be : type == 2 ? 0x100088be : 0x100022eb);
        check_frame(packet + headers[type]);
        if (type == 1)
                return;
        g_assert_cmpuint(openflow_get(packet + 4, 4), ==, sequence);
        g_assert_cmphex(openflow_get(packet + 8, 4), ==, word);
        g_assert_cmphex(openflow_get(packet + (type == 2 ? 12 : 16), 4), ==, type == 2 ? 0 : 0x8000);
}

static void mirror_to_here(Rig *rig, int type, int cut)
{
        g_autofree char *snaplen = cut ? g_strdup_printf(", 'snaplen': %d", cut) : g_strdup("");
        g_autofree char *spec = g_strdup_printf("{'sources': ['rig.nic1'], 'destination': 'erspan:127.0.0.1', "
                                                "'erspan_type': %d, 'erspan_session': %d%s}",
                                                type, SESSION, snaplen);
        rig_mirror(rig, "watch", spec);
        g_assert_cmpstr(network_mirror_state(rig->network, "lan", "watch"), ==, "active");
}

void decode_erspan(Rig *rig)
{
        const RigFrame frame = {.from = rig_mac(1), .to = rig_mac(2), .kind = RIG_UDP, .address = 1};
        int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE);
        uint8_t packet[2048];
        g_assert_cmpint(fd, >=, 0);
        for (int type = 1; type <= 3; type++) {
                int cut = type == 3 ? 60 : 0;
                mirror_to_here(rig, type, cut);
                for (guint32 sequence = 0; sequence < 3; sequence++) {
                        rig_put(rig, 1, &frame);
                        check_packet(type, sequence, cut, packet, receive(fd, packet, sizeof packet));
                }
                rig_mirror(rig, "watch", NULL);
        }
        rig_put(rig, 1, &frame);
        g_autofree char *got = rig_send(rig, 1, &frame);
        g_assert_cmpstr(got, ==, "2");
        g_assert_cmpint(recv(fd, packet, sizeof packet, MSG_DONTWAIT), <, 0);
        close(fd);
}
