/* The QEMU binaries of this host: where they are and which version. Any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "store/store.h"

/* $HOSTLER_QEMU, else qemu-system-x86_64 in PATH, else /usr/libexec/qemu-kvm. HOSTLER_ERROR_UNSUPPORTED, with a hint,
 * when there is none. */
char *qemu_find(GError **error);
/* qemu-img in PATH. HOSTLER_ERROR_UNSUPPORTED, with a hint. Caller frees. */
char *qemu_img_find(GError **error);

typedef struct {
        int major, minor, micro;
        char text[64]; /* "7.2.22 (Debian 1:7.2+dfsg-7)" */
} QemuVersion;
/*
 * What `@path --version` says; remembered in @store (may be NULL) until the file's path, size or time changes.
 * HOSTLER_ERROR_FAILED when it cannot be run or says something else.
 */
bool qemu_version(const char *path, Store *store, QemuVersion *ret_version, GError **error);
/*
 * Whether QEMU can make devices of @driver: many come in modules, and modules in packages of their own. Asks QEMU the
 * first time, and again while the answer is no. Without an answer it counts as there.
 */
bool qemu_has_driver(const char *driver);
