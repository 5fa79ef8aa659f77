/*
 * Pools: places of the host for volumes. One table row and one file per type: pool_dir.c. What is in a pool of a VM is
 * in a place of its own there, so that names of volumes are the VM's affair.
 *
 * All functions look at the host afresh and may block on it (a network share); job threads and readers, never the main
 * loop.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

#define POOL_DEFAULT "default" /* the state folder; its place needs no sign that it is there */

typedef struct {
        int64_t size_bytes, free_bytes; /* for a writer without privileges */
} PoolSpace;

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
} PoolType;

/* What is not free, in percent of what there is; rounded up, so that 100 is full and 0 is empty. Pure. */
int64_t pool_used_percent(const PoolSpace *space);
/* The highest mark that @used_percent is at or above: 95, 90, 80; else 0. One that was passed holds until two percent
 * below it, or a pool at a mark would be told of again and again: @before is the mark so far. Pure. */
int pool_mark(int64_t used_percent, int before);
/* Never NULL. */
const PoolType *pool_type(const HostlerPoolConfig *pool);
extern const PoolType pool_dir;
