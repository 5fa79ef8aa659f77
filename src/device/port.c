/*
 * The host's end of a port: ring, log, socket, terminal or nothing. A file or socket is called as the part is, with an
 * ending that nothing else in the VM's folder has. Used by serial.c and parallel.c.
 */
#include "device/port.h"

#include <unistd.h>

#include "base/keeper_launch.h"

#define RING_BYTES 65536

static void refuse(const HostlerPart *part, const char *property, const char *what, const Port *port, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", part->name, property);
        faults_add(faults, pointer, "it has no %s: its backend is %s", what,
                   hostler_port_backend_enum.values[port->backend]);
}

static void check_ring(const HostlerPart *part, const Port *port, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/memory", part->name);
        if (port->memory == HOSTLER_UNSET)
                return;
        if (port->backend != HOSTLER_PORT_BACKEND_RING)
                refuse(part, "memory", "ring", port, faults);
        else if (port->memory & (port->memory - 1))
                faults_add(faults, pointer, "the size of a ring is a power of two: 64k, 128k, …");
}

static void check_log(const DeviceContext *context, const HostlerPart *part, const Port *port, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/backend", part->name);
        if (port->backend != HOSTLER_PORT_BACKEND_LOG && port->limit != HOSTLER_UNSET)
                refuse(part, "limit", "log", port, faults);
        if (port->backend == HOSTLER_PORT_BACKEND_LOG && device_log_set(context, part) > KEEPER_LOGS_MAX)
                faults_add(faults, pointer, "a VM has no more than %d logs besides its console's", KEEPER_LOGS_MAX - 1);
}

void port_check(const DeviceContext *context, const HostlerPart *part, const Port *port, GPtrArray *faults)
{
        check_ring(part, port, faults);
        check_log(context, part, port, faults);
}

static char *log_name(const HostlerPart *part)
{
        return g_strdup_printf("%s.out", part->name);
}

static char *socket_name(const HostlerPart *part)
{
        return g_strdup_printf("%s.sock", part->name);
}

void port_plan_chardev(const DeviceContext *context, const HostlerPart *part, const Port *port, Plan *plan)
{
        g_autofree char *socket = socket_name(part);
        switch (port->backend) {
        case HOSTLER_PORT_BACKEND_RING:
                plan_chardev_ring(plan, part->name, port->memory == HOSTLER_UNSET ? RING_BYTES : port->memory);
                break;
        case HOSTLER_PORT_BACKEND_LOG:
                plan_chardev_log(plan, part->name, device_log_set(context, part));
                break;
        case HOSTLER_PORT_BACKEND_SOCKET:
                plan_chardev_listen(plan, part->name, socket, 0);
                break;
        case HOSTLER_PORT_BACKEND_PTY:
                plan_chardev_pty(plan, part->name);
                break;
        case HOSTLER_PORT_BACKEND_NULL:
        case HOSTLER_PORT_BACKEND_ABSENT:
                plan_chardev_null(plan, part->name);
                break;
        }
}

void port_host_end(const HostlerPart *part, const Port *port, HostEnd *ret_end)
{
        switch (port->backend) {
        case HOSTLER_PORT_BACKEND_RING:
                *ret_end = (HostEnd){.kind = HOST_END_RING, .name = g_strdup(part->name)};
                break;
        case HOSTLER_PORT_BACKEND_LOG:
                *ret_end = (HostEnd){
                    .kind = HOST_END_LOG,
                    .name = log_name(part),
                    .limit_bytes = port->limit == HOSTLER_UNSET ? port->usual_limit : port->limit,
                };
                break;
        case HOSTLER_PORT_BACKEND_SOCKET:
                *ret_end = (HostEnd){.kind = HOST_END_SOCKET, .name = socket_name(part)};
                break;
        case HOSTLER_PORT_BACKEND_PTY:
                *ret_end = (HostEnd){.kind = HOST_END_PTY, .name = g_strdup(part->name)};
                break;
        case HOSTLER_PORT_BACKEND_NULL:
        case HOSTLER_PORT_BACKEND_ABSENT:
                break;
        }
}

/* Whatever the backend is now: it may have been a log before. */
void port_remove(const DeviceContext *context, const HostlerPart *part)
{
        g_autofree char *name = log_name(part), *path = g_build_filename(context->vm_dir, name, NULL);
        g_autofree char *old = g_strconcat(path, ".1", NULL);
        unlink(path);
        unlink(old);
}
