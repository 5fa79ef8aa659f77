/*
 * Pools that are thin pools of LVM. Each volume is a thin logical volume with a qcow2 file's content in it, so that
 * snapshots and clones are the layers that they are everywhere; thin, so that the room it has costs nothing. Its entry
 * in the catalogue is a link to the block device, which QEMU's tools follow.
 *
 * The entry is made before the logical volume and goes after it, so that whoever undoes what a crash cut short finds by
 * the entry what lvcreate has left (LVM's own lock sees to their order), and nothing has to be searched for. QEMU goes
 * past the host's page cache in any case: a write that finds the pool full has to fail when the guest makes it, and not
 * when the kernel comes to it and drops it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/catalogue.h"

#define TIMEOUT_MS 60000
#define USAGE_MS 3000
#define PIECE ((size_t)1 << 20)
#define COLUMNS "vg_name,lv_name,lv_size,data_percent,metadata_percent,lv_active,lv_when_full,lv_tags"
#define VOLUME "hostler-"
#define TAG_VOLUME "hostler.volume."
#define TAG_POOL "hostler.pool."
#define SOURCE "^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*/[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$"

/* ---- LVM's commands ---- */

/* @ret_answer: of a command that was told to answer in JSON; NULL: of another. */
static bool run(const char *const *argv, json_t **ret_answer, GError **error)
{
        static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                                  "LVM_SUPPRESS_FD_WARNINGS=1", NULL};
        ProcessOptions options = {.argv = argv, .environment = environment, .timeout_ms = TIMEOUT_MS};
        if (!g_file_test("/usr/sbin/lvm", G_FILE_TEST_IS_EXECUTABLE) &&
            !g_file_test("/sbin/lvm", G_FILE_TEST_IS_EXECUTABLE)) {
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "LVM's programs are not installed");
                return error_hint(error, "apt install lvm2 thin-provisioning-tools");
        }
        return ret_answer ? (*ret_answer = process_run_json(&options, error)) != NULL
                          : process_run(&options, NULL, error);
}

static char *group_of(const HostlerPoolConfig *pool)
{
        return g_strndup(pool->source, strcspn(pool->source, "/"));
}

static const char *field(const json_t *row, const char *name)
{
        const char *text = json_string_value(json_object_get(row, name));
        return text ? text : "";
}

/* Rows of `lvs` for which @select holds; the caller owns the array. */
static json_t *list(const char *select, GError **error)
{
        const char *const argv[] = {"lvs", "--reportformat", "json", "--units", "b", "--nosuffix",
                                    "-o",  COLUMNS,          "-S",   select,    NULL};
        json_auto_t *report = NULL;
        if (!run(argv, &report, error))
                return NULL;
        json_t *rows = json_object_get(json_array_get(json_object_get(report, "report"), 0), "lv");
        if (!json_is_array(rows))
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "lvs answers what is no report");
        return json_is_array(rows) ? json_incref(rows) : NULL;
}

/* ---- the thin pool ---- */

static bool is_ours(const json_t *row, const HostlerPoolConfig *pool)
{
        g_autofree char *name = g_strdup_printf("%s/%s", field(row, "vg_name"), field(row, "lv_name"));
        return strcmp(name, pool->source) == 0;
}

/* Its row of `lvs`; the caller owns it. */
static json_t *find(const HostlerPoolConfig *pool, GError **error)
{
        g_autofree char *group = group_of(pool);
        json_auto_t *rows = list("segtype=thin-pool", error);
        json_t *row, *found = NULL;
        size_t i;
        json_array_foreach (rows, i, row)
                if (is_ours(row, pool))
                        found = json_incref(row);
        if (!rows || found)
                return found;
        error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no thin pool %s", pool->source);
        json_array_foreach (rows, i, row)
                error_cause(error, NULL, "there is %s/%s", field(row, "vg_name"), field(row, "lv_name"));
        error_hint(error, "lvcreate --type thin-pool -l 100%%FREE -n %s %s", strchr(pool->source, '/') + 1, group);
        return NULL;
}

