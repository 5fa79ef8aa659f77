/*
 * Pools that are folders: of a disk of the host, or of a network share that is mounted there. Each VM has a folder of
 * its own in it. A file in the pool's folder bears the pool's name: a folder without it is where a share is not
 * mounted, and volumes written there would be lost from sight the moment it is.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/pool.h"
#include "storage/pool_answers.h"

#define MARK ".hostler-pool"
#define MARK_MAX 64 /* bytes: a pool's name and a newline */

static char *mark_path(const HostlerPoolConfig *pool)
{
        return g_build_filename(pool->path, MARK, NULL);
}

/* The name in the mark; NULL: there is none. Caller frees. */
static char *read_mark(const HostlerPoolConfig *pool)
{
        g_autofree char *path = mark_path(pool);
        char *text = file_read(path, MARK_MAX, NULL, NULL);
        return text ? g_strstrip(text) : NULL;
}

static bool dir_make(const HostlerPoolConfig *pool, GError **error)
{
        g_autofree char *path = mark_path(pool), *mark = read_mark(pool), *text = g_strdup_printf("%s\n", pool->name);
        if (g_strcmp0(mark, pool->name) == 0)
                return true;
        if (mark)
                return error_set(error, HOSTLER_ERROR_EXISTS, NULL, "%s is a pool already, called “%s”", pool->path,
                                 mark);
        if (!g_file_test(pool->path, G_FILE_TEST_IS_DIR))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is no folder", pool->path);
        return file_write_atomic(path, text, strlen(text), 0600, true, error) ||
               error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s cannot be written", pool->path);
}

static bool dir_unmake(const HostlerPoolConfig *pool, GError **error)
{
        g_autofree char *path = mark_path(pool);
        return unlink(path) == 0 || errno == ENOENT || error_set_errno(error, errno, NULL, "cannot remove %s", path);
}

/* Whoever touches it would wait for ever. With the error. */
static bool is_silent(const HostlerPoolConfig *pool, GError **error)
{
        struct statvfs st;
        g_autoptr(GError) local = NULL;
        if (pool_answers(pool->path, &st, &local) || !error_is(local, HOSTLER_ERROR_UNRESPONSIVE))
                return false;
        g_propagate_error(error, g_steal_pointer(&local));
        error_wrap(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "pool %s", pool->name);
        return true;
}

static bool dir_check(const HostlerPoolConfig *pool, GError **error)
{
        if (is_silent(pool, error))
                return false;
        g_autofree char *mark = read_mark(pool);
        if (g_strcmp0(mark, pool->name) == 0 || strcmp(pool->name, POOL_DEFAULT) == 0)
                return true;
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "pool %s is not there: %s has no file " MARK " of it", pool->name,
                  pool->path);
        return error_hint(error, "mount what belongs at %s", pool->path);
}

static bool dir_space(const HostlerPoolConfig *pool, PoolSpace *ret_space, GError **error)
{
        struct statvfs st;
        if (!pool_answers(pool->path, &st, error))
                return false;
        *ret_space = (PoolSpace){.size_bytes = (int64_t)st.f_blocks * (int64_t)st.f_frsize,
                                 .free_bytes = (int64_t)st.f_bavail * (int64_t)st.f_frsize};
        return true;
}

static char *dir_volume(const HostlerPoolConfig *pool, const char *vm_id, const char *name)
{
        return g_build_filename(pool->path, vm_id, name, NULL);
}

static bool dir_prepare(const HostlerPoolConfig *pool, const char *vm_id, GError **error)
{
        g_autofree char *folder = g_build_filename(pool->path, vm_id, NULL);
        return dir_check(pool, error) && dir_ensure(folder, error);
}

static bool dir_forget(const HostlerPoolConfig *pool, const char *vm_id, GError **error)
{
        g_autofree char *folder = g_build_filename(pool->path, vm_id, NULL);
        return !is_silent(pool, error) && dir_remove_durably(folder, error);
}

const PoolType pool_dir = {
    .type = HOSTLER_POOL_TYPE_DIR,
    .make = dir_make,
    .unmake = dir_unmake,
    .check = dir_check,
    .space = dir_space,
    .volume = dir_volume,
    .prepare = dir_prepare,
    .forget = dir_forget,
};
