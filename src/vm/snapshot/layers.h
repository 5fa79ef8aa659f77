/*
 * Layers: the files that a VM's disks are made of, as a forest.
 *
 * Each disk is a chain of files, its head first; each stands on its parent, the last on the disk's image or on nothing.
 * Only heads are written to. A snapshot is the heads of a moment, which then never change: every disk goes on in a new
 * head on top. To go back is a new head on the snapshot's layer. A layer that is no head, in no snapshot, under no
 * linked clone and under at most one other layer is not needed: it is deleted, or its one child takes over its
 * contents (layers_waste() says which, one at a time, so that each can be done and written down by itself). A raw one
 * under another stays: a disk that was made raw keeps its bytes where they can be had without QEMU. A child
 * that a clone stands on, itself or further up, is left as it is: the clone's QEMU may have it open.
 *
 * So whatever is deleted in whatever order, every head and every snapshot reads the same bytes as before.
 *
 * Pure: values in, values out; no file is touched. A disk that the history does not know is a single file,
 * disk_file_name(). Any thread.
 */
#pragma once

#include "hostler-records.h"

/* The file a disk is now. Borrowed from @history, or NULL when it knows none: then disk_file_name(). */
const char *layers_head(const HostlerVmHistory *history, const char *part);
/* Head first; file names borrowed from @history; empty when it knows no such disk. g_ptr_array_unref. */
GPtrArray *layers_chain(const HostlerVmHistory *history, const char *part);
/* Whether @file is one of its layers. */
bool layers_has(const HostlerVmHistory *history, const char *file);
/* Length of the longest chain. */
size_t layers_depth(const HostlerVmHistory *history);

/* @part is a new disk of one layer, @file. */
void layers_add(HostlerVmHistory *history, const char *part, const char *file);
/* @part goes on in @file, a new layer on @parent (NULL: on nothing). Its old head stays as a layer. */
void layers_go_on(HostlerVmHistory *history, const char *part, const char *file, const char *parent);
/* The disk is gone; what only it needed is waste now. */
void layers_drop(HostlerVmHistory *history, const char *part);

const HostlerSnapshot *layers_snapshot(const HostlerVmHistory *history, const char *name);
/* Adds @snapshot_taken with the heads of now as its disks, and makes it the current one. */
void layers_keep(HostlerVmHistory *history, HostlerSnapshot *snapshot_taken);
/* Forgets a snapshot; its children's parent is its own, and so is the current one if it was it. */
void layers_forget(HostlerVmHistory *history, const char *name);
/* @vm stands on @file, or (layers_unpin) on nothing of ours any more; NULL: nobody does. */
void layers_pin(HostlerVmHistory *history, const char *file, const char *vm);
void layers_unpin(HostlerVmHistory *history, const char *vm);

/* What a linked clone's disk stands on; NULL: on its image or on nothing. */
const HostlerDiskOrigin *layers_origin(const HostlerVmHistory *history, const char *part);
void layers_set_origin(HostlerVmHistory *history, const char *part, const char *vm, const char *disk, const char *file);
/* Ids of the VMs that its disks stand on, each once. g_strfreev. */
char **layers_sources(const HostlerVmHistory *history);
/* The disk stands on its image or on nothing now. */
void layers_forget_origin(HostlerVmHistory *history, const char *part);
/* File names from @file down to the last one; borrowed. g_ptr_array_unref. */
GPtrArray *layers_below(const HostlerVmHistory *history, const char *file);

typedef struct {
        const char *file;   /* a layer that nobody needs; borrowed from the history */
        const char *child;  /* the one layer that stands on it and takes over its contents; NULL: none, delete it */
        const char *parent; /* what the child stands on then; NULL: what the bottom of the chain stands on */
} Waste;
/* The next layer to be got rid of; false: there is none. The same one until it is gone. */
bool layers_waste(const HostlerVmHistory *history, Waste *ret_waste);
/* Waste @file has been merged or deleted. */
void layers_gone(HostlerVmHistory *history, const char *file);
/* Layers that are not needed but have several children, and so wait. */
size_t layers_waiting(const HostlerVmHistory *history);
