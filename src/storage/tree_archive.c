/*
 * Unpacks the archive of a root file system through libarchive without being root. Called by the Debian image's recipe,
 * on an archive that was just made on this host; it is checked like a foreign one all the same.
 */
#include "storage/tree_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

#define EXTRACT_FLAGS                                                                                                  \
        (ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT |                               \
         ARCHIVE_EXTRACT_SECURE_SYMLINKS)
#define BLOCK_BYTES (1 << 20)

GHashTable *tree_owners_new(void)
{
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

/* "./usr/bin/" → "usr/bin"; NULL for the root itself. Absolute names and ".." are for nobody. */
static char *clean_path(const char *path, GError **error)
{
        g_auto(GStrv) parts = g_strsplit(path ? path : "/", "/", -1);
        g_autoptr(GStrvBuilder) kept = g_strv_builder_new();
        g_auto(GStrv) names = NULL;

        if (!path || *path == '/' || g_strv_contains((const char *const *)parts, "..")) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "The archive has an entry outside of it");
                return NULL;
        }
        for (char **part = parts; *part; part++)
                if (**part && strcmp(*part, ".") != 0)
                        g_strv_builder_add(kept, *part);
        names = g_strv_builder_end(kept);
        return g_strjoinv("/", names);
}

/* What the builder can have on his own disk: readable by him, no set-uid bits. */
static mode_t plain_mode(mode_t mode)
{
        return (mode & (S_IFMT | 0777)) | (S_ISDIR(mode) ? 0700 : 0600);
}

static void remember(GHashTable *owners, const char *relative, struct archive_entry *entry)
{
        TreeOwner *owner = g_new0(TreeOwner, 1);

        owner->uid = (unsigned)archive_entry_uid(entry);
        owner->gid = (unsigned)archive_entry_gid(entry);
        owner->mode = S_ISLNK(archive_entry_mode(entry)) ? 0 : archive_entry_mode(entry);
        g_hash_table_replace(owners, g_strdup(relative), owner);
}

/* Points the entry into @root. False with error for a hard link that leaves it. */
static bool entry_move(struct archive_entry *entry, const char *root, const char *relative, GError **error)
{
        g_autofree char *path = g_build_filename(root, relative, NULL);
        const char *link = archive_entry_hardlink(entry);

        archive_entry_set_pathname(entry, path);
        if (link) {
                g_autofree char *target = clean_path(link, error);
                g_autofree char *target_path = target ? g_build_filename(root, target, NULL) : NULL;

                if (!target)
                        return false;
                archive_entry_set_hardlink(entry, target_path);
        } else {
                archive_entry_set_mode(entry, plain_mode(archive_entry_mode(entry)));
        }
        return true;
}

static bool copy_data(struct archive *from, struct archive *to)
{
        const void *block;
        size_t length;
        la_int64_t offset;
        int result;

        while ((result = archive_read_data_block(from, &block, &length, &offset)) == ARCHIVE_OK)
                if (archive_write_data_block(to, block, length, offset) < ARCHIVE_WARN)
                        return false;
        return result == ARCHIVE_EOF && archive_write_finish_entry(to) >= ARCHIVE_WARN;
}

static bool unpack_entry(struct archive *from, struct archive *to, struct archive_entry *entry, const char *root,
                         GHashTable *owners, GError **error)
{
        mode_t type = archive_entry_filetype(entry);
        g_autofree char *relative = clean_path(archive_entry_pathname(entry), error);
        bool is_link = archive_entry_hardlink(entry) != NULL;

        if (!relative)
                return false;
        if (!*relative || type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO || type == AE_IFSOCK)
                return true;
        if (!is_link)
                remember(owners, relative, entry);
        if (!entry_move(entry, root, relative, error))
                return false;
        if (archive_write_header(to, entry) < ARCHIVE_WARN || !copy_data(from, to))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "Unpacking %s: %s", relative,
                                 archive_error_string(to) ? archive_error_string(to) : "damaged");
        return true;
}

static bool unpack_all(struct archive *from, struct archive *to, const char *root, GHashTable *owners,
                       GCancellable *cancellable, GError **error)
{
        struct archive_entry *entry;
        int result;

        while ((result = archive_read_next_header(from, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN) {
                if (g_cancellable_is_cancelled(cancellable))
                        return error_set(error, HOSTLER_ERROR_CANCELLED, NULL, "Cancelled while unpacking");
                if (!unpack_entry(from, to, entry, root, owners, error))
                        return false;
        }
        return result == ARCHIVE_EOF ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "Reading the archive: %s", archive_error_string(from));
}

bool tree_unpack(const char *archive_path, const char *root, GHashTable *ret_owners, GCancellable *cancellable,
                 GError **error)
{
        g_autofree char *real_root = g_canonicalize_filename(root, NULL);
        struct archive *from = archive_read_new();
        struct archive *to = archive_write_disk_new();
        bool done;

        archive_read_support_format_tar(from);
        archive_read_set_options(from,
                                 "tar:hdrcharset=BINARY"); /* names are bytes, whatever this process's locale is */
        archive_write_disk_set_options(to, EXTRACT_FLAGS);
        if (archive_read_open_filename(from, archive_path, BLOCK_BYTES) != ARCHIVE_OK)
                done = error_set(error, HOSTLER_ERROR_FAILED, NULL, "Opening %s: %s", archive_path,
                                 archive_error_string(from));
        else
                done = unpack_all(from, to, real_root, ret_owners, cancellable, error);
        if (archive_write_free(to) != ARCHIVE_OK && done)
                done = error_set(error, HOSTLER_ERROR_FAILED, NULL, "Unpacking %s", archive_path);
        archive_read_free(from);
        return done;
}
