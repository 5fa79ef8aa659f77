/*
 * Reads modules.dep ("PATH: PATH PATH …" a line) and orders modules by need. Called by the tiny image's recipe.
 */
#include "storage/kernel_modules.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define MODULES_DEP_LIMIT (16 << 20)

/* "kernel/drivers/block/virtio_blk.ko" → "virtio_blk"; "-" and "_" mean the same in module names. */
static char *module_name(const char *path)
{
        g_autofree char *base = g_path_get_basename(path);
        char *dot = strchr(base, '.');

        if (dot)
                *dot = '\0';
        return g_strdelimit(g_steal_pointer(&base), "-", '_');
}

typedef struct {
        char *path;
        char **needs; /* paths */
        bool taken;
} Module;

static void module_free(void *data)
{
        Module *module = data;

        g_free(module->path);
        g_strfreev(module->needs);
        g_free(module);
}

static GHashTable *modules_read(const char *text)
{
        GHashTable *modules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, module_free);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (char **line = lines; *line; line++) {
                char *colon = strchr(*line, ':');
                Module *module;

                if (!colon)
                        continue;
                *colon = '\0';
                module = g_new0(Module, 1);
                module->path = g_strdup(*line);
                module->needs = g_strsplit(g_strstrip(colon + 1), " ", -1);
                g_hash_table_insert(modules, module_name(*line), module);
        }
        return modules;
}

static void module_take(GHashTable *modules, const char *name, GPtrArray *ret_paths)
{
        Module *module = g_hash_table_lookup(modules, name);

        if (!module || module->taken)
                return;
        module->taken = true;
        for (char **need = module->needs; *need; need++) {
                g_autofree char *needed = module_name(*need);

                module_take(modules, needed, ret_paths);
        }
        g_ptr_array_add(ret_paths, g_strdup(module->path));
}

bool kernel_modules_closure(const char *modules_dep, const char *const *names, GPtrArray *ret_paths, GError **error)
{
        g_autofree char *text = file_read(modules_dep, MODULES_DEP_LIMIT, NULL, error);
        g_autoptr(GHashTable) modules = NULL;

        if (!text)
                return false;
        modules = modules_read(text);
        for (; *names; names++)
                module_take(modules, *names, ret_paths);
        return true;
}
