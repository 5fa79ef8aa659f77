/*
 * The conversation with an OpenFlow switch: hello, bundles, meters, counters. See openflow.h.
 *
 * Knows the protocol, and nothing of what flows are for. Called by src/network on its thread.
 */
#include "wire/openflow.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "wire/json_stream.h"

#define READ_BYTES 65536
#define MULTIPART_FLOW 1
#define MULTIPART_PORT 4
#define MULTIPART_MORE 1
#define MULTIPART_BODY 16
#define FLOW_ENTRY_BYTES 48 /* up to the match */
#define PORT_ENTRY_BYTES 80 /* up to the properties */

struct OpenFlow {
        int fd;
        int64_t timeout_ms;
        uint32_t xid;
        GByteArray *in;
        bool broken;
};

/* A whole message, borrowed. */
typedef struct {
        unsigned type;
        uint32_t xid;
        const uint8_t *body;
        guint length; /* of the body */
} Message;

/* True: the conversation goes on. False with an error, or without: it has come to its end. */
typedef bool (*HeardFunc)(const Message *message, void *data, GError **error);

static bool broken(OpenFlow *openflow, GError **error, HostlerErrorCode code, const char *why)
{
        openflow->broken = true;
        return error_set(error, code, NULL, "the switch's OpenFlow connection: %s", why);
}

/* ---- bytes ---- */

static bool read_some(OpenFlow *openflow, GError **error)
{
        uint8_t bytes[READ_BYTES];
        ssize_t count = recv(openflow->fd, bytes, sizeof bytes, 0);
        if (count > 0)
                g_byte_array_append(openflow->in, bytes, count);
        if (count == 0)
                return broken(openflow, error, HOSTLER_ERROR_FAILED, "it was closed");
        if (count < 0 && errno != EAGAIN && errno != EINTR)
                return broken(openflow, error, HOSTLER_ERROR_FAILED, g_strerror(errno));
        return true;
}

static bool write_some(OpenFlow *openflow, const GByteArray *out, guint *at, GError **error)
{
        ssize_t count = send(openflow->fd, out->data + *at, out->len - *at, MSG_NOSIGNAL);
        if (count > 0)
                *at += count;
        return count >= 0 || errno == EAGAIN || errno == EINTR ||
               broken(openflow, error, HOSTLER_ERROR_FAILED, g_strerror(errno));
}

/* Reads, and writes what is left of @out, whichever can be done. */
static bool move_bytes(OpenFlow *openflow, const GByteArray *out, guint *at, int64_t deadline_ms, GError **error)
{
        struct pollfd poll_fd = {.fd = openflow->fd, .events = POLLIN | (*at < out->len ? POLLOUT : 0)};
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0 || poll(&poll_fd, 1, (int)left_ms) == 0)
                return broken(openflow, error, HOSTLER_ERROR_UNRESPONSIVE, "no answer in time");
        if ((poll_fd.revents & POLLOUT) && !write_some(openflow, out, at, error))
                return false;
        return !(poll_fd.revents & (POLLIN | POLLHUP | POLLERR)) || read_some(openflow, error);
}

/* The first whole message in the buffer; *@ret_length is 0 when there is none yet. */
static bool first_message(OpenFlow *openflow, Message *ret_message, guint *ret_length, GError **error)
{
        const uint8_t *bytes = openflow->in->data;
        *ret_length = 0;
        if (openflow->in->len < OPENFLOW_HEADER)
                return true;
        guint length = openflow_get(bytes + 2, 2);
        if (length < OPENFLOW_HEADER)
                return broken(openflow, error, HOSTLER_ERROR_FAILED, "a message is shorter than its header");
        if (openflow->in->len < length)
                return true;
        *ret_message = (Message){.type = bytes[1],
                                 .xid = openflow_get(bytes + 4, 4),
                                 .body = bytes + OPENFLOW_HEADER,
                                 .length = length - OPENFLOW_HEADER};
        if (bytes[0] != OPENFLOW_VERSION && ret_message->type != OPENFLOW_HELLO && ret_message->type != OPENFLOW_ERROR)
                return broken(openflow, error, HOSTLER_ERROR_FAILED, "a message of another version");
        *ret_length = length;
        return true;
}

