/*
 * A network with devices but no guests. See rig.h.
 *
 * A frame has arrived everywhere once one that was sent after it has, if both go the same way: the switch may know the
 * one by heart and have to think about the other, on a thread for each processor. So marks are for addresses that it
 * has never heard of, and all frames that are waited for are sent from one processor. Adapters 0 and 7 are for marks
 * alone. Each goes twice, because the first may overtake a frame that waits on another device.
 */
#include "switch/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "network/datapath.h"
#include "network/ovs.h"
#include "wire/ovsdb.h"

#define MARK_FROM 0
#define MARK_TO (RIG_ADAPTERS - 1)
#define MARK_WAIT_MS 30000
#define FIRST_MARK_MS 200
#define FIRST_MARKS 100
#define ORDER_MS 20000
#define FRAME_BYTES 120
#define LOT 32
#define TAG_BYTES 4
#define VM_ID "rig"

/* ---- the network ---- */

bool rig_is_possible(void)
{
        g_autoptr(GError) error = NULL;
        if (getuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
                g_test_skip("switches need root and /dev/net/tun");
                return false;
        }
        if (ovs_is_installed(&error))
                return true;
        g_test_skip(error->message);
        return false;
}

static json_t *object_of(const char *text)
{
        g_autofree char *json = g_strdelimit(g_strdup(text), "'", '"');
        json_t *object = json_loads(json, 0, NULL);
        g_assert_nonnull(object);
        return object;
}

static void wait_for_first_mark(Rig *rig);

static void clean_up(const char *folder)
{
        static const char *const keepers[] = {"switch", "db"};
        for (gsize i = 0; i < G_N_ELEMENTS(keepers); i++) {
                g_autofree char *path = g_build_filename(folder, "network", keepers[i], NULL);
                keeper_end(path);
        }
        dir_remove(folder, NULL);
}

/* Open vSwitch outlives who started it; should the test be aborted, a process that waits for its end cleans up. */
static void clean_up_at_end(const char *folder)
{
        int ends[2];
        g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
        pid_t child = fork();
        g_assert_cmpint(child, >=, 0);
        close(ends[child == 0 ? 1 : 0]);
        if (child > 0)
                return;
        char byte;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                close(fd);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
                ;
        clean_up(folder);
        _exit(0);
}

static void stay_on_this_processor(void)
{
        cpu_set_t set;
        int here = sched_getcpu();
        CPU_ZERO(&set);
        if (here >= 0)
                CPU_SET(here, &set);
        g_assert_cmpint(here < 0 ? 0 : sched_setaffinity(0, sizeof set, &set), ==, 0);
}

static void begin_network(Rig *rig)
{
        g_autofree char *folder = g_build_filename(rig->folder, "network", NULL);
        rig->network = network_new(folder, NULL);
        rig_switch(rig, "{}");
        rig_group(rig, "mark", "{'vlan': '4000'}");
        rig_adapter(rig, MARK_FROM, "mark", "{}");
        rig_adapter(rig, MARK_TO, "mark", "{'promiscuous': ['unicast'], 'promiscuous_when': 'always'}");
}

void rig_open(Rig *rig)
{
        rig->folder = g_dir_make_tmp("hostler-switch-XXXXXX", NULL);
        clean_up_at_end(rig->folder);
        for (int i = 0; i < RIG_ADAPTERS; i++)
                rig->fds[i] = -1;
        begin_network(rig);
        network_recovered(rig->network);
        stay_on_this_processor();
        rig_apply(rig);
        wait_for_first_mark(rig);
}

void rig_leave(Rig *rig)
{
        network_free(g_steal_pointer(&rig->network));
}

void rig_return(Rig *rig)
{
        begin_network(rig);
}

void rig_close(Rig *rig)
{
        g_autofree char *folder = g_build_filename(rig->folder, "network", NULL);
        for (int i = 0; i < RIG_ADAPTERS; i++)
                rig_unplug(rig, i);
        network_free(g_steal_pointer(&rig->network));
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        g_assert_true(dir_remove(rig->folder, NULL));
        g_free(rig->folder);
}

void rig_switch(Rig *rig, const char *policy)
{
        network_declare_switch(rig->network, "lan", object_of(policy));
}

void rig_group(Rig *rig, const char *group, const char *policy)
{
        network_declare_group(rig->network, "lan", group, object_of(policy));
}

void rig_mirror(Rig *rig, const char *name, const char *spec)
{
        network_declare_mirror(rig->network, "lan", name, spec ? object_of(spec) : NULL);
        rig_apply(rig);
}

/* What ovs-appctl(8) would print. Caller frees. */
char *rig_ask_switch(const Rig *rig, const char *command, json_t *arguments_taken)
{
        g_autofree char *path = g_build_filename(rig->folder, "network", "switch", "run", "switch.ctl", NULL);
        g_autoptr(GError) error = NULL;
        json_auto_t *answer = NULL;
        json_rpc_call(path, command, arguments_taken, ORDER_MS, &answer, &error);
        g_assert_no_error(error);
        return g_strdup(json_string_value(answer));
}

