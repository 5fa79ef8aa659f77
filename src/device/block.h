/*
 * Block graphs: the nodes between files of the host and a device of the guest, put together in one place.
 *
 * A graph is a chain of layers, each a file and how to read it; every format, every link and every end of the chain is
 * said to QEMU, no header is ever believed. Whoever has more layers (snapshots, overlays) says so in the chain.
 *
 * Pure but for block_reopen(), which blocks on QMP and so belongs on a job's thread.
 */
#pragma once

#include "device/device.h"

typedef struct {
        const char *node;   /* name of the node of its format; that of its file is NODE.file. At most 26 bytes */
        const char *path;   /* absolute; below /dev (but not /dev/shm) a block device, else a file */
        const json_t *file; /* how it is opened when that is not by @path: see volume_node(); borrowed, may be NULL */
        bool qcow2;         /* else raw, byte for byte */
        bool mergeable; /* when it is not the last: one above may be merged into it, and only then it is written to */
} BlockLayer;

/* Borrowed all. */
typedef struct {
        const BlockLayer *layers; /* each stands on the one before it; the device gets the last */
        size_t n_layers;
        bool readonly; /* the last; those below it always are */
        HostlerDiskCache cache;
        HostlerDiskAio aio;
        HostlerDiskDiscard discard;
        HostlerDiskZeroes zeroes;
        int64_t memory_bytes; /* for the last one's L2 tables, HOSTLER_UNSET: QEMU's choice */
} BlockGraph;

/* Arguments of blockdev-add in the order in which QEMU must hear them. The caller owns the array. */
json_t *block_nodes(const BlockGraph *graph);
void block_plan(const BlockGraph *graph, Plan *plan);
/* Only the last layer's, where those below are there. */
void block_plan_head(const BlockGraph *graph, Plan *plan);
/*
 * Has the nodes of a running QEMU, which must be there by these names, changed to what @graph says: the last layer's,
 * or
 * (@all_files) the file of each, which is where the host's cache is.
 */
bool block_reopen(const BlockGraph *graph, bool all_files, Qmp *qmp, GError **error);
bool block_cache_is_direct(HostlerDiskCache cache);
/* Whether the guest is told that there is no write cache. */
bool block_cache_is_through(HostlerDiskCache cache);
/* What QEMU makes of @memory_bytes for the L2 tables of a qcow2 file of @size_bytes with clusters of 64 KiB. */
int64_t block_tables_bytes(int64_t memory_bytes, int64_t size_bytes);

/*
 * The beginning of a disk's or drive's device ({"driver", "id" = the part's name, where it sits, "serial"}), to which
 * the caller adds its own. A USB one gets the bus adapter that it needs as a step before it.
 */
json_t *block_device(const DeviceContext *context, const HostlerPart *part, const char *serial, Plan *plan);
/* A USB adapter that was plugged live shows itself to the guest only now, complete with its disk. */
bool block_device_launched(const DeviceContext *context, const HostlerPart *part, Qmp *qmp, GError **error);
/* Whether the part can be plugged into a running VM: by its model, and by the adapter it sits on. */
bool block_device_hot_plug(const DeviceContext *context, const HostlerPart *part);
/* Entry of query-block of the part's device; the caller owns it. NULL with error, or without when there is none. */
json_t *block_device_state(Qmp *qmp, const HostlerPart *part, GError **error);
/* The memory of the part's tables: its own, else its IDE controller's. */
int64_t block_memory_bytes(const DeviceContext *context, const HostlerPart *part, int64_t own_bytes);
