/*
 * As much of a viewer (RFB 3.8, RFC 6143, with the extension ExtendedDesktopSize) as it takes to tell QEMU how large
 * the viewer's window is: the guest then sees a monitor of that size. Any thread; blocks.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * @width and @height 0: there is no monitor. Errors: as unix_connect(), HOSTLER_ERROR_UNSUPPORTED when this screen has
 * one size, _UNRESPONSIVE when nothing comes in @timeout_ms, _FAILED for anything that is not RFB.
 */
bool rfb_set_size(const char *path, int width, int height, int64_t timeout_ms, GError **error);
/* The same on a socket that is connected; borrowed. */
bool rfb_set_size_on(int fd, int width, int height, int64_t timeout_ms, GError **error);
