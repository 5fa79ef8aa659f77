/*
 * Pools: places of the host for volumes. One table row and one file per type: pool_dir.c, pool_lvm.c, pool_rbd.c. What
 * is in a pool of a VM is in a place of its own there, so that names of volumes are the VM's affair. A volume has a
 * path in every pool: it is a file there, or the pool keeps it otherwise and has an entry at that path (catalogue.h).
 *
 * All functions look at the host afresh and may block on it (a network share); job threads and readers, never the main
 * loop.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

#define POOL_DEFAULT "default" /* the state folder; its place needs no sign that it is there */

typedef struct {
        int64_t size_bytes, free_bytes; /* for a writer without privileges */
        int64_t tables_percent;         /* in use of what the pool keeps its own tables in; 0: it has no such limit */
} PoolSpace;

/*
 * How a type keeps volumes that are no files. @path: of the volume's entry. What is in them is the same as in files.
 */
typedef struct {
        /* Makes room for @room_bytes that reads as zeros behind what file @content (NULL: nothing) holds, and its
         * entry @path, which must not be there. On the disk when it returns; on failure nothing is left. */
        bool (*put)(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, const char *content,
                    GError **error);
        /* With its entry, which goes last; absent is success. */
        bool (*remove)(const HostlerPoolConfig *pool, const char *path, GError **error);
        /* There is to be room for so much, or it stays as it is. Also while QEMU has it open. */
        bool (*make_room)(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, GError **error);
        /* How much fits in; -1 and error. */
        int64_t (*room)(const HostlerPoolConfig *pool, const char *path, GError **error);
        /* What it takes of the pool; 0 when that cannot be known. */
        int64_t (*allocated)(const HostlerPoolConfig *pool, const char *path);
        /* How QEMU opens it: the arguments of blockdev-add that are the type's own. The caller owns it. */
        json_t *(*node)(const HostlerPoolConfig *pool, const char *path);
        /* The name by which QEMU's tools find it, also in headers of what stands on it. Renaming the entry leaves it as
         * it is. Caller frees. NULL: its path is, the entry being a link to a block device. */
        char *(*name)(const HostlerPoolConfig *pool, const char *path);
} PoolVolumes;

typedef struct {
        HostlerPoolType type;
        /* Makes what its path names a pool: HOSTLER_ERROR_INVALID in one sentence when it cannot be one, or is. */
        bool (*make)(const HostlerPoolConfig *pool, GError **error);
        /* Gives the place back; what else lies there stays. */
        bool (*unmake)(const HostlerPoolConfig *pool, GError **error);
        /* HOSTLER_ERROR_FAILED with the way out when the place is not there now. */
        bool (*check)(const HostlerPoolConfig *pool, GError **error);
        bool (*space)(const HostlerPoolConfig *pool, PoolSpace *ret_space, GError **error);
        /* Where QEMU and the tools find volume @name of VM @vm_id. Pure. Caller frees. */
        char *(*volume)(const HostlerPoolConfig *pool, const char *vm_id, const char *name);
        /* Before the first volume of a VM is made; again is fine. */
        bool (*prepare)(const HostlerPoolConfig *pool, const char *vm_id, GError **error);
        /* Whatever the VM has there is deleted; nothing there is success. */
        bool (*forget)(const HostlerPoolConfig *pool, const char *vm_id, GError **error);
        const PoolVolumes *volumes; /* NULL: they are files */
} PoolType;

/* What is not free, in percent of what there is, of volumes or of tables, whichever is worse; rounded up, so that 100
 * is full and 0 is empty. Pure. */
int64_t pool_used_percent(const PoolSpace *space);
/* The highest mark that @used_percent is at or above: 95, 90, 80; else 0. One that was passed holds until two percent
 * below it, or a pool at a mark would be told of again and again: @before is the mark so far. Pure. */
int pool_mark(int64_t used_percent, int before);
/* Never NULL. */
const PoolType *pool_type(const HostlerPoolConfig *pool);
extern const PoolType pool_dir, pool_lvm, pool_rbd;