/*
 * Open vSwitch throws away what it has told the datapath, but for flows that it is looking at in this moment; those go
 * with the next look, which on a slow machine a frame can be ahead of. The second is the first that began afterwards.
 */
static void wait_for_looks(const Rig *rig)
{
        for (int i = 0; i < 2; i++)
                g_free(rig_ask_switch(rig, "revalidator/wait", json_array()));
}

void rig_apply(Rig *rig)
{
        g_autoptr(GError) error = NULL;
        network_apply(rig->network, &error);
        g_assert_no_error(error);
        if (datapath_takes_offloads())
                wait_for_looks(rig);
}

Mac rig_mac(int n)
{
        return (Mac){{0x02, 0, 0, 0, 0, n}};
}

void rig_adapter(Rig *rig, int n, const char *group, const char *policy)
{
        g_autoptr(GError) error = NULL;
        json_auto_t *own = object_of(policy);
        g_autofree char *part = g_strdup_printf("nic%d", n), *address = g_strdup_printf("10.9.0.%d", n);
        char *guard[] = {address, NULL};
        Adapter adapter = {.vm_id = VM_ID,
                           .part = part,
                           .switch_name = "lan",
                           .group = group,
                           .mac = rig_mac(n),
                           .policy = own,
                           .mtu = HOSTLER_UNSET,
                           .guard = guard,
                           .has_filter = !rig->dumb[n]};
        network_attach(rig->network, &adapter, rig->fds[n] < 0, &error);
        g_assert_no_error(error);
        if (rig->fds[n] < 0)
                rig->fds[n] = network_take_device(rig->network, VM_ID, part);
        g_assert_cmpint(rig->fds[n], >=, 0);
}

void rig_unplug(Rig *rig, int n)
{
        g_autofree char *part = g_strdup_printf("nic%d", n);
        network_detach(rig->network, VM_ID, part);
        fd_close(&rig->fds[n]);
        rig->fds[n] = -1;
}

/* ---- frames ---- */

static guint8 *put(guint8 *at, const void *bytes, gsize length)
{
        memcpy(at, bytes, length);
        return at + length;
}

static guint8 *put16(guint8 *at, guint value)
{
        guint16 number = htons(value);
        return put(at, &number, sizeof number);
}

static guint8 *put_ports(guint8 *at, guint from, guint to)
{
        return put16(put16(put16(put16(at, from), to), 60), 0);
}

/* 84 bytes in all: what follows is padding. No checksums: nobody looks at them. */
static void put_ipv4(guint8 *at, int protocol, int address, guint from, guint to)
{
        guint8 header[20] = {0x45, 0, 0, 84, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 9, 0, address, 10, 9, 0, 200};
        put_ports(put(put16(at, 0x0800), header, sizeof header), from, to);
}

static guint8 *put_ipv6(guint8 *at, int next, int address)
{
        guint8 header[40] = {0x60, 0, 0, 0, 0, 44, next, 255, 0xfd, [23] = address, [24] = 0xff, 2, [39] = 1};
        return put(put16(at, 0x86dd), header, sizeof header);
}

static void put_icmpv6(guint8 *at, int type, const RigFrame *frame)
{
        guint8 target[16] = {0xfd, [15] = frame->address}, head[8] = {type};
        at = put(put(put_ipv6(at, 58, frame->address), head, sizeof head), target, sizeof target);
        put(put16(at, 0x0201), frame->from.bytes, 6); /* the target's link-layer address */
}

static void put_arp(guint8 *at, const RigFrame *frame)
{
        guint8 ip[] = {10, 9, 0, frame->address}, head[] = {0, 1, 8, 0, 6, 4, 0, 1};
        put(put(put(put16(at, 0x0806), head, sizeof head), frame->from.bytes, 6), ip, sizeof ip);
}

static void put_payload(guint8 *at, const RigFrame *frame)
{
        switch (frame->kind) {
        case RIG_TCP:
                put_ipv4(at, 6, frame->address, 1000, 22);
                return;
        case RIG_UDP:
                put_ipv4(at, 17, frame->address, 1000, 53);
                return;
        case RIG_DHCP_OFFER:
                put_ipv4(at, 17, frame->address, 67, 68);
                return;
        case RIG_TCP6:
                put_ports(put_ipv6(at, 6, frame->address), 1000, 22);
                return;
        case RIG_UDP6:
                put_ports(put_ipv6(at, 17, frame->address), 1000, 53);
                return;
        case RIG_RA:
                put_icmpv6(at, 134, frame);
                return;
        case RIG_NA:
                put_icmpv6(at, 136, frame);
                return;
        case RIG_ARP:
                put_arp(at, frame);
                return;
        case RIG_PLAIN:
                break;
        }
        put16(at, 0x88b5);
}

