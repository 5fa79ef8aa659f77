/* Where QEMU's devices are on the guest's PCI buses, by query-pci. Blocks on QMP: a job's thread, or a reader's. */
#pragma once

#include "device/device.h"

/* Ids of devices → "0000:01:00.0"; empty when QEMU does not answer. g_hash_table_unref. */
GHashTable *device_addresses(Qmp *qmp);
/* Where the guest finds a part, borrowed from @addresses and @seat_text, which is filled in. */
#define DEVICE_SEAT_TEXT 12
GuestPlace device_guest_place(const DeviceContext *context, const HostlerPart *part, GHashTable *addresses,
                              char seat_text[DEVICE_SEAT_TEXT]);
