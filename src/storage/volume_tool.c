/*
 * qemu-img on volumes of our own. See volume_tool.h. Formats are always said to it; what a volume stands on it finds by
 * the headers, in which only we write. Called by volume.c, volume_copy.c and the vm layer.
 */
#include "storage/volume_tool.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/catalogue.h"
#include "storage/volume.h"

#define TIMEOUT_MS ((int64_t)6 * 60 * 60 * 1000)
#define INFO_TIMEOUT_MS 60000

char *volume_argument(const char *path)
{
        g_auto(CatalogueEntry) entry = {0};
        return catalogue_find(path, &entry) && entry.volumes->name ? entry.volumes->name(&entry.pool, path)
                                                                   : g_strdup(path);
}

bool volume_tool_info(const char *path, VolumeInfo *ret_info, GError **error)
{
        g_autofree char *argument = volume_argument(path);
        const char *const argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", "qcow2", argument, NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = INFO_TIMEOUT_MS};
        json_auto_t *info = process_run_json(&options, error);
        if (!info) {
                if (error && strstr((*error)->message, "Unknown driver"))
                        error_hint(error, "apt install qemu-block-extra");
                return false;
        }
        ret_info->size_bytes = json_integer_value(json_object_get(info, "virtual-size"));
        ret_info->backing = g_strdup(json_string_value(json_object_get(info, "backing-filename")));
        return true;
}

/* ---- qemu-img ---- */

/* "    (12.34/100%)" */
static void follow(const char *line, void *data)
{
        const VolumeTool *tool = data;
        const char *open = strchr(line, '(');
        if (tool->progress && open && strstr(open, "/100%"))
                tool->progress(g_ascii_strtod(open + 1, NULL), tool->data);
}

static bool run(const VolumeTool *tool, const char *const *argv, const char *written, GError **error)
{
        ProcessOptions options = {.argv = argv,
                                  .timeout_ms = TIMEOUT_MS,
                                  .cancellable = tool->cancellable,
                                  .line = follow,
                                  .line_data = (void *)tool};
        return process_run(&options, NULL, error) && file_sync(written, error);
}

bool volume_tool_convert(const VolumeTool *tool, const char *from, const char *to, GError **error)
{
        g_auto(VolumeInfo) info = {0};
        if (!volume_info(from, &info, error) || !volume_create_empty(to, info.size_bytes, error))
                return false;
        g_autofree char *source = volume_argument(from), *target = volume_argument(to);
        const char *const argv[] = {
            "qemu-img",        "convert", "-p",   "-n", "--target-is-zero", "-f", volume_format(from), "-O",
            volume_format(to), source,    target, NULL};
        return run(tool, argv, to, error);
}

bool volume_tool_copy(const VolumeTool *tool, const char *from, const char *to, bool there, GError **error)
{
        g_autofree char *source = volume_argument(from), *target = volume_argument(to);
        const char *const fresh[] = {"qemu-img", "convert", "-p", "-f", "raw", "-O", "raw", source, target, NULL};
        const char *const over[] = {"qemu-img", "convert", "-p",   "-n", "--target-is-zero", "-f", "raw", "-O",
                                    "raw",      source,    target, NULL};
        return run(tool, there ? over : fresh, to, error);
}

bool volume_tool_rename_backing(const VolumeTool *tool, const char *path, const char *backing, GError **error)
{
        g_autofree char *argument = volume_argument(path);
        const char *const argv[] = {"qemu-img", "rebase", "-u",     "-f", "qcow2", "-F", volume_format(backing),
                                    "-b",       backing,  argument, NULL};
        return run(tool, argv, path, error);
}

bool volume_tool_rebase(const VolumeTool *tool, const char *path, const char *backing, GError **error)
{
        g_autofree char *argument = volume_argument(path);
        const char *const bare[] = {"qemu-img", "rebase", "-p", "-f", "qcow2", "-b", "", argument, NULL};
        const char *const argv[] = {
            "qemu-img", "rebase", "-p",     "-f", "qcow2", "-F", backing ? volume_format(backing) : "",
            "-b",       backing,  argument, NULL};
        return run(tool, backing ? argv : bare, path, error);
}
