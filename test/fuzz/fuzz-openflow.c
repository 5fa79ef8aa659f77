/*
 * A switch that says anything: after its hello (or instead of it, as the first byte chooses) the rest comes as answers
 * to an order and a question. The client must end each with an error or believe only what is whole.
 */
#include <glib.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/openflow.h"

#define LIMIT_MS 1000

static void say_hello(int fd)
{
        static const uint8_t hello[] = {OPENFLOW_VERSION, OPENFLOW_HELLO, 0, 8, 0, 0, 0, 1};
        fuzz_write(fd, hello, sizeof hello);
}

static void ask(OpenFlow *openflow, bool for_ports)
{
        g_autoptr(GArray) counts = g_array_new(FALSE, FALSE, for_ports ? sizeof(PortCount) : sizeof(FlowCount));
        g_autoptr(GError) error = NULL;
        bool ok = for_ports ? openflow_port_counts(openflow, counts, &error)
                            : openflow_flow_counts(openflow, 0, 0, counts, &error);
        if (ok != (error == NULL))
                abort();
}

static void order(OpenFlow *openflow)
{
        g_autoptr(FlowTable) table = flow_table_new();
        g_autoptr(GError) error = NULL;
        Meter meter = {.id = 1, .kbps = 1000, .burst_kbit = 100};
        g_array_append_val(table->meters, meter);
        flow_output(flow_add(table, 0, 1, 1), 1);
        if (openflow_replace(openflow, NULL, table, &error) != (error == NULL))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int pair[2];
        g_autoptr(GError) error = NULL;
        if (size < 1)
                return 0;
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
        if (data[0] & 1)
                say_hello(pair[1]);
        fuzz_write(pair[1], data + 1, size - 1);
        shutdown(pair[1], SHUT_WR);
        g_autoptr(OpenFlow) openflow = openflow_new(pair[0], LIMIT_MS, &error);
        if ((openflow == NULL) != (error != NULL))
                abort();
        if (openflow && (data[0] & 2))
                ask(openflow, data[0] & 4);
        else if (openflow)
                order(openflow);
        close(pair[1]);
        return 0;
}
