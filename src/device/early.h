/*
 * A QEMU that waits for its VM's start has everything that it must be told on its command line, and nothing that is
 * somebody else's until then: disks and network adapters are plugged when the VM starts, before its guest runs. Pure.
 */
#pragma once

#include "device/device.h"

/*
 * The first part that can be had neither before (it takes something of the host: a folder, a helper, a card, files that
 * it writes to) nor by plugging it; NULL: a QEMU may wait for this VM. Borrowed.
 */
const HostlerPart *early_hindrance(const DeviceContext *context);
/* device_plan_all() without what early_left() gives. */
void early_plan(const DeviceContext *context, Plan *plan);
/* The parts to plug, each after those it needs; borrowed from the spec. g_ptr_array_unref. */
GPtrArray *early_left(const DeviceContext *context);
