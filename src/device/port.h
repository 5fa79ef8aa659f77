/* What ports have in common, serial and parallel ones: the host's end, a character device with the name of the part. */
#pragma once

#include "device/device.h"

/* The properties that every kind of port has; HOSTLER_UNSET: not given. */
typedef struct {
        HostlerPortBackend backend;
        int64_t memory, limit;
        int64_t usual_limit; /* of a log */
} Port;

/* Sizes that do not go with the backend, or that QEMU would not take. */
void port_check(const DeviceContext *context, const HostlerPart *part, const Port *port, GPtrArray *faults);
void port_plan_chardev(const DeviceContext *context, const HostlerPart *part, const Port *port, Plan *plan);
/* Unlinks its log: the part is gone for good. */
void port_remove(const DeviceContext *context, const HostlerPart *part);
void port_host_end(const HostlerPart *part, const Port *port, HostEnd *ret_end);
