/*
 * TAP devices: the adapters' end on the host. Made in the network namespace of the calling thread; they go when the
 * last descriptor is closed, so none is left of a QEMU that has ended. Any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The device of part @part of VM @vm_id: always the same, 15 characters. Caller frees. */
char *tap_name(const char *vm_id, const char *part);
/*
 * Makes device @name, up, with @mtu. With @offloads each packet says what of it is yet to be done (IFF_VNET_HDR), as
 * far as the guest then agrees to. The descriptor is the adapter's: QEMU's to be. -1 and HOSTLER_ERROR_DENIED, _FAILED.
 */
int tap_open(const char *name, int mtu, bool offloads, GError **error);
/* Gives one that is there another MTU; what fails is logged. */
void tap_resize(const char *name, int mtu);