static void answer_echo(const Message *message, GByteArray *out)
{
        guint at = openflow_begin(out, OPENFLOW_ECHO_REPLY, message->xid);
        g_byte_array_append(out, message->body, message->length);
        openflow_end(out, at);
}

/* Sends @out (grows by answers to echoes) and hears until @heard has had enough. */
static bool talk(OpenFlow *openflow, GByteArray *out, HeardFunc heard, void *data, GError **error)
{
        int64_t deadline_ms = clock_monotonic_ms() + openflow->timeout_ms;
        guint at = 0;
        for (bool goes_on = true; goes_on || at < out->len;) {
                g_autoptr(GError) fault = NULL;
                Message message;
                guint length;
                if (!first_message(openflow, &message, &length, error))
                        return false;
                if (length == 0 || !goes_on) {
                        if (!move_bytes(openflow, out, &at, deadline_ms, error))
                                return false;
                        continue;
                }
                if (message.type == OPENFLOW_ECHO_REQUEST)
                        answer_echo(&message, out);
                else
                        goes_on = heard(&message, data, &fault);
                g_byte_array_remove_range(openflow->in, 0, length);
                if (fault) {
                        g_propagate_error(error, g_steal_pointer(&fault));
                        return false;
                }
        }
        return true;
}

static bool set_refusal(const Message *message, GError **error)
{
        if (message->length < 4)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the switch refused, and did not say why");
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the switch refused: %s",
                         openflow_error_text(openflow_get(message->body, 2), openflow_get(message->body + 2, 2)));
}

/* ---- hello ---- */

static bool bitmap_has_version(const Message *message)
{
        for (guint at = 0; at + 8 <= message->length;) {
                guint type = openflow_get(message->body + at, 2), length = openflow_get(message->body + at + 2, 2);
                if (type == 1)
                        return openflow_get(message->body + at + 4, 4) >> OPENFLOW_VERSION & 1;
                if (length < 4)
                        break;
                at += (length + 7) / 8 * 8;
        }
        return false;
}

/* The version of its hello is the highest it speaks; @data: the byte it stood in. */
static bool heard_hello(const Message *message, void *data, GError **error)
{
        const OpenFlow *openflow = data;
        if (message->type == OPENFLOW_ERROR)
                return set_refusal(message, error);
        if (message->type != OPENFLOW_HELLO)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "what listens there is no OpenFlow switch");
        if (openflow->in->data[0] != OPENFLOW_VERSION && !bitmap_has_version(message))
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "the switch does not speak OpenFlow 1.4");
        return false;
}

OpenFlow *openflow_new(int fd_taken, int64_t timeout_ms, GError **error)
{
        g_autoptr(OpenFlow) openflow = g_new0(OpenFlow, 1);
        g_autoptr(GByteArray) out = g_byte_array_new();
        openflow->fd = fd_taken;
        openflow->timeout_ms = timeout_ms;
        openflow->in = g_byte_array_new();
        guint at = openflow_begin(out, OPENFLOW_HELLO, ++openflow->xid);
        openflow_put(out, 1, 2); /* the versions we speak */
        openflow_put(out, 8, 2);
        openflow_put(out, 1u << OPENFLOW_VERSION, 4);
        openflow_end(out, at);
        return talk(openflow, out, heard_hello, openflow, error) ? g_steal_pointer(&openflow) : NULL;
}

OpenFlow *openflow_connect(const char *path, int64_t timeout_ms, GError **error)
{
        int fd = unix_connect(path, error);
        return fd >= 0 ? openflow_new(fd, timeout_ms, error) : NULL;
}

