/*
 * Packets with something left undone, as a guest's virtio adapter hands them over: a segment of TCP larger than a
 * frame, without its checksum. Called by test-switch.c. Linux: Documentation/networking/checksum-offloads.rst,
 * segmentation-offloads.rst; virtio 1.2, 5.1.6.
 */
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "switch/rig.h"

#define ETHERNET 14
#define HEADERS (ETHERNET + 20 + 20)
#define TCP (ETHERNET + 20)
#define CHECKSUM 16 /* within TCP's header */
#define SEGMENT 1000
#define SEGMENTS 3
#define WAIT_MS 10000

typedef struct {
        struct virtio_net_hdr undone;
        guint8 bytes[HEADERS + SEGMENTS * SEGMENT];
} __attribute__((packed)) Packet;

static guint32 add_up(const guint8 *bytes, gsize length, guint32 sum)
{
        for (gsize i = 0; i < length; i++)
                sum += (guint32)bytes[i] << (i % 2 ? 0 : 8);
        return sum;
}

static guint fold(guint32 sum)
{
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return sum;
}

/* RFC 9293, 3.1: what TCP's checksum also covers of the packet below. */
static guint32 pseudo_header(const guint8 *bytes, gsize tcp_length)
{
        return add_up(bytes + ETHERNET + 12, 8, IPPROTO_TCP + (guint32)tcp_length);
}

static void put16(guint8 *at, guint value)
{
        at[0] = value >> 8;
        at[1] = value & 0xff;
}

static void make(Packet *packet)
{
        Mac to = rig_mac(2), from = rig_mac(1);
        guint8 *bytes = packet->bytes, *ip = bytes + ETHERNET;
        gsize tcp_length = 20 + SEGMENTS * SEGMENT;
        *packet = (Packet){.undone = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                      .hdr_len = HEADERS,
                                      .gso_size = SEGMENT,
                                      .csum_start = TCP,
                                      .csum_offset = CHECKSUM}};
        memset(bytes + HEADERS, 'x', SEGMENTS * SEGMENT);
        memcpy(bytes, to.bytes, 6);
        memcpy(bytes + 6, from.bytes, 6);
        put16(bytes + 12, 0x0800);
        memcpy(ip, (guint8[20]){0x45, [6] = 0x40, [8] = 64, IPPROTO_TCP, [12] = 10, 9, 0, 1, 10, 9, 0, 2}, 20);
        put16(ip + 2, 20 + tcp_length);
        put16(ip + 10, ~fold(add_up(ip, 20, 0)) & 0xffff);
        memcpy(bytes + TCP, (guint8[14]){0, 80, 0, 80, [12] = 0x50, 0x10}, 14);
        put16(bytes + TCP + CHECKSUM, fold(pseudo_header(bytes, tcp_length)));
}

static gsize next_packet(Rig *rig, Packet *packet)
{
        struct pollfd poll_fd = {.fd = rig->fds[2], .events = POLLIN};
        g_assert_cmpint(poll(&poll_fd, 1, WAIT_MS), ==, 1);
        ssize_t length = read(rig->fds[2], packet, sizeof *packet);
        g_assert_cmpint(length, >, sizeof packet->undone + HEADERS);
        return (gsize)length - sizeof packet->undone;
}

static void check_whole_frames(Rig *rig)
{
        Packet packet;
        for (int i = 0; i < SEGMENTS; i++) {
                gsize length = next_packet(rig, &packet), tcp_length = length - TCP;
                g_assert_cmpuint(length, ==, HEADERS + SEGMENT);
                g_assert_cmpint(packet.undone.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, ==, 0);
                g_assert_cmphex(fold(add_up(packet.bytes + TCP, tcp_length, pseudo_header(packet.bytes, tcp_length))),
                                ==, 0xffff);
        }
}

void finish_offloads(Rig *rig)
{
        Packet sent, packet;
        make(&sent);
        g_assert_cmpint(write(rig->fds[1], &sent, sizeof sent), ==, sizeof sent);
        check_whole_frames(rig);
        /* As QEMU says when the guest's driver has agreed. */
        g_assert_cmpint(ioctl(rig->fds[2], TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4), ==, 0);
        g_assert_cmpint(write(rig->fds[1], &sent, sizeof sent), ==, sizeof sent);
        g_assert_cmpuint(next_packet(rig, &packet), ==, sizeof packet.bytes);
        g_assert_cmpint(packet.undone.gso_type, ==, VIRTIO_NET_HDR_GSO_TCPV4);
        g_assert_cmpint(packet.undone.gso_size, ==, SEGMENT);
        g_assert_cmpint(ioctl(rig->fds[2], TUNSETOFFLOAD, 0), ==, 0);
}
