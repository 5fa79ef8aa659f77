/*
 * Finds QEMU's binaries and asks them their version, once per binary.
 *
 * Called by the starts of VMs, by qemu-img's users and by the doctor.
 */
#include "host/qemu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define STORE_KEY "qemu-version"
#define VERSION_LIMIT_MS 10000
#define DRIVER_LIMIT_MS 10000

static bool set_missing(GError **error, const char *program, const char *package)
{
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "%s is not installed on this host", program);
        return error_hint(error, "apt-get install %s   (as root)", package);
}

char *qemu_find(GError **error)
{
        const char *wanted = g_getenv("HOSTLER_QEMU");
        if (wanted && *wanted)
                return g_strdup(wanted);
        char *path = g_find_program_in_path("qemu-system-x86_64");
        if (!path && g_file_test("/usr/libexec/qemu-kvm", G_FILE_TEST_IS_EXECUTABLE))
                path = g_strdup("/usr/libexec/qemu-kvm");
        if (!path)
                set_missing(error, "qemu-system-x86_64", "qemu-system-x86");
        return path;
}

char *qemu_img_find(GError **error)
{
        char *path = g_find_program_in_path("qemu-img");
        if (!path)
                set_missing(error, "qemu-img", "qemu-utils");
        return path;
}

/* "QEMU emulator version 7.2.22 (Debian …)\n…" → numbers and the rest of the line. */
static bool parse_version(const char *text, QemuVersion *ret_version)
{
        static const char prefix[] = "QEMU emulator version ";
        *ret_version = (QemuVersion){0};
        if (!text || !g_str_has_prefix(text, prefix))
                return false;
        const char *version = text + strlen(prefix);
        if (sscanf(version, "%4d.%4d.%4d", &ret_version->major, &ret_version->minor, &ret_version->micro) < 2)
                return false;
        gsize length = strcspn(version, "\n");
        g_strlcpy(ret_version->text, version, MIN(length + 1, sizeof(ret_version->text)));
        return true;
}

/* What changes whenever the binary does. NULL when it is not there. */
static char *identity_of(const char *path)
{
        struct stat info;
        if (stat(path, &info) < 0)
                return NULL;
        return g_strdup_printf("%s %lld %lld.%09ld", path, (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                               info.st_mtim.tv_nsec);
}

/* The stored value is the binary's identity and, on the lines after it, what it said. */
static bool version_from_store(Store *store, const char *identity, QemuVersion *ret_version)
{
        g_autofree char *value = store ? store_get(store, STORE_KEY) : NULL;
        g_auto(GStrv) parts = g_strsplit(value ?: "", "\n", 2);
        return parts[0] && parts[1] && g_str_equal(parts[0], identity) && parse_version(parts[1], ret_version);
}

bool qemu_version(const char *path, Store *store, QemuVersion *ret_version, GError **error)
{
        g_autofree char *identity = identity_of(path), *text = NULL;
        if (!identity)
                return error_set_errno(error, errno, NULL, "cannot look at %s", path);
        if (version_from_store(store, identity, ret_version))
                return true;
        const char *argv[] = {path, "--version", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = VERSION_LIMIT_MS, .output_limit_bytes = 4096};
        if (!process_run(&options, &text, error))
                return false;
        if (!parse_version(text, ret_version))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s --version says nothing that is known of QEMU",
                                 path);
        g_autofree char *value = g_strdup_printf("%s\n%s", identity, text);
        if (store)
                store_set(store, STORE_KEY, value, NULL); /* asked again next time if this fails */
        return true;
}

static bool ask_for_driver(const char *qemu, const char *driver)
{
        g_autofree char *device = g_strdup_printf("%s,help", driver);
        const char *argv[] = {qemu, "-machine", "none", "-device", device, NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = DRIVER_LIMIT_MS};
        g_autoptr(GError) error = NULL;
        return process_run(&options, NULL, &error) || !error_is(error, HOSTLER_ERROR_FAILED) ||
               !strstr(error->message, driver);
}

bool qemu_has_driver(const char *driver)
{
        static GMutex lock;
        static GHashTable *known; /* of "IDENTITY DRIVER" that are there */
        g_autofree char *qemu = qemu_find(NULL), *identity = qemu ? identity_of(qemu) : NULL;
        g_autofree char *key = g_strdup_printf("%s %s", identity ? identity : "", driver);
        g_mutex_lock(&lock);
        known = known ? known : g_hash_table_new(g_str_hash, g_str_equal);
        bool there = g_hash_table_contains(known, key);
        g_mutex_unlock(&lock);
        if (there || !identity)
                return true;
        if (!ask_for_driver(qemu, driver))
                return false;
        g_mutex_lock(&lock);
        g_hash_table_add(known, g_strdup(key));
        g_mutex_unlock(&lock);
        return true;
}
