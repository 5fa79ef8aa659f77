/* A folder that becomes a root file system: put together from files, then made into ext4. Blocks: worker threads only.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

/* Copies file @source to @root/@relative, following symlinks in @source, with its permissions; makes folders on the
 * way. */
bool tree_copy_file(const char *root, const char *relative, const char *source, GError **error);
/* Copies all below folder @source into @root, symlinks as they are. What exists is replaced. */
bool tree_copy_folder(const char *root, const char *source, GError **error);
/* Makes symlink @relative → @target unless something is there. */
bool tree_symlink(const char *root, const char *relative, const char *target, GError **error);
bool tree_folder(const char *root, const char *relative, GError **error);
bool tree_write(const char *root, const char *relative, const char *text, GError **error);

/* Called for every entry below the root, folders before what is in them; @relative has no leading slash. */
typedef bool (*TreeFunc)(const char *relative, const char *path, void *data, GError **error);
bool tree_walk(const char *root, TreeFunc func, void *data, GError **error);

/* Who owns a file of the new file system, where that is not root, or what its mode is, where a plain user cannot make
 * it so. */
typedef struct {
        unsigned uid, gid;
        unsigned mode; /* st_mode; 0: as it is in the tree */
} TreeOwner;

typedef struct {
        const char *tree;
        GHashTable *owners;               /* relative path → TreeOwner, or NULL */
        const char *output;               /* file made if need be */
        int64_t offset_bytes, size_bytes; /* where in the file the file system lies */
        const char *label;                /* at most 16 bytes */
        GCancellable *cancellable;
} TreeExt4;
/* Makes an ext4 file system of the tree, in which everything belongs to root but for @owners. Needs no privileges. */
bool tree_make_ext4(const TreeExt4 *ext4, GError **error);
