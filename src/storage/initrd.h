/* Initial RAM disks: a gzip'ed cpio archive (newc) in which everything belongs to root. Blocks: worker threads only. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Writes all below folder @tree, and /dev/console (the kernel opens it before init runs), to @output. */
bool initrd_write(const char *tree, const char *output, GError **error);
