/*
 * The lines of `hostler doctor`: what this host can do, each with what was found and the command that mends it.
 *
 * Blocks: runs QEMU a few times (0.1 s each; up to 6 s where KVM must be probed). Any thread but the main one.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "host/host_facts.h"
#include "hostler-types.h"
#include "store/store.h"

typedef struct {
        const char *state_dir;     /* its file system's space is checked */
        Store *store;              /* remembers the probe and versions; may be NULL */
        const HostPaths *paths;    /* NULL: host_paths */
        bool probe;                /* boot the KVM probe again instead of remembering */
        GCancellable *cancellable; /* may be NULL */
} HostContext;

/* @ret_checks: clear with record_clear or free each item; never fails, a check that could not be made is a line that
 * says so. */
void host_checks(const HostContext *context, HostlerCheckList *ret_checks);
