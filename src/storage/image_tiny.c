/*
 * The recipes of tiny and tiny-full: Debian's kernel, busybox and the guest agent with the few libraries it needs.
 *
 * The kernel and a small initial RAM disk stand beside the disk, so there is no boot loader; the disk is one ext4 file
 * system without partitions. What runs in it is in image/tiny. Called by image_build.c.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/image.h"
#include "storage/image_recipe.h"
#include "storage/initrd.h"
#include "storage/kernel_modules.h"
#include "storage/packages.h"
#include "storage/tree.h"

#define LIBRARIES "lib/x86_64-linux-gnu"
#define LOADER "ld-linux-x86-64.so.2"
#define STEP_TIMEOUT_MS (10 * 60 * 1000)

/*
 * no_timer_check: a loaded host delays timer interrupts under TCG until the kernel gives up on them. reboot=t: a triple
 * fault is the one reset that needs no device. online_movable: plugged memory is used at once and can be taken away
 * again. swiotlb: with room to grow over 4 GiB the kernel sets 64 MiB aside for devices that cannot reach up there; 4
 * MiB will do.
 */
static const char tiny_cmdline[] = "console=ttyS0 root=/dev/vda reboot=t panic=-1 no_timer_check swiotlb=2048 "
                                   "memhp_default_state=online_movable mem_sleep_default=deep";

typedef struct {
        const char *kernel_package;
        const char *const *packages;
        const char *const *programs; /* in the packages; copied with their libraries */
        const char *const *data;     /* files and folders in the packages, copied as they are */
        bool all_modules;
        int64_t disk_bytes;
} TinyRecipe;

/* usr-is-merged stands in for usrmerge, which would pull in perl. */
static const TinyRecipe tiny = {
    .kernel_package = "linux-image-cloud-amd64",
    .packages = (const char *const[]){"busybox-static", "qemu-guest-agent", "e2fsprogs", "usr-is-merged", NULL},
    .programs = (const char *const[]){"usr/sbin/qemu-ga", "sbin/resize2fs", NULL},
    .data = (const char *const[]){NULL},
    .disk_bytes = 256 << 20,
};

static const TinyRecipe tiny_full = {
    .kernel_package = "linux-image-amd64",
    .packages = (const char *const[]){"busybox-static", "qemu-guest-agent", "e2fsprogs", "usr-is-merged", "pciutils",
                                      "usbutils", "alsa-utils", "v4l-utils", "ethtool", "evtest", NULL},
    .programs = (const char *const[]){"usr/sbin/qemu-ga", "sbin/resize2fs", "usr/bin/lspci", "usr/bin/lsusb",
                                      "usr/bin/aplay", "usr/bin/amidi", "usr/bin/amixer", "usr/bin/v4l2-ctl",
                                      "sbin/ethtool", "usr/bin/evtest", NULL},
    .data = (const char *const[]){"usr/share/misc", "usr/share/alsa", NULL},
    .all_modules = true,
    .disk_bytes = 1024 << 20,
};

/*
 * What the initial RAM disk needs to find the root disk. In the cloud kernel ext4 is built in; in the full one it asks
 * for crc32c by name, which no table of dependencies shows.
 */
static const char *const boot_modules[] = {"virtio_pci", "virtio_mmio", "virtio_blk", "crc32c_generic", "ext4", NULL};

/* Folders of one build. */
typedef struct {
        const ImageWork *work;
        const TinyRecipe *recipe;
        char *packages; /* unpacked, except */
        char *kernel;   /* the kernel's */
        char *root;     /* what becomes the disk */
        char *initrd;
        char *version; /* "6.1.0-56-cloud-amd64" */
} Tiny;

static void tiny_clear(Tiny *build)
{
        g_free(build->packages);
        g_free(build->kernel);
        g_free(build->root);
        g_free(build->initrd);
        g_free(build->version);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tiny, tiny_clear)

static bool run(const Tiny *build, const char *const *argv, char **ret_stdout, GError **error)
{
        ProcessOptions options = {
            .argv = argv, .timeout_ms = STEP_TIMEOUT_MS, .cancellable = build->work->build->cancellable};

        return process_run(&options, ret_stdout, error);
}

