/*
 * Full pools. QEMU stops a guest at a write that finds no space (its `werror=enospc`), and does the write again when it
 * goes on; so the guest loses nothing and notices nothing but the time. What a person sees is the condition
 * `pool-full`, which names the pool and the disk. It is also what says that the guest is to go on by itself: somebody
 * who pauses the VM takes it away. Called by watch.c, adopt.c and, every other second, by observe.c.
 */
#include "vm/pool/space.h"

#include <string.h>

#include "vm/manager_internal.h"
#include "vm/pool/pools.h"
#include "vm/snapshot/layers_work.h"

#define CONDITION "pool-full"
/* What must be free before the guest goes on: it would stand still again at once. */
#define ROOM_BYTES ((int64_t)64 << 20)
#define ROOM_SHARE 50 /* of a small pool */
#define DEAR_EVERY 5  /* looks */

/* The head whose node is @node; NULL: none. Borrowed from the history. */
static const HostlerDiskLayer *find_head(const HostlerVmHistory *history, const char *node)
{
        for (size_t i = 0; node && i < history->heads.count; i++) {
                g_autofree char *own = disk_layer_node(history->heads.items[i].file);
                if (strcmp(own, node) == 0)
                        return &history->heads.items[i];
        }
        return NULL;
}

void space_ran_out(Vm *vm, const char *node)
{
        HostlerVmHistory history;
        layers_history(vm, &history);
        const HostlerDiskLayer *head = find_head(&history, node);
        g_autofree char *pool = head ? pools_of_layer(head->file) : NULL;
        g_autofree char *detail =
            head ? g_strdup_printf("pool %s has no space left for %s; the guest goes on when it has",
                                   pool ? pool : POOL_DEFAULT, head->part)
                 : g_strdup("a pool has no space left for one of its disks; the guest goes on when it has");
        vm_set_condition(vm, CONDITION, detail);
        record_clear(&hostler_vm_history_type, &history);
}

void space_was_out(Vm *vm, Qmp *qmp)
{
        json_auto_t *blocks = NULL;
        json_t *entry;
        const char *node = NULL;
        size_t i;
        qmp_call(qmp, "query-block", NULL, &blocks, NULL);
        json_array_foreach (blocks, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "io-status")), "nospace") == 0)
                        node = json_string_value(json_object_get(json_object_get(entry, "inserted"), "node-name"));
        space_ran_out(vm, node);
}

static bool has_room(Manager *manager, const char *name)
{
        HostlerPoolConfig pool;
        PoolSpace space;
        if (!pools_find(manager, name, &pool, NULL))
                return false;
        bool ok = pool_type(&pool)->space(&pool, &space, NULL) &&
                  space.free_bytes >= MIN(ROOM_BYTES, space.size_bytes / ROOM_SHARE);
        record_clear(&hostler_pool_config_type, &pool);
        return ok;
}

static bool all_have_room(Vm *vm)
{
        HostlerVmHistory history;
        bool ok = true;
        layers_history(vm, &history);
        for (size_t i = 0; ok && i < history.heads.count; i++) {
                g_autofree char *pool = pools_of_layer(history.heads.items[i].file);
                ok = has_room(vm_manager(vm), pool ? pool : POOL_DEFAULT);
        }
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

/* Its event RESUME says the rest; without it the next look tries again. */
static void on_reply(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
}

void space_look(Vm *vm)
{
        if (!vm_has_condition(vm, CONDITION) || vm_power(vm) != HOSTLER_POWER_PAUSED || !all_have_room(vm))
                return;
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        if (qmp)
                qmp_send(qmp, "cont", NULL, QMP_TIMEOUT_MS, on_reply, NULL);
}

/* ---- marks ---- */

/* @is_time: also those who are asked by running a program. */
static void look_at_pool(Manager *manager, const HostlerPoolConfig *pool, bool is_time)
{
        PoolSpace space;
        int before = GPOINTER_TO_INT(g_hash_table_lookup(manager->pool_marks, pool->name));
        if ((pool_type(pool)->volumes && !is_time) || !pool_type(pool)->check(pool, NULL) ||
            !pool_type(pool)->space(pool, &space, NULL))
                return;
        int64_t used = pool_used_percent(&space);
        int mark = pool_mark(used, before);
        g_autofree char *object = g_strdup_printf("pool/%s", pool->name);
        if (mark == before)
                return;
        g_hash_table_insert(manager->pool_marks, g_strdup(pool->name), GINT_TO_POINTER(mark));
        event_emit(
            manager_events(manager), "pool-space", object,
            json_pack("{s:i, s:I, s:I}", "mark", mark, "used", (json_int_t)used, "free", (json_int_t)space.free_bytes));
}

void space_look_at_pools(Manager *manager)
{
        HostlerPoolConfigList pools;
        bool is_time = manager->pool_looks++ % DEAR_EVERY == 0;
        if (!pools_all(manager, &pools, NULL))
                return;
        for (size_t i = 0; i < pools.count; i++)
                look_at_pool(manager, &pools.items[i], is_time);
        record_list_clear(&hostler_pool_config_type, &pools);
}
