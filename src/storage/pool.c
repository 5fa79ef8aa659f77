/*
 * The types of pools there are. See pool.h; each is a file of its own. Called by the vm layer, which knows the pools.
 */
#include "storage/pool.h"

#define MARK_HOLDS 2 /* percent */

int64_t pool_used_percent(const PoolSpace *space)
{
        int64_t used = space->size_bytes - space->free_bytes;
        int64_t percent = space->size_bytes > 0 ? (used * 100 + space->size_bytes - 1) / space->size_bytes : 100;
        return MAX(percent, space->tables_percent);
}

int pool_mark(int64_t used_percent, int before)
{
        static const int marks[] = {95, 90, 80};
        for (size_t i = 0; i < G_N_ELEMENTS(marks); i++)
                if (used_percent >= marks[i] - (marks[i] <= before ? MARK_HOLDS : 0))
                        return marks[i];
        return 0;
}

const PoolType *pool_type(const HostlerPoolConfig *pool)
{
        static const PoolType *const types[] = {&pool_dir, &pool_lvm, &pool_rbd};
        for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
                if (types[i]->type == pool->type)
                        return types[i];
        g_assert_not_reached();
}
