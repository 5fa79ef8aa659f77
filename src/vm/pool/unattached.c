/*
 * Volumes that no VM has. See unattached.h. Called by the verbs on volumes, and where disks take or leave one.
 */
#include "vm/pool/unattached.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/volume.h"
#include "vm/snapshot/layers_work.h"

void unattached_clear(Unattached *volume)
{
        g_free(volume->pool);
        g_free(volume->file);
        g_free(volume->path);
}

static bool is_volume(const char *file)
{
        return file[0] != '.' && !strchr(file, '/') && (volume_is_raw(file) || g_str_has_suffix(file, VOLUME_QCOW2));
}

static gint compare(gconstpointer a, gconstpointer b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **unattached_list(const HostlerPoolConfig *pool)
{
        g_autofree char *folder = pool_type(pool)->volume(pool, POOL_KEPT, "");
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir)))
                if (is_volume(name))
                        g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_sort(names, compare);
        g_ptr_array_add(names, NULL);
        return (char **)g_ptr_array_steal(names, NULL);
}

/* ---- names ---- */

char *unattached_name(Vm *vm, const char *disk, const char *head)
{
        g_autofree char *name = vm_name(vm);
        return g_strdup_printf("%s-%.8s-%s%s", name, vm_id(vm), disk, volume_is_raw(head) ? VOLUME_RAW : VOLUME_QCOW2);
}

char *unattached_was(const char *file)
{
        g_autoptr(GRegex) form = g_regex_new("^(.+)-[0-9a-f]{8}-(.+)\\.(?:qcow2|raw)$", 0, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        if (!g_regex_match(form, file, 0, &match))
                return NULL;
        g_autofree char *vm = g_match_info_fetch(match, 1), *disk = g_match_info_fetch(match, 2);
        return g_strdup_printf("%s/%s", vm, disk);
}

/* ---- finding ---- */

/* Whose disk the layer called so is, for the refusal. */
static void name_owner(Manager *manager, const char *pool, const char *file, GError **error)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, false);
        for (guint i = 0; i < vms->len; i++) {
                HostlerVmHistory history;
                g_autofree char *name = vm_name(vms->pdata[i]);
                layers_history(vms->pdata[i], &history);
                for (size_t k = 0; k < history.layers.count; k++) {
                        const char *layer = history.layers.items[k].file;
                        g_autofree char *own = pools_of_layer(layer), *base = g_path_get_basename(layer);
                        if (strcmp(own ? own : POOL_DEFAULT, pool) == 0 && strcmp(base, file) == 0)
                                error_cause(error, NULL, "a disk of %s is made of one called so", name);
                }
                record_clear(&hostler_vm_history_type, &history);
        }
}

static bool look(const HostlerPoolConfig *pool, const char *file, Unattached *ret_volume)
{
        g_autofree char *path = pool_type(pool)->volume(pool, POOL_KEPT, file);
        if (!is_volume(file) || !volume_exists(path))
                return false;
        *ret_volume = (Unattached){g_strdup(pool->name), g_strdup(file), g_steal_pointer(&path)};
        return true;
}

/* False and error when the pool is not there; @ret_volume->file is NULL when it has no such volume. */
static bool search(Manager *manager, const char *pool, const char *name, Unattached *ret_volume, GError **error)
{
        static const char *const endings[] = {"", VOLUME_QCOW2, VOLUME_RAW};
        HostlerPoolConfig config;
        if (!pools_find(manager, pool, &config, error))
                return false;
        bool there = pool_type(&config)->check(&config, error), found = false;
        for (size_t i = 0; there && !found && i < G_N_ELEMENTS(endings); i++) {
                g_autofree char *file = g_strconcat(name, endings[i], NULL);
                found = look(&config, file, ret_volume);
        }
        record_clear(&hostler_pool_config_type, &config);
        return there;
}

bool unattached_find(Manager *manager, const char *pool, const char *name, Unattached *ret_volume, GError **error)
{
        if (!search(manager, pool, name, ret_volume, error))
                return false;
        if (ret_volume->file)
                return true;
        g_autofree char *object = g_strdup_printf("volume/%s", name);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "pool %s has no unattached volume “%s”", pool, name);
        name_owner(manager, pool, name, error);
        return error_hint(error, "hostler volume ls --pool %s", pool);
}

bool unattached_check_free(Manager *manager, const char *pool, const char *name, GError **error)
{
        g_auto(Unattached) other = {0};
        g_autofree char *object = g_strdup_printf("volume/%s", name);
        return search(manager, pool, name, &other, error) &&
               (!other.file ||
                error_set(error, HOSTLER_ERROR_EXISTS, object, "pool %s has a volume %s", pool, other.file));
}

/* ---- moving and showing ---- */

bool unattached_move(const char *from, const char *to, GError **error)
{
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
                return true;
        /* A network share may not know the flag; there the look before has to do. */
        if (errno == EINVAL && !g_file_test(to, G_FILE_TEST_EXISTS) && rename(from, to) == 0)
                return true;
        return error_set_errno(error, errno == EINVAL ? EEXIST : errno, NULL, "cannot move %s to %s", from, to);
}

bool volume_describe(const char *pool, const char *path, HostlerVolume *ret_volume, GError **error)
{
        g_auto(VolumeInfo) info = {0};
        if (!volume_info(path, &info, error))
                return false;
        record_init(&hostler_volume_type, ret_volume);
        ret_volume->name = g_path_get_basename(path);
        ret_volume->pool = g_strdup(pool);
        ret_volume->format = volume_is_raw(path) ? HOSTLER_DISK_FORMAT_RAW : HOSTLER_DISK_FORMAT_QCOW2;
        ret_volume->size = info.size_bytes;
        ret_volume->allocated = volume_allocated(path);
        return true;
}
