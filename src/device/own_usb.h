/*
 * USB devices of our own: a `usb-redir` in QEMU, and a `hostler-usb` beside it that connects to its character device.
 *
 * hostler-usb lives in VMDIR/parts/NAME under a keeper of its own, which starts it again when it is killed, so neither
 * a dead daemon nor a dead hostler-usb is the end of the device. It ends when the device is released, and by itself
 * once QEMU has been gone for ten seconds.
 */
#pragma once

#include "device/device.h"

/* A character device that listens, and the usb-redir that takes what connects there. */
void own_usb_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan);
/* A fault when its controller is one for slower devices. */
void own_usb_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
/*
 * Starts hostler-usb, unless it is there. @mode is its first word, @option and @value what the mode asks for; paths in
 * VMDIR/run are relative to it. Errors as keeper_launch() has them.
 */
typedef struct {
        const char *mode, *option, *value;
        int64_t queue_bytes;
} OwnUsb;
bool own_usb_connect(const DeviceContext *context, const HostlerPart *part, const OwnUsb *own, GError **error);
/* Ends it. */
void own_usb_release(const DeviceContext *context, const HostlerPart *part);
/* Removes its folder with its log. */
void own_usb_remove(const DeviceContext *context, const HostlerPart *part);
/* Of any property: hostler-usb is started anew with it, which the guest sees as the device pulled and put in. */
bool own_usb_set(const DeviceChange *change, GError **error);
