/*
 * OpenFlow 1.4 to a switch on this machine, over its Unix socket ("OpenFlow Switch Specification" 1.4.0; the Nicira
 * extensions are those of Open vSwitch, include/openflow/nicira-ext.h).
 *
 * Every call blocks the caller, at most the time limit given at connect, and belongs to one thread at a time. What the
 * switch says is measured before it is believed. After HOSTLER_ERROR_UNRESPONSIVE, or _FAILED that came of a broken
 * connection, the connection is of no more use: openflow_is_broken().
 */
#pragma once

#include "wire/flow.h"

typedef struct OpenFlow OpenFlow;

/* HOSTLER_ERROR_NOT_FOUND, _UNREACHABLE: no socket, no listener. _UNSUPPORTED: it does not speak 1.4. _UNRESPONSIVE. */
OpenFlow *openflow_connect(const char *path, int64_t timeout_ms, GError **error);
/* The same on a connected socket. */
OpenFlow *openflow_new(int fd_taken, int64_t timeout_ms, GError **error);
void openflow_free(OpenFlow *openflow);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OpenFlow, openflow_free)
bool openflow_is_broken(const OpenFlow *openflow);

/*
 * Makes the switch's flows those of @after in one atomic bundle: frames meet the old table or the new one. @before is
 * what it has (sorted as @after is), so that only differences are sent and the counters of what stays go on; NULL: not
 * known, everything is replaced. HOSTLER_ERROR_FAILED with the switch's reason and the flow it refused; nothing has
 * changed then, but for meters.
 */
bool openflow_replace(OpenFlow *openflow, const FlowTable *before, const FlowTable *after, GError **error);

typedef struct {
        uint64_t cookie, packets, bytes;
} FlowCount;
/* Appends a FlowCount for each flow whose cookie is @cookie where @mask has ones. */
bool openflow_flow_counts(OpenFlow *openflow, uint64_t cookie, uint64_t mask, GArray *counts, GError **error);

typedef struct {
        uint32_t port;
        uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped, rx_errors, tx_errors;
} PortCount;
/* Appends a PortCount for each port; rx is what came in from it. */
bool openflow_port_counts(OpenFlow *openflow, GArray *counts, GError **error);

/* ---- openflow_message.c: messages as bytes; used inside wire only ---- */

#define OPENFLOW_VERSION 5 /* of 1.4 on the wire */
#define OPENFLOW_HEADER 8
enum {
        OPENFLOW_HELLO = 0,
        OPENFLOW_ERROR = 1,
        OPENFLOW_ECHO_REQUEST = 2,
        OPENFLOW_ECHO_REPLY = 3,
        OPENFLOW_FLOW_MOD = 14,
        OPENFLOW_MULTIPART_REQUEST = 18,
        OPENFLOW_MULTIPART_REPLY = 19,
        OPENFLOW_BARRIER_REQUEST = 20,
        OPENFLOW_BARRIER_REPLY = 21,
        OPENFLOW_METER_MOD = 29,
        OPENFLOW_BUNDLE_CONTROL = 33,
        OPENFLOW_BUNDLE_ADD = 34
};
typedef enum { FLOW_MOD_ADD = 0, FLOW_MOD_DELETE = 3, FLOW_MOD_DELETE_STRICT = 4 } FlowModCommand;
typedef enum { METER_MOD_ADD = 0, METER_MOD_MODIFY = 1, METER_MOD_DELETE = 2 } MeterModCommand;
typedef enum { BUNDLE_OPEN = 0, BUNDLE_COMMIT = 4, BUNDLE_DISCARD = 6 } BundleCommand;

void openflow_put(GByteArray *out, uint64_t value, int length);
uint64_t openflow_get(const uint8_t *bytes, int length);
/* Begins a message; openflow_end() with what it returned writes the length. False when it is too long for OpenFlow. */
guint openflow_begin(GByteArray *out, int type, uint32_t xid);
bool openflow_end(GByteArray *out, guint at);
/* @flow NULL with FLOW_MOD_DELETE: all flows of all tables. */
bool openflow_flow_mod(GByteArray *out, uint32_t xid, FlowModCommand command, const Flow *flow);
void openflow_meter_mod(GByteArray *out, uint32_t xid, MeterModCommand command, const Meter *meter);
void openflow_bundle_control(GByteArray *out, uint32_t xid, uint32_t bundle, BundleCommand command);
bool openflow_bundle_add(GByteArray *out, uint32_t xid, uint32_t bundle, FlowModCommand command, const Flow *flow);
/* An error message's type and code in words. Static, or of the thread until its next call. */
const char *openflow_error_text(unsigned type, unsigned code);
