/*
 * The recipe of debian:12: mmdebstrap makes the root file system as an archive, which becomes ext4 in the one partition
 * of a disk that starts by BIOS and GRUB. mmdebstrap chooses between root and a user namespace by itself; nothing else
 * needs privileges. What is laid over Debian's files is in image/debian. Called by image_build.c.
 */
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/boot_disk.h"
#include "storage/image_recipe.h"
#include "storage/tree.h"
#include "storage/tree_archive.h"

#define SUITE "bookworm"
#define LABEL "hostler-root"
#define PARTITION_BYTES (((int64_t)2 << 30) - BOOT_DISK_PARTITION_OFFSET)
#define BOOTSTRAP_TIMEOUT_MS (60 * 60 * 1000)
#define SOURCES_LIMIT (256 << 10)

static const char packages[] =
    "linux-image-cloud-amd64,initramfs-tools,lz4,systemd-sysv,systemd-resolved,udev,dbus,kmod,"
    "cloud-init,cloud-guest-utils,netplan.io,qemu-guest-agent,openssh-server,sudo,e2fsprogs,fdisk,"
    "iproute2,iputils-ping,ca-certificates,less,vim-tiny";

/* ---- sources ---- */

/* A source of the suite itself: names it, or its updates, and the main component. Third-party sources do not. */
static bool is_debian_source(const char *path)
{
        g_autofree char *text = file_read(path, SOURCES_LIMIT, NULL, NULL);
        g_auto(GStrv) words = text ? g_strsplit_set(text, " \t\n", -1) : NULL;

        return words &&
               (g_strv_contains((const char *const *)words, SUITE) ||
                g_strv_contains((const char *const *)words, SUITE "-security")) &&
               g_strv_contains((const char *const *)words, "main");
}

/* Adds the host's own source files for the suite to @argv; with none, mmdebstrap uses Debian's. */
static void sources_add(GPtrArray *argv)
{
        static const char parts[] = "/etc/apt/sources.list.d";
        g_autoptr(GDir) dir = g_dir_open(parts, 0, NULL);
        const char *name;

        if (is_debian_source("/etc/apt/sources.list"))
                g_ptr_array_add(argv, g_strdup("/etc/apt/sources.list"));
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(parts, name, NULL);

                if ((g_str_has_suffix(name, ".list") || g_str_has_suffix(name, ".sources")) && is_debian_source(path))
                        g_ptr_array_add(argv, g_steal_pointer(&path));
        }
}

/* ---- mmdebstrap ---- */

/* mmdebstrap says what it begins; most of the time goes into the last two. */
static const struct {
        const char *said;
        int percent;
        const char *text;
} phases[] = {
    {"I: running apt-get update", 2, "fetching package lists"},
    {"I: downloading packages with apt", 5, "downloading essential packages"},
    {"I: extracting archives", 10, "extracting essential packages"},
    {"I: installing essential packages", 14, "installing essential packages"},
    {"I: downloading apt", 20, "downloading packages"},
    {"I: installing remaining packages", 30, "installing packages"},
    {"I: cleaning package lists", 76, "cleaning up"},
    {"I: creating tarball", 78, "packing"},
};

typedef struct {
        const ImageWork *work;
        int n_unpacked, n_set_up;
} Progress;

/* dpkg's "Unpacking X" and "Setting up X" move the number between the phases. */
static void follow(const char *line, void *data)
{
        Progress *progress = data;

        for (gsize i = 0; i < G_N_ELEMENTS(phases); i++)
                if (g_str_has_prefix(line, phases[i].said))
                        image_progress(progress->work, phases[i].percent, phases[i].text);
        if (g_str_has_prefix(line, "Unpacking "))
                image_progress(progress->work, MIN(50, 30 + ++progress->n_unpacked / 12), "unpacking packages");
        if (g_str_has_prefix(line, "Setting up "))
                image_progress(progress->work, MIN(75, 50 + ++progress->n_set_up / 10), "setting up packages");
}

