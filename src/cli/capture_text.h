/* A frame in one line: who to whom, its VLAN, and what is in it as far as that is plain. Pure. */
#pragma once

#include <glib.h>

/* @kept of its bytes are there, of @length. Caller frees. */
char *capture_text(const guint8 *frame, gsize kept, gsize length);
