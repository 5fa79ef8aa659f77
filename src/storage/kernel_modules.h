/* Kernel modules and what they need, as depmod found it. Pure but for reading the file. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Appends to @ret_paths (owned strings, relative to the modules' folder, "kernel/drivers/virtio/virtio.ko") modules
 * @names
 * ("virtio_blk", NULL-terminated) and all they depend on, each after what it needs: the order to load them in. Names
 * that
 * @modules_dep does not have are left out: they are built into the kernel, or it is a kernel without them.
 */
bool kernel_modules_closure(const char *modules_dep, const char *const *names, GPtrArray *ret_paths, GError **error);
