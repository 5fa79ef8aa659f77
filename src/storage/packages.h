/*
 * Debian packages fetched for building images: apt-get with the host's own sources, proxies and keys, but with state
 * and cache folders of its own, so that it needs no root and changes nothing on the host. Everything here blocks:
 * worker threads only.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

typedef struct {
        char *config;              /* apt.conf with the private folders */
        char *archives;            /* folder of downloaded .deb files, kept between builds */
        char *nothing;             /* an empty folder: makes apt-get name every file, not only missing ones */
        char *update_failure;      /* why package lists could not all be fetched, or NULL */
        int lock;                  /* one build at a time uses the cache */
        GCancellable *cancellable; /* borrowed */
} Packages;

/*
 * Waits for its turn on @cache_dir, which is made if need be, and fetches the package lists. A source of the host that
 * fails is only remembered: it matters when a package is then not found. HOSTLER_ERROR_UNSUPPORTED if the host has no
 * apt-get.
 */
bool packages_open(Packages *packages, const char *cache_dir, GCancellable *cancellable, GError **error);
void packages_close(Packages *packages);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Packages, packages_close)

/* The first real dependency of meta package @name: "linux-image-cloud-amd64" → "linux-image-6.1.0-56-cloud-amd64".
 * Caller frees. */
char *packages_resolve(Packages *packages, const char *name, GError **error);
/*
 * Downloads packages @names (NULL-terminated), with all they depend on if @with_dependencies. Appends the paths of the
 * .deb files (owned by the array) to @ret_files. Signatures and digests are checked by apt.
 */
bool packages_fetch(Packages *packages, const char *const *names, bool with_dependencies, GPtrArray *ret_files,
                    GError **error);
/* Unpacks .deb @files into @folder without running anything of theirs. */
bool packages_unpack(Packages *packages, GPtrArray *files, const char *folder, GError **error);