/* ---- packages ---- */

static bool fetch(Tiny *build, GError **error)
{
        const ImageWork *work = build->work;
        g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) kernel_files = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *kernel = NULL;
        g_auto(Packages) packages = {.lock = -1};

        image_progress(work, 2, "fetching package lists");
        if (!packages_open(&packages, work->build->cache_dir, work->build->cancellable, error))
                return false;
        kernel = packages_resolve(&packages, build->recipe->kernel_package, error);
        if (!kernel)
                return false;
        image_progress(work, 10, "downloading the kernel");
        if (!packages_fetch(&packages, (const char *const[]){kernel, NULL}, false, kernel_files, error))
                return false;
        image_progress(work, 35, "downloading packages");
        if (!packages_fetch(&packages, build->recipe->packages, true, files, error))
                return false;
        image_progress(work, 50, "unpacking packages");
        return packages_unpack(&packages, files, build->packages, error) &&
               packages_unpack(&packages, kernel_files, build->kernel, error);
}

/* ---- programs with their libraries ---- */

/* One line of the loader's --list: "\tlibc.so.6 => /PATH (0x…)" or "\tlinux-vdso.so.1 (0x…)". */
static bool library_copy(const Tiny *build, const char *line, GError **error)
{
        const char *arrow = strstr(line, " => ");
        g_auto(GStrv) words = g_strsplit(arrow ? arrow + 4 : "", " ", 2);
        g_autofree char *base = NULL;
        g_autofree char *relative = NULL;

        if (!arrow)
                return true;
        if (!g_str_has_prefix(words[0], build->packages))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "A library is in none of the packages:%s", line);
        base = g_path_get_basename(words[0]);
        relative = g_build_filename(strcmp(base, LOADER) == 0 ? "usr/lib64" : "usr/" LIBRARIES, base, NULL);
        return tree_copy_file(build->root, relative, words[0], error);
}

/* Asks the packages' own loader which libraries @program wants, and copies them. */
static bool libraries_copy(const Tiny *build, const char *program, GError **error)
{
        g_autofree char *loader = g_build_filename(build->packages, LIBRARIES, LOADER, NULL);
        g_autofree char *path = g_strdup_printf("%s/" LIBRARIES ":%s/usr/" LIBRARIES, build->packages, build->packages);
        const char *const argv[] = {loader, "--inhibit-cache", "--library-path", path, "--list", program, NULL};
        g_autofree char *output = NULL;
        g_auto(GStrv) lines = NULL;

        if (!run(build, argv, &output, error) || !tree_copy_file(build->root, "usr/lib64/" LOADER, loader, error))
                return false;
        lines = g_strsplit(output, "\n", 256);
        for (char **line = lines; *line; line++)
                if (!library_copy(build, *line, error))
                        return false;
        return true;
}

/* "sbin/x" and "usr/sbin/x" are both usr/sbin/x in the image. */
static char *merged_path(const char *relative)
{
        return g_str_has_prefix(relative, "usr/") ? g_strdup(relative) : g_build_filename("usr", relative, NULL);
}

static bool programs_copy(const Tiny *build, GError **error)
{
        for (const char *const *program = build->recipe->programs; *program; program++) {
                g_autofree char *source = g_build_filename(build->packages, *program, NULL);
                g_autofree char *relative = merged_path(*program);

                if (!tree_copy_file(build->root, relative, source, error) || !libraries_copy(build, source, error))
                        return false;
        }
        for (const char *const *data = build->recipe->data; *data; data++) {
                g_autofree char *source = g_build_filename(build->packages, *data, NULL);
                g_autofree char *target = g_build_filename(build->root, *data, NULL);

                if (!tree_folder(build->root, *data, error) || !tree_copy_folder(target, source, error))
                        return false;
        }
        return true;
}

/* ---- the root file system ---- */

