/* Adapters of VMs on switches: between the spec and src/network. */
#pragma once

#include "network/network.h"
#include "vm/manager.h"
#include "wire/byte_stream.h"

/* Fills in what devices reach through their context. */
void ports_context(DeviceContext *context);
/* Adds a fault for each adapter whose port group, VLANs, policy or addresses cannot be so. */
void ports_check(Manager *manager, Vm *vm, const HostlerSpec *spec, GPtrArray *faults);
/* The guest's driver has asked its adapter for something else: asks QEMU what, and tells the switch. Does not block. */
void ports_asked(Vm *vm, const char *part);
/* Adapters ("web1.nic0") whose spec names @switch_name, or its port group (NULL: any); @trashed: of VMs in the trash
 * too. g_strfreev. */
char **ports_users(Manager *manager, const char *switch_name, const char *group, bool trashed);
/* nic.c: whether @vm has an adapter of this name that is to be on a switch. */
bool ports_nic(Vm *vm, const char *name, GError **error);
/* learned.c: adds what is known of its addresses by others than its agent, and who holds one that it uses. Blocks. */
void ports_learned(Vm *vm, HostlerAddressList *list);
/* Counters of all adapters, as OpenMetrics text. */
void ports_metrics(Manager *manager, GString *out);
/* capture.c: a pcap file of what an adapter sends and receives, as it happens. Main loop. */
bool capture_attach(Vm *vm, const HostlerVmCaptureArgs *args, const ByteSink *sink, ByteStream **ret_stream,
                    GError **error);
/* A switch or port group has changed: adapters on it have other addresses, perhaps. What fails is logged. Blocks. */
void ports_follow(Manager *manager, const char *switch_name);
/* The VM has another name: so have its adapters. What fails is logged. Blocks. */
void ports_renamed(Manager *manager, Vm *vm);
/* switch.c: HOSTLER_ERROR_NOT_FOUND when there is none. */
bool switch_exists(Manager *manager, const char *name, GError **error);
/* Declares what is stored. */
bool switches_load(Manager *manager, GError **error);