void openflow_free(OpenFlow *openflow)
{
        if (!openflow)
                return;
        fd_close(&openflow->fd);
        g_byte_array_unref(openflow->in);
        g_free(openflow);
}

bool openflow_is_broken(const OpenFlow *openflow)
{
        return openflow->broken;
}

/* ---- orders ---- */

/* Messages that are answered only when they are refused, and a barrier behind them. */
typedef struct {
        uint32_t first_xid, barrier_xid;
        bool tolerant;          /* refusals do not matter */
        const GPtrArray *flows; /* by xid from first_xid on; NULL: they are no flows */
        GError *fault;          /* the first refusal */
} Order;

static void note_refusal(Order *order, const Message *message)
{
        guint index = message->xid - order->first_xid;
        if (order->fault || order->tolerant)
                return;
        set_refusal(message, &order->fault);
        if (!order->flows || index >= order->flows->len)
                return;
        g_autofree char *text = flow_text(order->flows->pdata[index]);
        error_cause(&order->fault, NULL, "%.300s", text);
}

static bool heard_order(const Message *message, void *data, GError **error)
{
        Order *order = data;
        if (message->type == OPENFLOW_ERROR)
                note_refusal(order, message);
        bool is_end = message->xid == order->barrier_xid &&
                      (message->type == OPENFLOW_BARRIER_REPLY || message->type == OPENFLOW_BUNDLE_CONTROL);
        return !is_end && !(message->type == OPENFLOW_ERROR && message->xid == order->barrier_xid);
}

/* Sends @out and its end; @order says how refusals are taken. */
static bool carry_out(OpenFlow *openflow, GByteArray *out, Order *order, GError **error)
{
        if (!talk(openflow, out, heard_order, order, error)) {
                g_clear_error(&order->fault);
                return false;
        }
        if (!order->fault)
                return true;
        g_propagate_error(error, g_steal_pointer(&order->fault));
        return false;
}

static void put_barrier(OpenFlow *openflow, GByteArray *out, Order *order)
{
        order->barrier_xid = ++openflow->xid;
        openflow_end(out, openflow_begin(out, OPENFLOW_BARRIER_REQUEST, order->barrier_xid));
}

/* ---- meters ---- */

static const Meter *find_meter(const FlowTable *table, uint32_t id)
{
        for (guint i = 0; table && i < table->meters->len; i++)
                if (g_array_index(table->meters, Meter, i).id == id)
                        return &g_array_index(table->meters, Meter, i);
        return NULL;
}

/* Before the flows that use them. The switch may have a new one already, left by who spoke to it before us: one of the
 * two orders will do. */
static bool set_meters(OpenFlow *openflow, const FlowTable *before, const FlowTable *after, GError **error)
{
        g_autoptr(GByteArray) adds = g_byte_array_new(), changes = g_byte_array_new();
        Order add = {.tolerant = true}, change = {0};
        for (guint i = 0; i < after->meters->len; i++) {
                const Meter *meter = &g_array_index(after->meters, Meter, i), *old = find_meter(before, meter->id);
                if (!old)
                        openflow_meter_mod(adds, ++openflow->xid, METER_MOD_ADD, meter);
                if (!old || old->kbps != meter->kbps || old->burst_kbit != meter->burst_kbit)
                        openflow_meter_mod(changes, ++openflow->xid, METER_MOD_MODIFY, meter);
        }
        bool any_adds = adds->len > 0, any_changes = changes->len > 0;
        put_barrier(openflow, adds, &add);
        put_barrier(openflow, changes, &change);
        return (!any_adds || carry_out(openflow, adds, &add, error)) &&
               (!any_changes || carry_out(openflow, changes, &change, error));
}

