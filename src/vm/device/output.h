/* The host's ends of devices: where they are, and what is in them. Not on the main loop: QEMU is asked. */
#pragma once

#include "vm/manager.h"

/*
 * Where a part's end is, in words: a path, "ring" or "recording"; NULL: it has none. A terminal has its path only while
 * @attached, that is, while QEMU has the device. Caller frees.
 */
char *device_output_text(Vm *vm, const HostEnd *end, bool attached);
