/*
 * Inspection of foreign disk images: reads only their headers, with our own code and strict limits, before any other
 * program opens them. What QEMU would follow out of the file (backing files, data files, extents, parents) or trip over
 * is refused.
 *
 * Formats: QEMU docs/interop/qcow2.txt; VMware "Virtual Disk Format 5.0"; [MS-VHDX]; VirtualBox's VDI as in QEMU
 * block/vdi.c.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostler-types.h"

#define INSPECT_HEAD_BYTES (4 << 20) /* how much of a file's beginning is looked at */
#define INSPECT_SIZE_MAX ((int64_t)64 << 40)

typedef struct {
        HostlerImageFormat format;
        int64_t size_bytes; /* virtual */
} ImageFacts;

/*
 * Looks at the first @length bytes of a file of @file_size bytes. @format 0: found from the header, and raw is never
 * guessed. HOSTLER_ERROR_INVALID says which check refused. Pure: any bytes are safe to give, which is what the fuzzer
 * does.
 */
bool image_inspect_bytes(const uint8_t *bytes, size_t length, int64_t file_size, HostlerImageFormat format,
                         ImageFacts *ret_facts, GError **error);
/* The same for an open regular file. */
bool image_inspect_file(int fd, HostlerImageFormat format, ImageFacts *ret_facts, GError **error);
