/*
 * Runs the payload of accel_payload.S under KVM and remembers per boot of the host whether it got through.
 *
 * Knows nothing of VMs: src/vm asks once at the daemon's start and puts the verdict into each start, the doctor asks
 * again.
 */
#include "host/accel_probe.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define STORE_KEY "accel"
#define PROBE_LIMIT_MS 5000
#define ROM_SIZE 0x10000
#define ROM_RESET_VECTOR 0xfff0

extern const char accel_payload[], accel_payload_end[];

/* The letters that the payload reports, and what it tries after each. */
static const struct {
        char letter;
        const char *next;
} stages[] = {
    {'\0', "running its first instruction"},
    {'r', "entering protected mode"},
    {'p', "entering 64-bit mode"},
    {'l', "handling an exception and a page fault"},
    {'e', "100 million turns of a loop"},
    {'c', "waking up by timer interrupts"},
    {'t', NULL},
};

void accel_verdict_clear(AccelVerdict *verdict)
{
        g_clear_pointer(&verdict->reason, g_free);
        g_clear_pointer(&verdict->hint, g_free);
}

/* From the environment: the person decides. */
static bool verdict_from_environment(AccelVerdict *ret_verdict)
{
        const char *wanted = g_getenv("HOSTLER_ACCEL");
        if (g_strcmp0(wanted, "kvm") != 0 && g_strcmp0(wanted, "tcg") != 0)
                return false;
        *ret_verdict = (AccelVerdict){
            .kvm = g_str_equal(wanted, "kvm"),
            .reason = g_strdup_printf("HOSTLER_ACCEL=%s in the daemon's environment decides", wanted),
        };
        return true;
}

static bool verdict_from_store(Store *store, AccelVerdict *ret_verdict)
{
        g_autofree char *text = store ? store_get(store, STORE_KEY) : NULL;
        json_t *json = text ? json_loads(text, 0, NULL) : NULL;
        const char *boot_id = NULL, *reason = NULL, *hint = "";
        json_int_t took_ms = 0;
        int kvm = 0;
        bool known = json && json_unpack(json, "{s:s, s:b, s:s, s?:s, s:I}", "boot_id", &boot_id, "kvm", &kvm, "reason",
                                         &reason, "hint", &hint, "took_ms", &took_ms) == 0;
        known = known && g_str_equal(boot_id, host_boot_id());
        if (known)
                *ret_verdict = (AccelVerdict){
                    .kvm = kvm,
                    .reason = g_strdup(reason),
                    .hint = *hint ? g_strdup(hint) : NULL,
                    .took_ms = took_ms,
                };
        json_decref(json);
        return known;
}

/* A verdict that cannot be stored is found again at the next start of the daemon. */
static void remember(Store *store, const AccelVerdict *verdict)
{
        json_t *json = json_pack("{s:s, s:b, s:s, s:s, s:I}", "boot_id", host_boot_id(), "kvm", verdict->kvm, "reason",
                                 verdict->reason, "hint", verdict->hint ?: "", "took_ms", (json_int_t)verdict->took_ms);
        char *text = json_dumps(json, JSON_COMPACT);
        store_set(store, STORE_KEY, text, NULL);
        free(text);
        json_decref(json);
}

/* What needs no probe: a device that is not there or may not be opened. */
static bool verdict_from_device(const char *qemu, AccelVerdict *ret_verdict)
{
        if (!qemu) {
                ret_verdict->reason = g_strdup("there is no QEMU to probe with");
                return true;
        }
        if (access("/dev/kvm", R_OK | W_OK) == 0)
                return false;
        if (errno == EACCES) {
                ret_verdict->reason = g_strdup("this user may not open /dev/kvm");
                ret_verdict->hint = g_strdup_printf("adduser %s kvm   (as root; then log in again)", g_get_user_name());
        } else {
                ret_verdict->reason = g_strdup("there is no /dev/kvm");
                ret_verdict->hint =
                    g_strdup("modprobe kvm_intel   (as root; kvm_amd on AMD), virtualisation enabled in the firmware");
        }
        return true;
}

