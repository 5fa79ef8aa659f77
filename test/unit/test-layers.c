/*
 * Disk layers against a model of their contents: whatever is kept, gone back to, cloned and deleted in whatever order,
 * every head, snapshot and clone reads what it read before.
 */
#include <string.h>

#include "base/record.h"
#include "vm/snapshot/layers.h"

enum { BLOCKS = 12, OPERATIONS = 10000, CHECK_EVERY = 16, DISKS = 2 };

/* ---- files as arrays of blocks; 0: not written in this file ---- */

typedef struct {
        int blocks[BLOCKS];
} File;

typedef struct {
        HostlerVmHistory history;
        GHashTable *files;    /* name → File */
        GHashTable *expected; /* "snapshot/part" or "clone/ID" → File, whole contents */
        int heads[DISKS][BLOCKS];
        int next_file, next_name, next_value;
} World;

static const char *const parts[DISKS] = {"disk0", "disk1"};

static const char *parent_of(const World *world, const char *file)
{
        for (size_t i = 0; i < world->history.layers.count; i++)
                if (g_str_equal(world->history.layers.items[i].file, file))
                        return world->history.layers.items[i].parent;
        g_assert_not_reached();
}

static void read_chain(const World *world, const char *file, int *ret_blocks)
{
        memset(ret_blocks, 0, BLOCKS * sizeof(int));
        for (; file; file = parent_of(world, file)) {
                const File *layer = g_hash_table_lookup(world->files, file);
                g_assert_nonnull(layer);
                for (int i = 0; i < BLOCKS; i++)
                        ret_blocks[i] = ret_blocks[i] ? ret_blocks[i] : layer->blocks[i];
        }
}

static char *new_file(World *world)
{
        char *name = g_strdup_printf("f%d", world->next_file++);
        g_hash_table_insert(world->files, g_strdup(name), g_new0(File, 1));
        return name;
}

static void expect(World *world, char *key_taken, const int *blocks)
{
        File *copy = g_new0(File, 1);
        memcpy(copy->blocks, blocks, sizeof copy->blocks);
        g_hash_table_insert(world->expected, key_taken, copy);
}

/* ---- what a person does ---- */

static void write_block(World *world, GRand *rand)
{
        int disk = g_rand_int_range(rand, 0, DISKS), block = g_rand_int_range(rand, 0, BLOCKS);
        File *head = g_hash_table_lookup(world->files, layers_head(&world->history, parts[disk]));
        head->blocks[block] = world->heads[disk][block] = ++world->next_value;
}

static void go_on(World *world, int disk, const char *parent)
{
        g_autofree char *file = new_file(world);
        layers_go_on(&world->history, parts[disk], file, parent);
}

static void take_snapshot(World *world)
{
        HostlerSnapshot snapshot = {.name = g_strdup_printf("s%d", world->next_name++)};
        for (int disk = 0; disk < DISKS; disk++)
                expect(world, g_strdup_printf("%s/%s", snapshot.name, parts[disk]), world->heads[disk]);
        layers_keep(&world->history, &snapshot);
        for (int disk = 0; disk < DISKS; disk++)
                go_on(world, disk, layers_head(&world->history, parts[disk]));
}

static const HostlerSnapshot *any_snapshot(World *world, GRand *rand)
{
        size_t count = world->history.snapshots.count;
        return count ? &world->history.snapshots.items[g_rand_int_range(rand, 0, (int)count)] : NULL;
}

static void revert(World *world, const HostlerSnapshot *snapshot)
{
        for (size_t i = 0; i < snapshot->disks.count; i++) {
                int disk = g_str_equal(snapshot->disks.items[i].part, parts[0]) ? 0 : 1;
                g_autofree char *key = g_strdup_printf("%s/%s", snapshot->name, parts[disk]);
                const File *was = g_hash_table_lookup(world->expected, key);
                go_on(world, disk, snapshot->disks.items[i].file);
                memcpy(world->heads[disk], was->blocks, sizeof was->blocks);
        }
}

static void delete (World *world, const HostlerSnapshot *snapshot)
{
        for (int disk = 0; disk < DISKS; disk++) {
                g_autofree char *key = g_strdup_printf("%s/%s", snapshot->name, parts[disk]);
                g_hash_table_remove(world->expected, key);
        }
        g_autofree char *name = g_strdup(snapshot->name);
        layers_forget(&world->history, name);
        g_assert_null(layers_snapshot(&world->history, name));
}

static void clone_or_remove_clone(World *world, const HostlerSnapshot *snapshot, GRand *rand)
{
        if (world->history.pins.count > 5) {
                g_autofree char *vm = g_strdup(world->history.pins.items[g_rand_int_range(rand, 0, 5)].vm);
                g_autofree char *key = g_strdup_printf("clone/%s", vm);
                layers_unpin(&world->history, vm);
                g_hash_table_remove(world->expected, key);
                return;
        }
        g_autofree char *vm = g_strdup_printf("v%d", world->next_name++);
        int blocks[BLOCKS];
        read_chain(world, snapshot->disks.items[0].file, blocks);
        layers_pin(&world->history, snapshot->disks.items[0].file, vm);
        expect(world, g_strdup_printf("clone/%s", vm), blocks);
}

/* ---- getting rid of what is not needed, as snapshot.c does ---- */