/* The identity of the pool whose tag it bears; NULL: none. Caller frees. */
static char *owner_of(const json_t *row)
{
        g_auto(GStrv) tags = g_strsplit(field(row, "lv_tags"), ",", -1);
        for (size_t i = 0; tags[i]; i++)
                if (g_str_has_prefix(tags[i], TAG_POOL))
                        return g_strdup(tags[i] + strlen(TAG_POOL));
        return NULL;
}

static bool lvm_make(const HostlerPoolConfig *pool, GError **error)
{
        g_autofree char *tag = g_strconcat(TAG_POOL, pool->identity, NULL);
        const char *const mark[] = {"lvchange", "--addtag", tag, pool->source, NULL};
        /* Else writers hang for a minute when it is full, and the guest with them. */
        const char *const refuse[] = {"lvchange", "--errorwhenfull", "y", pool->source, NULL};
        if (!pool->source || !g_regex_match_simple(SOURCE, pool->source, 0, 0))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "an lvm-thin pool is made of a thin pool, named GROUP/POOL: --source vg0/thin");
        if (geteuid() != 0)
                return error_set(error, HOSTLER_ERROR_DENIED, NULL,
                                 "LVM is for the system's daemon, which runs as root");
        json_auto_t *row = find(pool, error);
        g_autofree char *owner = row ? owner_of(row) : NULL;
        if (!row)
                return false;
        if (owner && strcmp(owner, pool->identity) != 0)
                return error_set(error, HOSTLER_ERROR_EXISTS, NULL, "%s is a pool already: it has the tag %s%s",
                                 pool->source, TAG_POOL, owner);
        bool refuses = strcmp(field(row, "lv_when_full"), "error") == 0;
        return (refuses || run(refuse, NULL, error)) && (owner || run(mark, NULL, error)) &&
               dir_ensure(pool->path, error);
}

static bool lvm_unmake(const HostlerPoolConfig *pool, GError **error)
{
        g_autofree char *tag = g_strconcat(TAG_POOL, pool->identity, NULL);
        const char *const unmark[] = {"lvchange", "--deltag", tag, pool->source, NULL};
        json_auto_t *row = find(pool, NULL);
        return (!row || run(unmark, NULL, error)) && dir_remove(pool->path, error);
}

/* As it is now, and of this pool. */
static json_t *look(const HostlerPoolConfig *pool, GError **error)
{
        json_auto_t *row = find(pool, error);
        g_autofree char *owner = row ? owner_of(row) : NULL;
        if (!row) {
                error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "pool %s is not there", pool->name);
                return NULL;
        }
        if (g_strcmp0(owner, pool->identity) == 0 && strcmp(field(row, "lv_active"), "active") == 0)
                return json_incref(row);
        bool foreign = g_strcmp0(owner, pool->identity) != 0;
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "pool %s is not there: %s %s", pool->name, pool->source,
                  foreign ? "is another thin pool, without its tag" : "is not active");
        if (!foreign)
                error_hint(error, "lvchange --activate y %s", pool->source);
        return NULL;
}

static bool lvm_check(const HostlerPoolConfig *pool, GError **error)
{
        json_auto_t *row = look(pool, error);
        return row != NULL;
}

static bool lvm_space(const HostlerPoolConfig *pool, PoolSpace *ret_space, GError **error)
{
        json_auto_t *row = look(pool, error);
        if (!row)
                return false;
        int64_t size = g_ascii_strtoll(field(row, "lv_size"), NULL, 10);
        double data = g_ascii_strtod(field(row, "data_percent"), NULL);
        double tables = g_ascii_strtod(field(row, "metadata_percent"), NULL);
        *ret_space = (PoolSpace){.size_bytes = size,
                                 .free_bytes = (int64_t)((double)size * (100.0 - CLAMP(data, 0.0, 100.0)) / 100.0),
                                 .tables_percent = (int64_t)(tables + 0.999)};
        return true;
}

