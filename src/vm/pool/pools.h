/*
 * The pools of this host, and where the layers of a VM's disks are.
 *
 * A layer's name (layers.h) is that of a file in the VM's folder, or "POOL/FILE": volume FILE of the VM in that pool.
 * The pool `default` is the state folder. Any thread.
 */
#pragma once

#include "storage/pool.h"
#include "vm/manager.h"

#define POOL_KEPT "volumes" /* where others have the id of a VM: volumes that were kept */

/* Reads them from the store, when the manager is made. */
bool pools_load(Manager *manager, GError **error);
void pools_clear(Manager *manager);
/* HOSTLER_ERROR_NOT_FOUND with near names. The caller clears @ret_pool. */
bool pools_find(Manager *manager, const char *name, HostlerPoolConfig *ret_pool, GError **error);
/* All but `default`, by name; the caller clears the items and frees. */
void pools_list(Manager *manager, HostlerPoolConfigList *ret_pools);
/* The same with `default` before them. */
bool pools_all(Manager *manager, HostlerPoolConfigList *ret_pools, GError **error);
/* The folder of entries (catalogue.h) that a pool called so has, or would have. Caller frees. */
char *pools_catalogue(Manager *manager, const char *name);
/* Written down. Whoever calls these has the pool's turn. */
bool pools_add(Manager *manager, const HostlerPoolConfig *pool, GError **error);
bool pools_remove(Manager *manager, const char *name, GError **error);
/* Where volume @name that no VM has any more is kept in @pool (NULL: `default`), whose folder is made. Caller frees. */
char *pools_kept(Manager *manager, const char *pool, const char *name, GError **error);
/* The pool of layer @file: NULL for the VM's folder. Caller frees. */
char *pools_of_layer(const char *file);
/* Whether a disk or layer of @vm is in pool @name. */
bool pools_is_used_by(Vm *vm, const char *name);
/* {vm, pools}: what operation vm-forget (operations.h) is to be told of @vm, while its spec is known. */
json_t *pools_forget_args(Vm *vm);
/*
 * Whatever VM @id has in pools is deleted. A pool that does not answer (HOSTLER_ERROR_UNRESPONSIVE) matters only if
 * @used, an array of names, has it.
 */
bool pools_forget_vm(Manager *manager, const char *id, const json_t *used, GError **error);

/* vm/device/disk.c: as `disk ls` shows disk @name. False, and nothing filled in, when the VM has none. */
bool vm_disk_info(Vm *vm, const char *name, HostlerDiskInfo *ret_info);
/* The file that layer @file is. Caller frees. */
char *vm_layer_path(Vm *vm, const char *file);
/* The name of the first layer of @disk, by the pool that it says. Caller frees. */
char *vm_first_layer(const HostlerPart *disk);
/* Before a start: the pools of the VM's disks are there, and the files in them. Names disk, pool and what is missing.
 */
bool vm_check_layers(Vm *vm, GError **error);
/* Before work on its layers: all pools that have one are there and answer. Names layer, pool and what to do. */
bool vm_check_places(Vm *vm, GError **error);
/* Makes the place that layer @file will be in. */
bool vm_prepare_layer(Vm *vm, const char *file, GError **error);
/* A disk in a pool, or a raw one, is known to the VM's history from its beginning: its layer's name says what it is. */
void vm_note_first_layer(HostlerVmHistory *history, const HostlerPart *disk);
/* Makes the place of a new disk of a VM that has a row, and notes it there. */
bool vm_place_disk(Vm *vm, const HostlerPart *disk, GError **error);
