/*
 * The doctor's checks: each looks at one thing and says what it found and what mends it. None changes anything.
 *
 * Called by the handler of `doctor` in src/vm.
 */
#include "host/checks.h"

#include <string.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/units.h"
#include "host/accel_probe.h"
#include "host/cgroup.h"
#include "host/qemu.h"

#define MIB ((int64_t)1 << 20)
#define STATE_ENOUGH_BYTES (2048 * MIB)
#define MEMORY_ENOUGH_BYTES (512 * MIB)
#define SHARED_MEMORY_ENOUGH_BYTES (64 * MIB)
#define QEMU_LIMIT_MS 10000

/* Fills in a line; @hint_taken (the command that mends it) is kept only with a warning. */
static void report(HostlerCheck *check, bool ok, char *hint_taken, const char *format, ...) G_GNUC_PRINTF(4, 5);
static void report(HostlerCheck *check, bool ok, char *hint_taken, const char *format, ...)
{
        va_list arguments;
        va_start(arguments, format);
        check->detail = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        check->ok = ok;
        check->hint = ok ? NULL : g_strdup(hint_taken);
        g_free(hint_taken);
}

/* "23G", "812M": as exact as a person wants it. */
static char *rounded_size(int64_t bytes)
{
        int64_t unit = bytes >= 10 * 1024 * MIB ? 1024 * MIB : MIB;
        return size_format(bytes / unit * unit);
}

static char *install_hint(const char *packages)
{
        return g_strdup_printf("apt-get install %s   (as root)", packages);
}

static void check_kvm(const HostContext *context, HostlerCheck *check)
{
        g_autofree char *qemu = qemu_find(NULL);
        g_auto(AccelVerdict) verdict = {0};
        bool kvm = accel_probe(qemu, context->store, context->probe, context->cancellable, &verdict);
        char *hint = g_strdup(verdict.hint ?: "hostler doctor --probe");
        report(check, kvm, hint, kvm ? "%s" : "%s; VMs are emulated (TCG)", verdict.reason);
}

static void check_qemu(const HostContext *context, HostlerCheck *check)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = qemu_find(&error);
        QemuVersion version;
        if (!path || !qemu_version(path, context->store, &version, &error)) {
                report(check, false, install_hint("qemu-system-x86"), "%s", error->message);
                return;
        }
        bool ok = version.major > 7 || (version.major == 7 && version.minor >= 2);
        report(check, ok, install_hint("qemu-system-x86"), "%s is version %s%s", path, version.text,
               ok ? "" : "; 7.2 or newer is needed");
}

static void check_qemu_img(const HostContext *context, HostlerCheck *check)
{
        g_autofree char *path = qemu_img_find(NULL);
        report(check, path, install_hint("qemu-utils"), "%s", path ?: "qemu-img is not installed: no images, no disks");
}

static void check_user_network(const HostContext *context, HostlerCheck *check)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *qemu = qemu_find(&error), *backends = NULL;
        const char *argv[] = {qemu, "-machine", "none", "-netdev", "help", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = QEMU_LIMIT_MS, .cancellable = context->cancellable};
        if (!qemu || !process_run(&options, &backends, &error)) {
                report(check, false, install_hint("qemu-system-x86"), "%s", error->message);
                return;
        }
        g_auto(GStrv) lines = g_strsplit(backends, "\n", -1);
        bool ok = g_strv_contains((const char *const *)lines, "user");
        report(check, ok, install_hint("qemu-system-x86 libslirp0"),
               ok ? "QEMU has user-mode networking" : "this QEMU was built without user-mode networking (libslirp)");
}

/* Programs and files that `image build` runs or copies, and the packages that bring them. */
typedef struct {
        const char *program, *package;
} Tool;
static const Tool image_tools[] = {
    {"mmdebstrap", "mmdebstrap"},
    {"mkfs.ext4", "e2fsprogs"},
    {"sfdisk", "fdisk"},
    {"grub-mkimage", "grub-common"},
    {"/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"},
};

static bool is_there(const char *program)
{
        if (g_path_is_absolute(program))
                return g_file_test(program, G_FILE_TEST_EXISTS);
        g_autofree char *in_path = g_find_program_in_path(program);
        g_autofree char *in_sbin = g_build_filename("/usr/sbin", program, NULL);
        return in_path || g_file_test(in_sbin, G_FILE_TEST_IS_EXECUTABLE);
}

/* What of @tools is not there, in words, and what installs it. */
static void check_tools(const Tool *tools, gsize n, const char *needing, HostlerCheck *check)
{
        g_autoptr(GString) missing = g_string_new(NULL), packages = g_string_new(NULL);
        for (gsize i = 0; i < n; i++) {
                if (is_there(tools[i].program))
                        continue;
                g_string_append_printf(missing, "%s%s", missing->len ? ", " : "", tools[i].program);
                g_string_append_printf(packages, "%s%s", packages->len ? " " : "", tools[i].package);
        }
        g_autofree char *text = missing->len ? g_strdup_printf("not there: %s, for %s", missing->str, needing)
                                             : g_strdup_printf("all tools of %s are there", needing);
        report(check, missing->len == 0, install_hint(packages->str), "%s", text);
}

static void check_image_tools(const HostContext *context, HostlerCheck *check)
{
        check_tools(image_tools, G_N_ELEMENTS(image_tools), "`image build`", check);
}

static void check_switches(const HostContext *context, HostlerCheck *check)
{
        static const Tool tools[] = {{"ovs-vswitchd", "openvswitch-switch"},
                                     {"dnsmasq", "dnsmasq-base"},
                                     {"nft", "nftables"},
                                     {"ip", "iproute2"}};
        check_tools(tools, G_N_ELEMENTS(tools), "switches", check);
}

