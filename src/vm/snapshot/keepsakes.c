/*
 * Keepsakes of parts: copied while the VM stands still, put in place by renaming. See keepsakes.h. A copy is a folder
 * with one entry for each: the file or flat folder under its own name, or an empty file NAME.missing.
 */
#include "vm/snapshot/keepsakes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define MISSING ".missing"
/* A TPM's state is some ten KiB, firmware's variables half a MiB. */
#define FILE_MAX_BYTES (64 << 20)

/* ---- whose ---- */

static void add_names(const HostlerSpec *spec, GPtrArray *names)
{
        for (size_t i = 0; i < spec->count; i++) {
                const DeviceType *type = device_type(spec->items[i].kind);
                const char *name = type && type->keepsake ? type->keepsake(&spec->items[i]) : NULL;
                if (name && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                        g_ptr_array_add(names, g_strdup(name));
        }
}

/* As it is wanted and as it was started: a change of firmware that is pending has the files of both. */
static GPtrArray *names_of(Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        add_names(&spec->value, names);
        add_names(&runtime.launched, names);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return names;
}

bool keepsakes_are_there(Vm *vm)
{
        g_autoptr(GPtrArray) names = names_of(vm);
        return names->len > 0;
}

/* ---- copying ---- */

static bool copy_file(const char *from, const char *to, GError **error)
{
        gsize length;
        g_autofree char *bytes = file_read(from, FILE_MAX_BYTES, &length, error);
        return bytes && file_write_atomic(to, bytes, length, 0600, true, error);
}

static bool copy_entry(const char *from_dir, const char *name, const char *to_dir, GError **error);

static bool copy_folder(const char *from, const char *to, GError **error)
{
        g_autoptr(GDir) dir = g_dir_open(from, 0, error);
        const char *name;
        if (!dir || !dir_ensure(to, error))
                return false;
        while ((name = g_dir_read_name(dir)))
                if (!copy_entry(from, name, to, error))
                        return false;
        return file_sync(to, error);
}

/* Files and folders of them; nothing else is any part's state. */
static bool copy_entry(const char *from_dir, const char *name, const char *to_dir, GError **error)
{
        g_autofree char *from = g_build_filename(from_dir, name, NULL), *to = g_build_filename(to_dir, name, NULL);
        if (g_file_test(from, G_FILE_TEST_IS_SYMLINK))
                return true;
        if (g_file_test(from, G_FILE_TEST_IS_DIR))
                return copy_folder(from, to, error);
        return !g_file_test(from, G_FILE_TEST_IS_REGULAR) || copy_file(from, to, error);
}

static bool copy_or_note(Vm *vm, const char *name, const char *to, GError **error)
{
        g_autofree char *from = vm_path(vm, name), *missing = g_strconcat(to, "/", name, MISSING, NULL);
        if (!g_file_test(from, G_FILE_TEST_EXISTS))
                return file_write_atomic(missing, "", 0, 0600, true, error);
        return copy_entry(vm_dir(vm), name, to, error);
}

bool keepsakes_copy(Vm *vm, const char *to, GError **error)
{
        g_autoptr(GPtrArray) names = names_of(vm);
        if (!dir_remove(to, error) || !dir_ensure(to, error))
                return false;
        for (guint i = 0; i < names->len; i++)
                if (!copy_or_note(vm, names->pdata[i], to, error))
                        return false;
        return file_sync(to, error);
}

bool keepsakes_duplicate(const char *from, const char *to, GError **error)
{
        return dir_remove(to, error) && (!g_file_test(from, G_FILE_TEST_EXISTS) || copy_folder(from, to, error));
}

/* ---- putting in place ---- */

static bool place(const char *from_dir, const char *entry, const char *vm_dir, GError **error)
{
        bool missing = g_str_has_suffix(entry, MISSING);
        g_autofree char *name = g_strndup(entry, strlen(entry) - (missing ? strlen(MISSING) : 0));
        g_autofree char *from = g_build_filename(from_dir, entry, NULL), *to = g_build_filename(vm_dir, name, NULL);
        /* A folder cannot be renamed over another one. */
        if ((missing || g_file_test(to, G_FILE_TEST_IS_DIR)) && !dir_remove(to, error))
                return false;
        return missing || rename(from, to) == 0 || error_set_errno(error, errno, NULL, "cannot move %s", from);
}

bool keepsakes_place(const char *from, const char *vm_dir, GError **error)
{
        g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir)))
                if (!place(from, name, vm_dir, error))
                        return false;
        return file_sync(vm_dir, error) && dir_remove_durably(from, error);
}
