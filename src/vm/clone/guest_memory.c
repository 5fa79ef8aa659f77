/*
 * What a guest does with its memory, as its balloon driver tells QEMU (virtio 1.2, 5.5.6.4 Memory Statistics). Asked
 * now and then by watch.c, on the main loop; what comes back is kept in the VM's status, so nobody else asks.
 */
#include "base/clock.h"
#include "base/units.h"
#include "vm/vm_internal.h"

/* A guest that does not tell one of them leaves it at 2^64 - 1, which is no integer here. */
static int64_t statistic(const json_t *stats, const char *name)
{
        const json_t *value = json_object_get(stats, name);
        return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : HOSTLER_UNSET;
}

static void on_statistics(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        const json_t *stats = json_object_get(result, "stats");
        int64_t updated_s = json_integer_value(json_object_get(result, "last-update"));
        HostlerGuestMemory memory = {
            .total = statistic(stats, "stat-total-memory"),
            .available = statistic(stats, "stat-available-memory"),
            .free = statistic(stats, "stat-free-memory"),
            .caches = statistic(stats, "stat-disk-caches"),
            .swapped_in = statistic(stats, "stat-swap-in"),
            .swapped_out = statistic(stats, "stat-swap-out"),
        };
        if (updated_s <= 0)
                return;
        memory.updated = time_format(updated_s * 1000);
        vm_set_guest_memory(data, &memory);
}

static void on_balloon(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        const json_t *actual = json_object_get(result, "actual");
        if (json_is_integer(actual))
                vm_set_ballooned(data, json_integer_value(actual));
}

void guest_memory_ask(Vm *vm, Qmp *qmp)
{
        json_t *args = json_pack("{s:s, s:s}", "path", "/machine/peripheral/balloon", "property", "guest-stats");
        qmp_send(qmp, "query-balloon", NULL, QMP_TIMEOUT_MS, on_balloon, vm);
        qmp_send(qmp, "qom-get", args, QMP_TIMEOUT_MS, on_statistics, vm);
}