bool accel_probe(const char *qemu, Store *store, bool force, GCancellable *cancellable, AccelVerdict *ret_verdict)
{
        *ret_verdict = (AccelVerdict){0};
        if (verdict_from_environment(ret_verdict))
                return ret_verdict->kvm;
        if (!force && verdict_from_store(store, ret_verdict))
                return ret_verdict->kvm;
        if (verdict_from_device(qemu, ret_verdict))
                return false;
        int64_t start_ms = clock_monotonic_ms();
        ret_verdict->kvm = accel_run_payload(qemu, "kvm", PROBE_LIMIT_MS, cancellable, &ret_verdict->reason);
        ret_verdict->took_ms = clock_monotonic_ms() - start_ms;
        if (!ret_verdict->kvm)
                ret_verdict->hint =
                    g_strdup("hostler doctor --probe   (after a change of the host's kernel or hypervisor)");
        if (store && !g_cancellable_is_cancelled(cancellable))
                remember(store, ret_verdict);
        return ret_verdict->kvm;
}

/* A ROM with the payload at its start and a jump to it where the processor begins. Removed by the caller. */
static char *write_rom(GError **error)
{
        static const guint8 jump_far[] = {0xea, 0x00, 0x00, 0x00, 0xf0}; /* ljmp $0xf000, $0 */
        g_autofree char *rom = g_malloc0(ROM_SIZE);
        memcpy(rom, accel_payload, accel_payload_end - accel_payload);
        memcpy(rom + ROM_RESET_VECTOR, jump_far, sizeof(jump_far));
        g_autofree char *path = NULL;
        int fd = g_file_open_tmp("hostler-probe-XXXXXX", &path, error);
        if (fd < 0)
                return NULL;
        ssize_t written = write(fd, rom, ROM_SIZE);
        close(fd);
        if (written == ROM_SIZE)
                return g_steal_pointer(&path);
        unlink(path);
        error_set(error, HOSTLER_ERROR_READ_ONLY, NULL, "cannot write the probe's 64 KiB to %s", path);
        return NULL;
}

/* Which stage comes after the one that @line reports; other lines (QEMU's warnings) change nothing. */
static void note_stage(const char *line, void *data)
{
        guint *reached = data;
        for (guint i = 1; i < G_N_ELEMENTS(stages); i++)
                if (line[0] == stages[i].letter && line[1] == '\0')
                        *reached = i;
}

static char *describe(const char *accel, guint reached, int64_t timeout_ms, const GError *error)
{
        const char *next = stages[reached].next;
        if (!next)
                return g_strdup_printf("a probe booted under %s", accel);
        if (!error)
                return g_strdup_printf("a probe under %s fell over while %s", accel, next);
        if (!error_is(error, HOSTLER_ERROR_TIMEOUT))
                return g_strdup_printf("a probe under %s failed while %s: %s", accel, next, error->message);
        if (stages[reached].letter == 'e')
                return g_strdup_printf("%s is there but emulates guest kernels, far too slowly: %s took over %.1f s "
                                       "(it should take 0.05 s)",
                                       accel, next, timeout_ms / 1000.0);
        return g_strdup_printf("a probe under %s hung while %s (%.1f s)", accel, next, timeout_ms / 1000.0);
}

bool accel_run_payload(const char *qemu, const char *accel, int64_t timeout_ms, GCancellable *cancellable,
                       char **ret_reason)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *rom = write_rom(&error);
        if (!rom) {
                *ret_reason = g_strdup(error->message);
                return false;
        }
        /* The smallest machine of the type that VMs use; the reset that ends the payload ends QEMU. */
        const char *cpu = g_str_equal(accel, "kvm") ? "host" : "qemu64";
        const char *argv[] = {
            qemu, "-no-user-config", "-nodefaults", "-machine",   "q35",       "-accel", accel,   "-cpu", cpu, "-m",
            "16", "-display",        "none",        "-no-reboot", "-debugcon", "stdio",  "-bios", rom,    NULL};
        guint reached = 0;
        ProcessOptions options = {
            .argv = argv,
            .timeout_ms = timeout_ms,
            .cancellable = cancellable,
            .line = note_stage,
            .line_data = &reached,
        };
        bool ended = process_run(&options, NULL, &error);
        unlink(rom);
        *ret_reason = describe(accel, reached, timeout_ms, error);
        return ended && !stages[reached].next;
}
