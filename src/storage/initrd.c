/*
 * Writes a folder as an initial RAM disk through libarchive, so that neither cpio nor root nor fakeroot is needed.
 * Called by the tiny image's recipe.
 */
#include "storage/initrd.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/tree.h"

#define FILE_LIMIT (64 << 20)

typedef struct archive_entry Entry;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Entry, archive_entry_free)
typedef struct archive Archive;
static void archive_end(Archive *archive)
{
        archive_write_free(archive);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Archive, archive_end)

static bool add(Archive *archive, Entry *entry, const void *content, gsize length, GError **error)
{
        archive_entry_set_size(entry, (int64_t)length);
        if (archive_write_header(archive, entry) != ARCHIVE_OK ||
            (length > 0 && archive_write_data(archive, content, length) != (ssize_t)length))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "Writing the initial RAM disk: %s",
                                 archive_error_string(archive));
        return true;
}

static bool add_path(const char *relative, const char *path, void *data, GError **error)
{
        g_autoptr(Entry) entry = archive_entry_new();
        g_autofree char *content = NULL;
        gsize length = 0;
        struct stat status;

        if (lstat(path, &status) < 0)
                return error_set_errno(error, errno, NULL, "Reading %s", path);
        archive_entry_set_pathname(entry, relative);
        archive_entry_set_mode(entry, status.st_mode);
        if (S_ISLNK(status.st_mode)) {
                g_autofree char *target = g_file_read_link(path, error);

                if (!target)
                        return false;
                archive_entry_set_symlink(entry, target);
        } else if (S_ISREG(status.st_mode)) {
                content = file_read(path, FILE_LIMIT, &length, error);
                if (!content)
                        return false;
        }
        return add(data, entry, content, length, error);
}

static bool add_console(Archive *archive, GError **error)
{
        g_autoptr(Entry) entry = archive_entry_new();

        archive_entry_set_pathname(entry, "dev/console");
        archive_entry_set_mode(entry, S_IFCHR | 0600);
        archive_entry_set_rdev(entry, makedev(5, 1));
        return add(archive, entry, NULL, 0, error);
}

bool initrd_write(const char *tree, const char *output, GError **error)
{
        g_autoptr(Archive) archive = archive_write_new();

        if (archive_write_set_format_cpio_newc(archive) != ARCHIVE_OK ||
            archive_write_add_filter_gzip(archive) != ARCHIVE_OK ||
            archive_write_set_options(archive, "gzip:compression-level=9,gzip:!timestamp") < ARCHIVE_WARN ||
            archive_write_open_filename(archive, output) != ARCHIVE_OK)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "Opening %s: %s", output,
                                 archive_error_string(archive));
        if (!tree_walk(tree, add_path, archive, error) || !add_console(archive, error))
                return false;
        if (archive_write_close(archive) != ARCHIVE_OK)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "Writing %s: %s", output,
                                 archive_error_string(archive));
        return true;
}