static bool bootstrap(const ImageWork *work, const char *archive, GError **error)
{
        g_autofree char *early = image_data("debian/early", error);
        g_autofree char *quoted = early ? g_shell_quote(early) : NULL;
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        const char *const fixed[] = {"mmdebstrap",
                                     "--mode=auto",
                                     "--variant=minbase",
                                     "--format=tar",
                                     "--architectures=amd64",
                                     "--dpkgopt=path-exclude=/usr/share/man/*",
                                     "--dpkgopt=path-exclude=/usr/share/doc/*",
                                     "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                                     "--dpkgopt=path-exclude=/usr/share/locale/*",
                                     "--aptopt=Acquire::Languages \"none\""};
        Progress progress = {.work = work};
        ProcessOptions options = {.timeout_ms = BOOTSTRAP_TIMEOUT_MS,
                                  .output_limit_bytes = 64 << 20,
                                  .cancellable = work->build->cancellable,
                                  .line = follow,
                                  .line_data = &progress};

        if (!early)
                return false;
        for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
                g_ptr_array_add(argv, g_strdup(fixed[i]));
        g_ptr_array_add(argv, g_strconcat("--include=", packages, NULL));
        /* A special hook of mmdebstrap's own, which runs no shell. */
        g_ptr_array_add(argv, g_strdup_printf("--essential-hook=sync-in %s /", quoted));
        g_ptr_array_add(argv, g_strdup(SUITE));
        g_ptr_array_add(argv, g_strdup(archive));
        sources_add(argv);
        g_ptr_array_add(argv, NULL);
        options.argv = (const char *const *)argv->pdata;
        return process_run(&options, NULL, error);
}

/* ---- the tree ---- */

/* Files of ours belong to root, whoever built it. */
static bool forget_owner(const char *relative, const char *path, void *data, GError **error)
{
        g_hash_table_remove(data, relative);
        return true;
}

/* What must not be the same in two VMs, or belongs to the machine it was built on. */
static void identity_remove(const char *tree)
{
        static const char *const files[] = {"etc/ssh/ssh_host_rsa_key",
                                            "etc/ssh/ssh_host_rsa_key.pub",
                                            "etc/ssh/ssh_host_ecdsa_key",
                                            "etc/ssh/ssh_host_ecdsa_key.pub",
                                            "etc/ssh/ssh_host_ed25519_key",
                                            "etc/ssh/ssh_host_ed25519_key.pub",
                                            "etc/resolv.conf",
                                            "etc/machine-id",
                                            "var/lib/dbus/machine-id",
                                            "var/lib/systemd/random-seed"};

        for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
                g_autofree char *path = g_build_filename(tree, files[i], NULL);

                unlink(path);
        }
}

static bool tree_finish(const char *tree, GHashTable *owners, GError **error)
{
        static const char *const wanted[] = {"etc/machine-id", "etc/hostname"};
        g_autofree char *early = image_data("debian/early", error);
        g_autofree char *overlay = early ? image_data("debian/root", error) : NULL;

        if (!overlay)
                return false;
        identity_remove(tree);
        for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++)
                g_hash_table_remove(owners, wanted[i]);
        return tree_walk(early, forget_owner, owners, error) && tree_walk(overlay, forget_owner, owners, error) &&
               tree_copy_folder(tree, overlay, error) && tree_write(tree, "etc/machine-id", "", error) &&
               tree_symlink(tree, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf", error) &&
               tree_symlink(tree, "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
                            "/lib/systemd/system/systemd-networkd.service", error) &&
               tree_symlink(tree, "etc/systemd/system/sysinit.target.wants/systemd-resolved.service",
                            "/lib/systemd/system/systemd-resolved.service", error);
}

static bool disk_make(const ImageWork *work, const char *tree, GHashTable *owners, GError **error)
{
        g_autofree char *raw = g_build_filename(work->scratch, "disk.raw", NULL);
        g_autofree char *config = image_data("debian/grub-core.cfg", error);
        TreeExt4 ext4 = {.tree = tree,
                         .owners = owners,
                         .output = raw,
                         .offset_bytes = BOOT_DISK_PARTITION_OFFSET,
                         .size_bytes = PARTITION_BYTES,
                         .label = LABEL,
                         .cancellable = work->build->cancellable};

        if (!config)
                return false;
        image_progress(work, 88, "making the file system");
        if (!tree_make_ext4(&ext4, error))
                return false;
        image_progress(work, 94, "installing the boot loader");
        if (!boot_disk_install(raw, PARTITION_BYTES, config, work->scratch, work->build->cancellable, error))
                return false;
        image_progress(work, 95, "making the disk");
        return image_disk_convert(work, raw, error);
}

bool image_make_debian12(const ImageWork *work, HostlerImage *image, GError **error)
{
        g_autofree char *archive = g_build_filename(work->scratch, "root.tar", NULL);
        g_autofree char *tree = g_build_filename(work->scratch, "root", NULL);
        g_autoptr(GHashTable) owners = tree_owners_new();

        if (!bootstrap(work, archive, error))
                return false;
        image_progress(work, 80, "unpacking the root file system");
        if (!dir_ensure(tree, error) || !tree_unpack(archive, tree, owners, work->build->cancellable, error))
                return false;
        unlink(archive);
        return tree_finish(tree, owners, error) && disk_make(work, tree, owners, error);
}