/* ---- volumes ---- */

/* "GROUP/NAME" from entry @path; NULL: it is none. Caller frees. */
static char *volume_of(const HostlerPoolConfig *pool, const char *path)
{
        g_autofree char *target = g_file_read_link(path, NULL), *group = group_of(pool);
        g_autofree char *begin = g_strdup_printf("/dev/%s/" VOLUME, group);
        return target && g_str_has_prefix(target, begin) && !strchr(target + strlen(begin), '/')
                   ? g_strdup(target + strlen("/dev/"))
                   : NULL;
}

/* What the command said becomes what to do about it when that is the reason. */
static bool say_if_full(const HostlerPoolConfig *pool, GError **error)
{
        PoolSpace space;
        if (!lvm_space(pool, &space, NULL) || pool_used_percent(&space) < 99)
                return false;
        error_wrap(error, HOSTLER_ERROR_NO_CAPACITY, NULL, "pool %s is full: %s has %s left", pool->name, pool->source,
                   space.tables_percent >= 99 ? "no room for its tables" : "no space");
        return error_hint(error, "lvextend -L +10G %s%s", pool->source,
                          space.tables_percent >= 99 ? "_tmeta" : "; or `hostler volume ls` and `hostler snapshot ls`");
}

static bool write_content(const char *path, const char *content, GError **error)
{
        autoclose int in = open(content, O_RDONLY | O_CLOEXEC);
        autoclose int out = open(path, O_WRONLY | O_CLOEXEC);
        g_autofree char *piece = g_malloc(PIECE);
        ssize_t got = -1;
        if (in < 0 || out < 0)
                return error_set_errno(error, errno, NULL, "cannot open %s", in < 0 ? content : path);
        for (off_t at = 0; (got = pread(in, piece, PIECE, at)) > 0; at += got)
                if (pwrite(out, piece, (size_t)got, at) != got)
                        return error_set_errno(error, errno, NULL, "cannot write %s", path);
        return (got == 0 && fsync(out) == 0) || error_set_errno(error, errno, NULL, "cannot write %s", path);
}

static bool create(const HostlerPoolConfig *pool, const char *volume, int64_t room_bytes, GError **error)
{
        g_autofree char *group = group_of(pool), *size = g_strdup_printf("%" G_GINT64_FORMAT "b", room_bytes);
        g_autofree char *tag = g_strconcat(TAG_VOLUME, pool->identity, NULL);
        const char *const argv[] = {"lvcreate",
                                    "--quiet",
                                    "--yes",
                                    "--type",
                                    "thin",
                                    "--thinpool",
                                    strchr(pool->source, '/') + 1,
                                    "-V",
                                    size,
                                    "-n",
                                    strchr(volume, '/') + 1,
                                    "-W",
                                    "n",
                                    "--addtag",
                                    tag,
                                    group,
                                    NULL};
        return run(argv, NULL, error);
}

static bool lvm_remove(const HostlerPoolConfig *pool, const char *path, GError **error);

static bool lvm_put(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, const char *content,
                    GError **error)
{
        g_autofree char *group = group_of(pool), *uuid = g_uuid_string_random();
        g_autofree char *volume = g_strdup_printf("%s/" VOLUME "%.8s%.4s", group, uuid, uuid + 24);
        g_autofree char *device = g_strdup_printf("/dev/%s", volume);
        if (symlink(device, path) < 0)
                return error_set_errno(error, errno, NULL, "Making disk %s", path);
        if (create(pool, volume, room_bytes, error) && (!content || write_content(path, content, error)))
                return true;
        say_if_full(pool, error);
        lvm_remove(pool, path, NULL);
        return false;
}

