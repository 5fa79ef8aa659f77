/* Unpacking an archive into a tree as any user, remembering what only root could have set. Blocks: worker threads only.
 */
#pragma once

#include "storage/tree.h"

/*
 * Unpacks tar file @archive_path below folder @root. Owners, and modes a plain user cannot give or could not read back,
 * go into
 * @ret_owners (relative path → TreeOwner, see TreeExt4) instead. Device nodes are left out. Paths that leave @root are
 * refused.
 */
bool tree_unpack(const char *archive_path, const char *root, GHashTable *ret_owners, GCancellable *cancellable,
                 GError **error);
/* A table for @ret_owners. */
GHashTable *tree_owners_new(void);
