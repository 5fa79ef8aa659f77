/*
 * Puts a root file system together in a folder and makes ext4 out of it with mke2fs and debugfs.
 *
 * mke2fs copies the owners of the folder's files, which are the builder's; debugfs then sets the right ones inside the
 * file system. So no root, user namespace or loop device is needed, and the result is the same for every builder.
 * Called by the image recipes.
 */
#include "storage/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define COMMAND_TIMEOUT_MS (20 * 60 * 1000)
#define MAX_DEPTH 64

bool tree_folder(const char *root, const char *relative, GError **error)
{
        g_autofree char *path = g_build_filename(root, relative, NULL);

        /* dir_ensure() makes private folders; these are the guest's. */
        if (g_mkdir_with_parents(path, 0755) == 0)
                return true;
        return error_set_errno(error, errno, NULL, "Making folder %s", path);
}

static bool parent_make(const char *root, const char *relative, GError **error)
{
        g_autofree char *parent = g_path_get_dirname(relative);

        return tree_folder(root, parent, error);
}

bool tree_copy_file(const char *root, const char *relative, const char *source, GError **error)
{
        g_autofree char *path = g_build_filename(root, relative, NULL);
        g_autoptr(GFile) from = g_file_new_for_path(source);
        g_autoptr(GFile) to = g_file_new_for_path(path);

        return parent_make(root, relative, error) &&
               (g_file_copy(from, to, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, error) ||
                error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "Copying %s", source));
}

bool tree_symlink(const char *root, const char *relative, const char *target, GError **error)
{
        g_autofree char *path = g_build_filename(root, relative, NULL);

        if (!parent_make(root, relative, error))
                return false;
        if (symlink(target, path) == 0 || errno == EEXIST)
                return true;
        return error_set_errno(error, errno, NULL, "Making symlink %s", path);
}

bool tree_write(const char *root, const char *relative, const char *text, GError **error)
{
        g_autofree char *path = g_build_filename(root, relative, NULL);

        return parent_make(root, relative, error) && file_write_atomic(path, text, strlen(text), 0644, false, error);
}

static bool walk(const char *root, const char *relative, int depth, TreeFunc func, void *data, GError **error)
{
        g_autofree char *folder = g_build_filename(root, relative, NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
        const char *name;

        if (!dir)
                return false;
        if (depth > MAX_DEPTH)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "Folder %s is too deep", folder);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *entry = relative ? g_build_filename(relative, name, NULL) : g_strdup(name);
                g_autofree char *path = g_build_filename(root, entry, NULL);
                struct stat status;

                if (lstat(path, &status) < 0)
                        return error_set_errno(error, errno, NULL, "Reading %s", path);
                if (!func(entry, path, data, error) ||
                    (S_ISDIR(status.st_mode) && !walk(root, entry, depth + 1, func, data, error)))
                        return false;
        }
        return true;
}

bool tree_walk(const char *root, TreeFunc func, void *data, GError **error)
{
        return walk(root, NULL, 0, func, data, error);
}

static bool copy_entry(const char *relative, const char *path, void *data, GError **error)
{
        const char *root = data;
        g_autofree char *target = NULL;

        if (g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
                target = g_file_read_link(path, error);
                return target && tree_symlink(root, relative, target, error);
        }
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
                return tree_folder(root, relative, error);
        return tree_copy_file(root, relative, path, error);
}

bool tree_copy_folder(const char *root, const char *source, GError **error)
{
        return tree_walk(source, copy_entry, (void *)root, error);
}

/* ---- ext4 ---- */

typedef struct {
        GHashTable *owners;
        GString *script;
} OwnerScript;

/* debugfs reads a command a line; a double quote inside a quoted word is written twice. */
static bool append_path(GString *script, const char *relative, GError **error)
{
        g_string_append(script, "\"/");
        for (const char *c = relative; *c; c++) {
                if (g_ascii_iscntrl(*c))
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "A file name has a control character");
                if (*c == '"')
                        g_string_append_c(script, '"');
                g_string_append_c(script, *c);
        }
        g_string_append_c(script, '"');
        return true;
}

