/* Bytes as they are: in from files and standard input, out to them, base64 on the way to the API (RFC 4648). */
#pragma once

#include <glib.h>
#include <stdbool.h>

bool bytes_write(int fd, const void *bytes, gsize length, GError **error);
/* @base64 NULL counts as empty. */
bool bytes_write_base64(int fd, const char *base64, GError **error);
/* Reads until @limit bytes are there or the end; *@ret_length < @limit means the end. Owned by the caller. */
guchar *bytes_read(int fd, gsize limit, gsize *ret_length, GError **error);
