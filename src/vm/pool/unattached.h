/*
 * Volumes that no VM has: files in the folder `volumes` of a pool, made, imported or kept. Which VM has a volume is
 * said by where it lies, so that giving one to a VM, or keeping one, is one rename. Any thread; looks at the pool.
 */
#pragma once

#include "vm/pool/pools.h"

typedef struct {
        char *pool, *file, *path;
} Unattached;
void unattached_clear(Unattached *volume);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Unattached, unattached_clear)

/* @name with or without the ending of its file; @ret_volume is empty before. HOSTLER_ERROR_NOT_FOUND, naming the VM
 * that has one called so. */
bool unattached_find(Manager *manager, const char *pool, const char *name, Unattached *ret_volume, GError **error);
/* HOSTLER_ERROR_EXISTS when there is one, in either format. */
bool unattached_check_free(Manager *manager, const char *pool, const char *name, GError **error);
/* File names, sorted; none when the pool is not there. g_strfreev. */
char **unattached_list(const HostlerPoolConfig *pool);
/* The name of a volume that is kept of @disk, whose head is @head. Caller frees. */
char *unattached_name(Vm *vm, const char *disk, const char *head);
/* "web1/disk1" from a name made by unattached_name(); NULL: not such a one. Pure. Caller frees. */
char *unattached_was(const char *file);
/* Renames, never over another file. HOSTLER_ERROR_EXISTS. */
bool unattached_move(const char *from, const char *to, GError **error);
/* As the API shows file @path of @pool; the caller clears @ret_volume. False: it is no volume. */
bool volume_describe(const char *pool, const char *path, HostlerVolume *ret_volume, GError **error);