static void merge(World *world, const char *file, const char *child)
{
        const File *from = g_hash_table_lookup(world->files, file);
        File *to = g_hash_table_lookup(world->files, child);
        for (int i = 0; i < BLOCKS; i++)
                to->blocks[i] = to->blocks[i] ? to->blocks[i] : from->blocks[i];
}

static void tidy(World *world, int limit)
{
        Waste waste;
        while (limit-- > 0 && layers_waste(&world->history, &waste)) {
                g_autofree char *file = g_strdup(waste.file);
                if (waste.child)
                        merge(world, file, waste.child);
                layers_gone(&world->history, file);
                g_hash_table_remove(world->files, file);
        }
}

/* ---- what must hold ---- */

static void check_reads(const World *world, const char *file, const int *expected)
{
        int blocks[BLOCKS];
        read_chain(world, file, blocks);
        g_assert_cmpmem(blocks, sizeof blocks, expected, BLOCKS * sizeof(int));
}

static void check_snapshot(const World *world, const HostlerSnapshot *snapshot)
{
        g_assert_cmpuint(snapshot->disks.count, ==, DISKS);
        g_assert_true(!snapshot->parent || layers_snapshot(&world->history, snapshot->parent));
        for (size_t i = 0; i < snapshot->disks.count; i++) {
                const HostlerDiskLayer *disk = &snapshot->disks.items[i];
                g_autofree char *key = g_strdup_printf("%s/%s", snapshot->name, disk->part);
                check_reads(world, disk->file, ((File *)g_hash_table_lookup(world->expected, key))->blocks);
        }
}

static void check(const World *world)
{
        for (int disk = 0; disk < DISKS; disk++)
                check_reads(world, layers_head(&world->history, parts[disk]), world->heads[disk]);
        for (size_t i = 0; i < world->history.snapshots.count; i++)
                check_snapshot(world, &world->history.snapshots.items[i]);
        for (size_t i = 0; i < world->history.pins.count; i++) {
                const HostlerLayerPin *pin = &world->history.pins.items[i];
                g_autofree char *key = g_strdup_printf("clone/%s", pin->vm);
                check_reads(world, pin->file, ((File *)g_hash_table_lookup(world->expected, key))->blocks);
        }
        g_assert_cmpuint(g_hash_table_size(world->files), ==, world->history.layers.count);
        g_assert_true(!world->history.current || layers_snapshot(&world->history, world->history.current));
}

static void one_operation(World *world, GRand *rand)
{
        const HostlerSnapshot *snapshot = any_snapshot(world, rand);
        int what = g_rand_int_range(rand, 0, 10);
        if (what < 4 || !snapshot)
                write_block(world, rand);
        else if (what == 5 && world->history.snapshots.count > 8)
                delete (world, snapshot);
        else if (what == 6)
                revert(world, snapshot);
        else if (what == 7)
                delete (world, snapshot);
        else if (what == 8)
                clone_or_remove_clone(world, snapshot, rand);
        else
                take_snapshot(world);
        if (!snapshot && what >= 4)
                take_snapshot(world);
}

static void world_init(World *world)
{
        *world = (World){
            .files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
            .expected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        };
        for (int disk = 0; disk < DISKS; disk++) {
                g_autofree char *file = new_file(world);
                layers_add(&world->history, parts[disk], file);
        }
}

static void world_clear(World *world)
{
        record_clear(&hostler_vm_history_type, &world->history);
        g_hash_table_unref(world->files);
        g_hash_table_unref(world->expected);
}

static void test_random(void)
{
        GRand *rand = g_rand_new_with_seed((guint32)g_test_rand_int());
        World world;
        world_init(&world);
        for (int i = 0; i < OPERATIONS; i++) {
                one_operation(&world, rand);
                tidy(&world, g_rand_int_range(rand, 0, 4)); /* getting rid of things may be cut off at any point */
                if (i % CHECK_EVERY == 0)
                        check(&world);
        }
        tidy(&world, G_MAXINT);
        check(&world);
        /* All that is left is needed, or waits for one of several that stand on it. */
        Waste waste;
        g_assert_false(layers_waste(&world.history, &waste));
        world_clear(&world);
        g_rand_free(rand);
}

/* With everything forgotten each disk is one file again. */
static void test_nothing_stays(void)
{
        GRand *rand = g_rand_new_with_seed(7);
        World world;
        world_init(&world);
        for (int i = 0; i < 500; i++)
                one_operation(&world, rand);
        while (world.history.snapshots.count)
                delete (&world, &world.history.snapshots.items[0]);
        while (world.history.pins.count) {
                g_autofree char *vm = g_strdup(world.history.pins.items[0].vm);
                layers_unpin(&world.history, vm);
        }
        tidy(&world, G_MAXINT);
        check(&world);
        g_assert_cmpuint(world.history.layers.count, ==, DISKS);
        g_assert_cmpuint(layers_depth(&world.history), ==, 1);
        g_assert_cmpuint(layers_waiting(&world.history), ==, 0);
        layers_drop(&world.history, "disk0");
        tidy(&world, G_MAXINT);
        g_assert_cmpuint(world.history.layers.count, ==, 1);
        g_assert_null(layers_head(&world.history, "disk0"));
        world_clear(&world);
        g_rand_free(rand);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/layers/random", test_random);
        g_test_add_func("/layers/nothing-stays", test_nothing_stays);
        return g_test_run();
}
