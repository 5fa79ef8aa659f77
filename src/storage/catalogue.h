/*
 * Catalogues: where volumes of pools that are no folders have their entries.
 *
 * Such a pool keeps its volumes as something else (logical volumes, RBD images), and has a folder below the state
 * folder that looks like that of a pool of files: OWNER/FILE for each volume, an entry that leads to it. So a volume
 * has a path in every pool, is given away by a rename, and is found by listing a folder; only volume.c asks here
 * whether a path is an entry.
 *
 * The table is the process's own: which folders are catalogues is known from the store, never read from a file that
 * lies in one. Any thread.
 */
#pragma once

#include "storage/pool.h"

typedef struct {
        HostlerPoolConfig pool;
        const PoolVolumes *volumes;
} CatalogueEntry;
void catalogue_entry_clear(CatalogueEntry *entry);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CatalogueEntry, catalogue_entry_clear)

/* @pool->path is its catalogue from now on; nothing for a pool whose volumes are files. */
void catalogue_add(const HostlerPoolConfig *pool);
void catalogue_remove(const char *folder);
/* Whether @path (FOLDER/OWNER/FILE) is, or would be, an entry. The caller clears @ret_entry. */
bool catalogue_find(const char *path, CatalogueEntry *ret_entry);

/* Members of PoolType for pools that have one. */
char *catalogue_volume(const HostlerPoolConfig *pool, const char *vm_id, const char *name);
bool catalogue_prepare(const HostlerPoolConfig *pool, const char *vm_id, GError **error);
bool catalogue_forget(const HostlerPoolConfig *pool, const char *vm_id, GError **error);