/* A line that switches on a source of binary packages, in either of apt's formats (sources.list(5)). */
static bool has_deb_line(const char *path)
{
        g_autofree char *text = file_read(path, MIB, NULL, NULL);
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", -1);
        for (char **line = lines; *line; line++) {
                if (g_regex_match_simple("^(deb\\s|Types:.*\\bdeb\\b(?!-))", g_strchug(*line), 0, 0))
                        return true;
        }
        return false;
}

static guint count_apt_sources(const HostPaths *paths)
{
        g_autofree char *list = g_build_filename(paths->etc, "apt", "sources.list", NULL);
        g_autofree char *folder = g_build_filename(paths->etc, "apt", "sources.list.d", NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        guint count = has_deb_line(list);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                if (g_str_has_suffix(name, ".list") || g_str_has_suffix(name, ".sources"))
                        count += has_deb_line(path);
        }
        return count;
}

static void check_package_sources(const HostContext *context, HostlerCheck *check)
{
        guint count = count_apt_sources(context->paths);
        report(check, count > 0, g_strdup("man sources.list"),
               count ? "%u of apt's source files name packages for `image build`"
                     : "apt has no package source (%u files): `image build` cannot download",
               count);
}

static void check_cgroup(const HostContext *context, HostlerCheck *check)
{
        g_auto(CgroupFacts) facts = cgroup_read(context->paths);
        char *hint = g_strdup("systemctl enable --now hostlerd   (or: systemctl --user enable --now hostlerd)");
        if (facts.version == 0)
                report(check, false, hint,
                       "no control groups are mounted: VMs share processors and memory without limits");
        else if (!facts.writable)
                report(check, false, hint, "version %d; %s is not delegated to this user", facts.version, facts.path);
        else
                report(check, true, hint, "version %d at %s, with%s%s%s", facts.version, facts.path,
                       facts.cpu ? " cpu" : "", facts.memory ? " memory" : "",
                       facts.io ? " io" : (facts.cpu || facts.memory ? "" : " no controllers"));
}

static void check_state_folder(const HostContext *context, HostlerCheck *check)
{
        int64_t free_bytes = dir_free_bytes(context->state_dir);
        const char *read_only = context->store ? store_read_only_reason(context->store) : NULL;
        g_autofree char *free_text = rounded_size(MAX(free_bytes, 0));
        char *hint = g_strdup_printf("df -h %s", context->state_dir);
        if (read_only)
                report(check, false, hint, "%s cannot be written: %s", context->state_dir, read_only);
        else if (free_bytes < 0)
                report(check, false, hint, "%s: its free space cannot be told", context->state_dir);
        else
                report(check, free_bytes >= STATE_ENOUGH_BYTES, hint, "%s free at %s", free_text, context->state_dir);
}

static void check_memory(const HostContext *context, HostlerCheck *check)
{
        HostFacts facts = host_facts_read(context->paths);
        g_autofree char *available = rounded_size(facts.memory_available_bytes);
        g_autofree char *total = rounded_size(facts.memory_total_bytes);
        report(check, facts.memory_available_bytes >= MEMORY_ENOUGH_BYTES, g_strdup("hostler ls"),
               "%s of %s can be had", available, total);
}

static void check_processors(const HostContext *context, HostlerCheck *check)
{
        HostFacts facts = host_facts_read(context->paths);
        bool limited = facts.cpu_limit_percent > 0 && facts.cpu_limit_percent < 100;
        char *hint = g_strdup("systemctl edit hostlerd   (CPUQuota=)");
        if (facts.cpu_limit_percent)
                report(check, !limited, hint, "%d, together limited by a control group to the time of %.2f", facts.cpus,
                       facts.cpu_limit_percent / 100.0);
        else
                report(check, true, hint, "%d can be used", facts.cpus);
}

/* Where guests' memory goes when several processes share it. */
static void check_shared_memory(const HostContext *context, HostlerCheck *check)
{
        g_autofree char *path = g_build_filename(context->paths->dev, "shm", NULL);
        struct statvfs info;
        char *hint = g_strdup("mount -o remount,size=50% /dev/shm   (as root)");
        if (statvfs(path, &info) < 0) {
                report(check, false, hint, "there is no %s", path);
                return;
        }
        int64_t free_bytes = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
        g_autofree char *free_text = rounded_size(free_bytes);
        report(check, free_bytes >= SHARED_MEMORY_ENOUGH_BYTES, hint, "%s free at %s", free_text, path);
}

static const struct {
        const char *name;
        void (*look)(const HostContext *context, HostlerCheck *check);
} checks[] = {
    {"kvm", check_kvm},
    {"qemu", check_qemu},
    {"qemu-img", check_qemu_img},
    {"user network", check_user_network},
    {"image tools", check_image_tools},
    {"switches", check_switches},
    {"package sources", check_package_sources},
    {"state folder", check_state_folder},
    {"memory", check_memory},
    {"processors", check_processors},
    {"shared memory", check_shared_memory},
    {"cgroup", check_cgroup},
};

void host_checks(const HostContext *context, HostlerCheckList *ret_checks)
{
        HostContext filled = *context;
        filled.paths = context->paths ?: &host_paths;
        ret_checks->count = G_N_ELEMENTS(checks);
        ret_checks->items = g_new0(HostlerCheck, G_N_ELEMENTS(checks));
        for (gsize i = 0; i < G_N_ELEMENTS(checks); i++) {
                ret_checks->items[i].name = g_strdup(checks[i].name);
                checks[i].look(&filled, &ret_checks->items[i]);
        }
}