/* After the flows that used them: with its meter a flow would go. */
static bool remove_meters(OpenFlow *openflow, const FlowTable *before, const FlowTable *after, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        Order order = {.tolerant = true};
        for (guint i = 0; before && i < before->meters->len; i++) {
                const Meter *meter = &g_array_index(before->meters, Meter, i);
                if (!find_meter(after, meter->id))
                        openflow_meter_mod(out, ++openflow->xid, METER_MOD_DELETE, meter);
        }
        if (out->len == 0)
                return true;
        put_barrier(openflow, out, &order);
        return carry_out(openflow, out, &order, error);
}

/* ---- flows ---- */

typedef struct {
        OpenFlow *openflow;
        GByteArray *out;
        GPtrArray *flows; /* borrowed, one for each xid */
        uint32_t bundle;
        bool fits;
} Bundle;

static void put_flow(Bundle *bundle, FlowModCommand command, const Flow *flow)
{
        g_ptr_array_add(bundle->flows, (gpointer)flow);
        bundle->fits &= openflow_bundle_add(bundle->out, ++bundle->openflow->xid, bundle->bundle, command, flow);
}

/* Both are sorted, so that one pass finds what is only in the one, only in the other, and different. */
static void put_differences(Bundle *bundle, const GPtrArray *before, const GPtrArray *after)
{
        guint old = 0, new = 0;
        while (old < before->len || new < after->len) {
                int order = old == before->len  ? 1
                            : new == after->len ? -1
                                                : flow_compare(before->pdata[old], after->pdata[new]);
                if (order < 0)
                        put_flow(bundle, FLOW_MOD_DELETE_STRICT, before->pdata[old]);
                else if (order > 0 || !flow_does_same(before->pdata[old], after->pdata[new]))
                        put_flow(bundle, FLOW_MOD_ADD, after->pdata[new]);
                old += order <= 0;
                new += order >= 0;
        }
}

static void put_everything(Bundle *bundle, const GPtrArray *after)
{
        put_flow(bundle, FLOW_MOD_DELETE, NULL);
        for (guint i = 0; i < after->len; i++)
                put_flow(bundle, FLOW_MOD_ADD, after->pdata[i]);
}

static bool control(OpenFlow *openflow, uint32_t bundle, BundleCommand command, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        Order order = {.barrier_xid = ++openflow->xid, .tolerant = command == BUNDLE_DISCARD};
        openflow_bundle_control(out, order.barrier_xid, bundle, command);
        return carry_out(openflow, out, &order, error);
}

/* A switch that refuses one of the messages would still commit the rest, so refusals are waited for. */
static bool send_bundle(Bundle *bundle, uint32_t first_xid, GError **error)
{
        Order order = {.first_xid = first_xid, .flows = bundle->flows};
        if (!bundle->fits)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "a flow is longer than an OpenFlow message");
        if (!control(bundle->openflow, bundle->bundle, BUNDLE_OPEN, error))
                return false;
        put_barrier(bundle->openflow, bundle->out, &order);
        if (carry_out(bundle->openflow, bundle->out, &order, error))
                return control(bundle->openflow, bundle->bundle, BUNDLE_COMMIT, error);
        if (!bundle->openflow->broken)
                control(bundle->openflow, bundle->bundle, BUNDLE_DISCARD, NULL);
        return false;
}

bool openflow_replace(OpenFlow *openflow, const FlowTable *before, const FlowTable *after, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autoptr(GPtrArray) flows = g_ptr_array_new();
        if (!set_meters(openflow, before, after, error))
                return false;
        Bundle bundle = {.openflow = openflow, .out = out, .flows = flows, .bundle = ++openflow->xid, .fits = true};
        uint32_t first_xid = openflow->xid + 1;
        if (before)
                put_differences(&bundle, before->flows, after->flows);
        else
                put_everything(&bundle, after->flows);
        return (flows->len == 0 || send_bundle(&bundle, first_xid, error)) &&
               remove_meters(openflow, before, after, error);
}

/* ---- counters ---- */

typedef struct {
        uint32_t xid;
        guint type;
        GArray *counts;
} Count;