static bool append_field(GString *script, const char *relative, const char *field, const char *value, GError **error)
{
        g_string_append(script, "set_inode_field ");
        if (!append_path(script, relative, error))
                return false;
        g_string_append_printf(script, " %s %s\n", field, value);
        return true;
}

static bool append_owner(GString *script, const char *relative, const TreeOwner *owner, GError **error)
{
        g_autofree char *uid = g_strdup_printf("%u", owner->uid);
        g_autofree char *gid = g_strdup_printf("%u", owner->gid);
        g_autofree char *mode = g_strdup_printf("0%o", owner->mode);

        return append_field(script, relative, "uid", uid, error) && append_field(script, relative, "gid", gid, error) &&
               (owner->mode == 0 || append_field(script, relative, "mode", mode, error));
}

static bool script_entry(const char *relative, const char *path, void *data, GError **error)
{
        static const TreeOwner root_owner = {0};
        OwnerScript *owners = data;
        const TreeOwner *owner = owners->owners ? g_hash_table_lookup(owners->owners, relative) : NULL;

        return append_owner(owners->script, relative, owner ? owner : &root_owner, error);
}

/* debugfs ends well whatever its commands came to; what is not the echo of a command is a complaint. */
static void note_complaint(const char *line, void *data)
{
        char **complaint = data;

        if (*line && !*complaint && !g_str_has_prefix(line, "debugfs"))
                *complaint = g_strdup(line);
}

static bool owners_set(const TreeExt4 *ext4, GError **error)
{
        g_autoptr(GString) script = g_string_new(NULL);
        g_autofree char *script_path = g_strconcat(ext4->output, ".owners", NULL);
        g_autofree char *device = g_strdup_printf("%s?offset=%" G_GINT64_FORMAT, ext4->output, ext4->offset_bytes);
        g_autofree char *complaint = NULL;
        OwnerScript owners = {ext4->owners, script};
        const char *const argv[] = {"debugfs", "-w", "-f", script_path, device, NULL};
        ProcessOptions options = {.argv = argv,
                                  .timeout_ms = COMMAND_TIMEOUT_MS,
                                  .output_limit_bytes = 64 << 20, /* it repeats every command */
                                  .cancellable = ext4->cancellable,
                                  .line = note_complaint,
                                  .line_data = &complaint};
        bool done;

        if (!tree_walk(ext4->tree, script_entry, &owners, error) ||
            !file_write_atomic(script_path, script->str, script->len, 0600, false, error))
                return false;
        done = process_run(&options, NULL, error);
        unlink(script_path);
        return done &&
               (!complaint || error_set(error, HOSTLER_ERROR_FAILED, NULL, "Setting file owners: %s", complaint));
}

bool tree_make_ext4(const TreeExt4 *ext4, GError **error)
{
        g_autofree char *extended = g_strdup_printf(
            "root_owner=0:0,offset=%" G_GINT64_FORMAT ",lazy_itable_init=0,lazy_journal_init=0", ext4->offset_bytes);
        g_autofree char *blocks = g_strdup_printf("%" G_GINT64_FORMAT "k", ext4->size_bytes / 1024);
        /* Features that newer mke2fs turn on and the kernels and boot loaders of the images do not know. */
        const char *const argv[] = {"mke2fs",     "-q",     "-F",
                                    "-t",         "ext4",   "-b",
                                    "4096",       "-O",     "^metadata_csum_seed,^orphan_file",
                                    "-E",         extended, "-L",
                                    ext4->label,  "-d",     ext4->tree,
                                    ext4->output, blocks,   NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = COMMAND_TIMEOUT_MS, .cancellable = ext4->cancellable};
        int fd = open(ext4->output, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || ftruncate(fd, ext4->offset_bytes + ext4->size_bytes) < 0) {
                error_set_errno(error, errno, NULL, "Making %s", ext4->output);
                if (fd >= 0)
                        close(fd);
                return false;
        }
        close(fd);
        return process_run(&options, NULL, error) && owners_set(ext4, error);
}