/* Also when what `lvremove` complains of is that there is none. */
static bool remove_volume(const char *volume, GError **error)
{
        const char *const argv[] = {"lvremove", "--quiet", "--yes", "--force", volume, NULL};
        g_autofree char *select = g_strdup_printf("lv_name=%s", strchr(volume, '/') + 1);
        g_autoptr(GError) problem = NULL;
        if (run(argv, NULL, &problem))
                return true;
        json_auto_t *rows = list(select, NULL);
        if (rows && json_array_size(rows) == 0)
                return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
}

static bool lvm_remove(const HostlerPoolConfig *pool, const char *path, GError **error)
{
        g_autofree char *volume = volume_of(pool, path);
        if (volume && !remove_volume(volume, error))
                return false;
        return unlink(path) == 0 || errno == ENOENT || error_set_errno(error, errno, NULL, "Deleting disk %s", path);
}

static int64_t lvm_room(const HostlerPoolConfig *pool, const char *path, GError **error)
{
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint64_t bytes = 0;
        if (fd >= 0 && ioctl(fd, BLKGETSIZE64, &bytes) == 0)
                return (int64_t)bytes;
        error_set_errno(error, errno, NULL, "cannot look at %s", path);
        return -1;
}

static bool lvm_make_room(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, GError **error)
{
        int64_t now = lvm_room(pool, path, error);
        g_autofree char *volume = volume_of(pool, path);
        g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT "b", room_bytes);
        const char *const argv[] = {"lvextend", "--quiet", "-L", size, volume, NULL};
        return now >= 0 && (now >= room_bytes || run(argv, NULL, error) || say_if_full(pool, error));
}

/* What all volumes took a moment ago: LVM is asked once for a list of them, and not for each. */
static struct {
        GMutex lock;
        json_t *rows;
        int64_t asked_ms;
} usage;

static json_t *usage_rows(void)
{
        g_mutex_lock(&usage.lock);
        bool fresh = usage.rows && clock_monotonic_ms() - usage.asked_ms < USAGE_MS;
        json_t *rows = fresh ? json_incref(usage.rows) : NULL;
        g_mutex_unlock(&usage.lock);
        if (rows || !(rows = list("segtype=thin", NULL)))
                return rows;
        g_mutex_lock(&usage.lock);
        json_decref(usage.rows);
        usage.rows = json_incref(rows);
        usage.asked_ms = clock_monotonic_ms();
        g_mutex_unlock(&usage.lock);
        return rows;
}

static int64_t lvm_allocated(const HostlerPoolConfig *pool, const char *path)
{
        g_autofree char *volume = volume_of(pool, path);
        json_auto_t *rows = volume ? usage_rows() : NULL;
        json_t *row;
        size_t i;
        json_array_foreach (rows, i, row) {
                g_autofree char *name = g_strdup_printf("%s/%s", field(row, "vg_name"), field(row, "lv_name"));
                if (strcmp(name, volume) == 0)
                        return (int64_t)(g_ascii_strtod(field(row, "lv_size"), NULL) *
                                         g_ascii_strtod(field(row, "data_percent"), NULL) / 100.0);
        }
        return 0;
}

static json_t *lvm_node(const HostlerPoolConfig *pool, const char *path)
{
        return json_pack("{s:s, s:s, s:s, s:{s:b}}", "driver", "host_device", "filename", path, "locking", "on",
                         "cache", "direct", 1);
}

static const PoolVolumes lvm_volumes = {
    .put = lvm_put,
    .remove = lvm_remove,
    .make_room = lvm_make_room,
    .room = lvm_room,
    .allocated = lvm_allocated,
    .node = lvm_node,
};

const PoolType pool_lvm = {
    .type = HOSTLER_POOL_TYPE_LVM_THIN,
    .make = lvm_make,
    .unmake = lvm_unmake,
    .check = lvm_check,
    .space = lvm_space,
    .volume = catalogue_volume,
    .prepare = catalogue_prepare,
    .forget = catalogue_forget,
    .volumes = &lvm_volumes,
};
