/*
 * Open vSwitch as it runs for us: its database server and its switch, under keepers of their own (they are started
 * again when they die, and go on when the daemon ends), in a network namespace of their own, where the host's
 * addresses, firewall and other switches are not.
 *
 *   FOLDER/db/      folder of the database's keeper; its file, FOLDER/db/run/db.sock
 *   FOLDER/switch/  folder of the switch's keeper; FOLDER/switch/run/BRIDGE.mgmt speaks OpenFlow
 *
 * Everything here belongs to one thread: it enters that namespace, and what it makes is in there. Calls block.
 */
#pragma once

#include <jansson.h>

#include "base/process.h"

typedef struct Ovs Ovs;

/* @folder: absolute; copied. Touches nothing. */
Ovs *ovs_new(const char *folder);
void ovs_free(Ovs *ovs); /* what runs goes on */
/* HOSTLER_ERROR_UNSUPPORTED when it is not installed. */
bool ovs_is_installed(GError **error);
/* Enters the namespace of the pair that runs; false: there is none. */
bool ovs_adopt(Ovs *ovs);
/* Starts what does not run, and waits until it answers. A new pair has no switches. */
bool ovs_start(Ovs *ovs, GError **error);
/* Ends both, and all that they made. Nothing there is fine. */
void ovs_end(Ovs *ovs);
/* Whether both keepers run. */
bool ovs_runs(const Ovs *ovs);
/* The switch itself; pid 0: it does not run at the moment. */
ProcessId ovs_switch_process(const Ovs *ovs);
/* Frames for device @name that its reader was too slow for, as the kernel counts; 0: not known. Any thread. */
uint64_t ovs_device_lost(const Ovs *ovs, const char *name);
/* Where bridge @name speaks OpenFlow. Caller frees. */
char *ovs_openflow_path(const Ovs *ovs, const char *name);
/* ovsdb_transact() on its database. */
bool ovs_transact(Ovs *ovs, json_t *operations_taken, json_t **ret_results, GError **error);
/*
 * The same with operations that change something, and waits until the switch has done so.
 */
bool ovs_change(Ovs *ovs, json_t *operations_taken, GError **error);
/* What ovs-appctl(8) does: "revalidator/purge". */
bool ovs_order(Ovs *ovs, const char *command, GError **error);