/* Its last bytes are @serial. */
static gsize make_frame(const RigFrame *frame, guint32 serial, guint8 *bytes)
{
        gsize length = FRAME_BYTES + (frame->tag ? TAG_BYTES : 0);
        memset(bytes, 0, length);
        guint8 *at = put(put(bytes, frame->to.bytes, 6), frame->from.bytes, 6);
        if (frame->tag)
                at = put16(put16(at, 0x8100), frame->tag);
        put_payload(at, frame);
        memcpy(bytes + length - sizeof serial, &serial, sizeof serial);
        return length;
}

/* What is said before each frame of what is yet to be done with it, where that is carried: nothing. */
static gsize offload_bytes(void)
{
        return datapath_takes_offloads() ? sizeof(struct virtio_net_hdr) : 0;
}

guint32 rig_put(Rig *rig, int n, const RigFrame *frame)
{
        static guint32 last_serial;
        guint8 bytes[sizeof(struct virtio_net_hdr) + FRAME_BYTES + TAG_BYTES] = {0};
        guint32 serial = ++last_serial;
        gsize length = offload_bytes() + make_frame(frame, serial, bytes + offload_bytes());
        g_assert_cmpint(write(rig->fds[n], bytes, length), ==, length);
        return serial;
}

/* The next frame that reaches adapter @n, of which @bytes has room for 2048; -1: there is none. */
static ssize_t read_frame(const Rig *rig, int n, guint8 *bytes)
{
        struct virtio_net_hdr offloads;
        struct iovec parts[] = {{&offloads, offload_bytes()}, {bytes, 2048}};
        ssize_t length = rig->fds[n] < 0 ? -1 : readv(rig->fds[n], parts, G_N_ELEMENTS(parts));
        return length < 0 ? -1 : length - (ssize_t)offload_bytes();
}

bool rig_get(Rig *rig, int n, guint32 *ret_serial, int *ret_tag)
{
        guint8 bytes[2048];
        ssize_t length = read_frame(rig, n, bytes);
        if (length < FRAME_BYTES)
                return false;
        *ret_tag = bytes[12] == 0x81 && bytes[13] == 0 ? (bytes[14] & 0x0f) << 8 | bytes[15] : 0;
        memcpy(ret_serial, bytes + length - sizeof *ret_serial, sizeof *ret_serial);
        return true;
}

/* Whether it arrives within @wait_ms. */
static bool try_mark(Rig *rig, int wait_ms)
{
        static guint32 mark;
        RigFrame frame = {.from = rig_mac(MARK_FROM), .to = {{0x02, 0xee}}, .kind = RIG_PLAIN};
        mark++;
        memcpy(frame.to.bytes + 2, &mark, sizeof mark);
        guint32 serial = rig_put(rig, MARK_FROM, &frame), seen = 0;
        while (seen != serial) {
                struct pollfd poll_fd = {.fd = rig->fds[MARK_TO], .events = POLLIN};
                int tag;
                if (poll(&poll_fd, 1, wait_ms) != 1)
                        return false;
                rig_get(rig, MARK_TO, &seen, &tag);
        }
        return true;
}

static void settle(Rig *rig)
{
        g_assert_true(try_mark(rig, MARK_WAIT_MS));
        g_assert_true(try_mark(rig, MARK_WAIT_MS));
}

/* The kernel loses frames while Open vSwitch is about to listen for those that it does not know. */
static void wait_for_first_mark(Rig *rig)
{
        for (int i = 0; i < FIRST_MARKS; i++)
                if (try_mark(rig, FIRST_MARK_MS))
                        return;
        g_assert_not_reached();
}

char *rig_send(Rig *rig, int n, const RigFrame *frame)
{
        GString *text = g_string_new(NULL);
        guint32 serial = rig_put(rig, n, frame), seen;
        int tag;
        settle(rig);
        for (int i = 0; i < RIG_ADAPTERS; i++) {
                while (rig_get(rig, i, &seen, &tag)) {
                        if (seen != serial)
                                continue;
                        g_string_append_printf(text, "%s%d", text->len ? " " : "", i);
                        if (tag)
                                g_string_append_printf(text, ":%d", tag);
                }
        }
        return g_string_free(text, FALSE);
}

int rig_length(Rig *rig, int n, int to, const RigFrame *frame)
{
        guint8 bytes[2048];
        guint32 seen;
        int tag;
        while (rig_get(rig, to, &seen, &tag))
                ;
        rig_put(rig, n, frame);
        settle(rig);
        ssize_t length = read_frame(rig, to, bytes);
        return length > 0 ? (int)length : 0;
}

/* A device keeps some hundred frames for its reader, so they go in small lots. */
int rig_flood(Rig *rig, int n, int to, const RigFrame *frame, int count)
{
        guint32 first = 0, last = 0, seen;
        int arrived = 0, tag;
        for (int i = 0; i < count; i++) {
                last = rig_put(rig, n, frame);
                first = first ? first : last;
                if (i % LOT != LOT - 1 && i != count - 1)
                        continue;
                settle(rig);
                for (int k = 0; k < RIG_ADAPTERS; k++)
                        while (rig_get(rig, k, &seen, &tag))
                                arrived += k == to && seen >= first && seen <= last;
        }
        return arrived;
}
