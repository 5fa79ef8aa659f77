/*
 * Devices of this host that can be handed to a VM: PCI functions by VFIO, USB devices by libusb.
 *
 * Sources: the kernel's Documentation/ABI/testing/sysfs-bus-pci and sysfs-bus-usb, driver-api/vfio.rst (a group is
 * handed over as a whole: each of its devices has a VFIO driver, a stub, or none, but for bridges). Names are those of
 * pci.ids(5), where it is installed. Reads files only; any thread.
 */
#pragma once

#include "host/host_facts.h"
#include "hostler-records.h"

/* All of them, PCI first, by address. Never fails: what cannot be read is left out. record_list_clear(). */
void host_devices_list(const HostPaths *paths, HostlerHostDeviceList *ret_list);
/*
 * The one that @name says: a PCI address (its domain may be left out), a USB address, or "vendor:product" of a USB
 * device. NULL: there is none. Borrowed from the list.
 */
const HostlerHostDevice *host_devices_find(const HostlerHostDeviceList *list, const char *name);
/*
 * Why a VM cannot have it, as a sentence about it; NULL: it can. @unreset: it may stay as its last user left it.
 * @ret_remedy (may be NULL): the command or setting that mends it, or NULL. Caller frees both.
 */
char *host_device_fault(const HostPaths *paths, const HostlerHostDevice *device, bool unreset, char **ret_remedy);