static guint read_flow(const uint8_t *entry, guint left, GArray *counts)
{
        guint length = left < FLOW_ENTRY_BYTES ? 0 : (guint)openflow_get(entry, 2);
        if (length < FLOW_ENTRY_BYTES || length > left)
                return 0;
        FlowCount count = {.cookie = openflow_get(entry + 24, 8),
                           .packets = openflow_get(entry + 32, 8),
                           .bytes = openflow_get(entry + 40, 8)};
        g_array_append_val(counts, count);
        return length;
}

static guint read_port(const uint8_t *entry, guint left, GArray *counts)
{
        guint length = left < PORT_ENTRY_BYTES ? 0 : (guint)openflow_get(entry, 2);
        if (length < PORT_ENTRY_BYTES || length > left)
                return 0;
        const uint8_t *numbers = entry + 16;
        PortCount count = {.port = openflow_get(entry + 4, 4),
                           .rx_packets = openflow_get(numbers, 8),
                           .tx_packets = openflow_get(numbers + 8, 8),
                           .rx_bytes = openflow_get(numbers + 16, 8),
                           .tx_bytes = openflow_get(numbers + 24, 8),
                           .rx_dropped = openflow_get(numbers + 32, 8),
                           .tx_dropped = openflow_get(numbers + 40, 8),
                           .rx_errors = openflow_get(numbers + 48, 8),
                           .tx_errors = openflow_get(numbers + 56, 8)};
        g_array_append_val(counts, count);
        return length;
}

static bool heard_counts(const Message *message, void *data, GError **error)
{
        Count *count = data;
        if (message->xid != count->xid)
                return true;
        if (message->type == OPENFLOW_ERROR)
                return set_refusal(message, error);
        guint at = MULTIPART_BODY - OPENFLOW_HEADER;
        if (message->type != OPENFLOW_MULTIPART_REPLY || message->length < at ||
            openflow_get(message->body, 2) != count->type)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the switch answered something else than counters");
        while (at < message->length) {
                const uint8_t *entry = message->body + at;
                guint left = message->length - at;
                guint length = count->type == MULTIPART_FLOW ? read_flow(entry, left, count->counts)
                                                             : read_port(entry, left, count->counts);
                if (length == 0)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "a counter of the switch is cut off");
                at += length;
        }
        return openflow_get(message->body + 2, 2) & MULTIPART_MORE;
}

static guint begin_multipart(OpenFlow *openflow, GByteArray *out, guint type)
{
        guint at = openflow_begin(out, OPENFLOW_MULTIPART_REQUEST, ++openflow->xid);
        openflow_put(out, type, 2);
        openflow_put(out, 0, 6);
        return at;
}

static bool count(OpenFlow *openflow, GByteArray *out, guint at, guint type, GArray *counts, GError **error)
{
        Count wanted = {.xid = openflow->xid, .type = type, .counts = counts};
        openflow_end(out, at);
        return talk(openflow, out, heard_counts, &wanted, error);
}

bool openflow_flow_counts(OpenFlow *openflow, uint64_t cookie, uint64_t mask, GArray *counts, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        guint at = begin_multipart(openflow, out, MULTIPART_FLOW);
        openflow_put(out, 0xff, 1); /* all tables */
        openflow_put(out, 0, 3);
        openflow_put(out, 0xffffffff, 4); /* any port, any group */
        openflow_put(out, 0xffffffff, 4);
        openflow_put(out, 0, 4);
        openflow_put(out, cookie, 8);
        openflow_put(out, mask, 8);
        openflow_put(out, UINT64_C(0x0001000400000000), 8); /* a match of nothing */
        return count(openflow, out, at, MULTIPART_FLOW, counts, error);
}

bool openflow_port_counts(OpenFlow *openflow, GArray *counts, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        guint at = begin_multipart(openflow, out, MULTIPART_PORT);
        openflow_put(out, 0xffffffff, 4);
        openflow_put(out, 0, 4);
        return count(openflow, out, at, MULTIPART_PORT, counts, error);
}