static bool skeleton_make(const Tiny *build, GError **error)
{
        static const char *const folders[] = {"dev", "proc", "sys",  "run",     "tmp",      "root",    "mnt",
                                              "var", "etc",  "home", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"};
        static const char *const links[][2] = {{"bin", "usr/bin"},
                                               {"sbin", "usr/sbin"},
                                               {"lib", "usr/lib"},
                                               {"lib64", "usr/lib64"},
                                               {"var/run", "/run"},
                                               {"var/log", "/run"},
                                               {"etc/resolv.conf", "/run/resolv.conf"}};
        g_autofree char *overlay = image_data("tiny/root", error);

        for (guint i = 0; i < G_N_ELEMENTS(folders); i++)
                if (!tree_folder(build->root, folders[i], error))
                        return false;
        for (guint i = 0; i < G_N_ELEMENTS(links); i++)
                if (!tree_symlink(build->root, links[i][0], links[i][1], error))
                        return false;
        return overlay && tree_copy_folder(build->root, overlay, error);
}

/* busybox and a symlink for each of its commands, except where the image has its own. */
static bool busybox_install(const Tiny *build, GError **error)
{
        g_autofree char *busybox = g_build_filename(build->packages, "bin/busybox", NULL);
        const char *const argv[] = {busybox, "--list-full", NULL};
        g_autofree char *output = NULL;
        g_auto(GStrv) lines = NULL;

        if (!tree_copy_file(build->root, "usr/bin/busybox", busybox, error) || !run(build, argv, &output, error))
                return false;
        lines = g_strsplit(output, "\n", -1);
        for (char **line = lines; *line; line++) {
                g_autofree char *relative = merged_path(*line);

                if (**line && !tree_symlink(build->root, relative, "/usr/bin/busybox", error))
                        return false;
        }
        return true;
}

static bool root_make(const Tiny *build, GError **error)
{
        return skeleton_make(build, error) && busybox_install(build, error) && programs_copy(build, error);
}

/* ---- the kernel and its modules ---- */

static bool version_find(Tiny *build, GError **error)
{
        g_autofree char *folder = g_build_filename(build->kernel, "lib/modules", NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, error);

        if (!dir)
                return false;
        build->version = g_strdup(g_dir_read_name(dir));
        return build->version ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "The kernel package has no folder of modules");
}

/* Writes modules.dep and the like for the modules below @base, with the image's own busybox. */
static bool depmod(const Tiny *build, const char *base, GError **error)
{
        g_autofree char *busybox = g_build_filename(build->packages, "bin/busybox", NULL);
        const char *const argv[] = {busybox, "depmod", "-b", base, build->version, NULL};

        return run(build, argv, NULL, error);
}

/* Copies modules at @paths (relative to the modules' folder) to the same place below @root. */
static bool modules_copy(const Tiny *build, const char *root, GPtrArray *paths, GError **error)
{
        for (guint i = 0; i < paths->len; i++) {
                g_autofree char *relative =
                    g_build_filename("lib/modules", build->version, g_ptr_array_index(paths, i), NULL);
                g_autofree char *source = g_build_filename(build->kernel, relative, NULL);

                if (!tree_copy_file(root, relative, source, error))
                        return false;
        }
        return true;
}

static bool modules_closure(const Tiny *build, const char *const *names, GPtrArray *ret_paths, GError **error)
{
        g_autofree char *dep = g_build_filename(build->kernel, "lib/modules", build->version, "modules.dep", NULL);

        return kernel_modules_closure(dep, names, ret_paths, error);
}

/* The names in image/tiny/modules, "#" starts a comment. */
static GStrv wanted_modules(GError **error)
{
        g_autofree char *path = image_data("tiny/modules", error);
        g_autofree char *text = path ? file_read(path, 65536, NULL, error) : NULL;
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;

        if (!lines)
                return NULL;
        for (char **line = lines; *line; line++) {
                (*line)[strcspn(*line, "#")] = '\0';
                if (*g_strstrip(*line))
                        g_strv_builder_add(names, *line);
        }
        return g_strv_builder_end(names);
}

static bool modules_install(const Tiny *build, GError **error)
{
        static const char *const tables[] = {"modules.order", "modules.builtin", "modules.builtin.modinfo"};
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *all = g_build_filename(build->kernel, "lib/modules", NULL);
        g_autofree char *target = g_build_filename(build->root, "usr/lib/modules", NULL);
        g_auto(GStrv) names = NULL;

        if (build->recipe->all_modules)
                return tree_folder(build->root, "usr/lib/modules", error) && tree_copy_folder(target, all, error);
        names = wanted_modules(error);
        if (!names || !modules_closure(build, (const char *const *)names, paths, error))
                return false;
        for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
                g_ptr_array_add(paths, g_strdup(tables[i]));
        return modules_copy(build, build->root, paths, error) && depmod(build, build->root, error);
}

static bool initrd_make(const Tiny *build, GError **error)
{
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GString) list = g_string_new(NULL);
        g_autofree char *busybox = g_build_filename(build->packages, "bin/busybox", NULL);
        g_autofree char *output = g_build_filename(build->work->output, IMAGE_INITRD, NULL);
        g_autofree char *overlay = image_data("tiny/initrd", error);
        static const char *const folders[] = {"dev", "proc", "sys", "root"};

        if (!overlay || !modules_closure(build, boot_modules, paths, error) ||
            !modules_copy(build, build->initrd, paths, error))
                return false;
        for (guint i = 0; i < paths->len; i++)
                g_string_append_printf(list, "%s/%s\n", build->version, (char *)g_ptr_array_index(paths, i));
        for (guint i = 0; i < G_N_ELEMENTS(folders); i++)
                if (!tree_folder(build->initrd, folders[i], error))
                        return false;
        return tree_write(build->initrd, "modules", list->str, error) &&
               tree_copy_folder(build->initrd, overlay, error) &&
               tree_copy_file(build->initrd, "bin/busybox", busybox, error) &&
               initrd_write(build->initrd, output, error);
}

static bool kernel_install(const Tiny *build, GError **error)
{
        g_autofree char *name = g_strconcat("vmlinuz-", build->version, NULL);
        g_autofree char *source = g_build_filename(build->kernel, "boot", name, NULL);

        return tree_copy_file(build->work->output, IMAGE_KERNEL, source, error);
}

/* ---- the disk ---- */

static bool disk_make(const Tiny *build, GError **error)
{
        g_autofree char *raw = g_build_filename(build->work->scratch, "disk.raw", NULL);
        TreeExt4 ext4 = {.tree = build->root,
                         .output = raw,
                         .size_bytes = build->recipe->disk_bytes,
                         .label = "hostler-tiny",
                         .cancellable = build->work->build->cancellable};

        return tree_make_ext4(&ext4, error) && image_disk_convert(build->work, raw, error);
}

static bool make(const ImageWork *work, const TinyRecipe *recipe, HostlerImage *image, GError **error)
{
        g_auto(Tiny) build = {.work = work,
                              .recipe = recipe,
                              .packages = g_build_filename(work->scratch, "packages", NULL),
                              .kernel = g_build_filename(work->scratch, "kernel", NULL),
                              .root = g_build_filename(work->scratch, "root", NULL),
                              .initrd = g_build_filename(work->scratch, "initrd", NULL)};

        image->cmdline = g_strdup(tiny_cmdline);
        if (!fetch(&build, error) || !version_find(&build, error) || !depmod(&build, build.kernel, error))
                return false;
        image_progress(work, 60, "putting the root file system together");
        if (!root_make(&build, error) || !modules_install(&build, error) || !kernel_install(&build, error))
                return false;
        image_progress(work, 75, "making the initial RAM disk");
        if (!initrd_make(&build, error))
                return false;
        image_progress(work, 80, "making the disk");
        return disk_make(&build, error);
}

bool image_make_tiny(const ImageWork *work, HostlerImage *image, GError **error)
{
        return make(work, &tiny, image, error);
}

bool image_make_tiny_full(const ImageWork *work, HostlerImage *image, GError **error)
{
        return make(work, &tiny_full, image, error);
}
