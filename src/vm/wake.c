/*
 * Waking a guest from S3 sleep, and giving it back the part of its chipset that the firmware forgets.
 *
 * QEMU resets the machine on wake-up. SeaBIOS 1.16 sets q35's LPC bridge (ICH9, PCI 00:1f.0) up at a cold boot only, so
 * afterwards the ACPI registers are not where the guest left them: it runs, but neither a power button nor a hot-plug
 * reaches it, and its own power-off ends in a warning (seen with QEMU 7.2 and Linux 6.1). So the guest is held right
 * after the reset, the bridge's registers are written as SeaBIOS writes them (src/fw/pciinit.c, mch_isa_bridge_setup),
 * and only then does it go on into its own resume code.
 *
 * Registers: Intel ICH9 datasheet, chapter 13.1 (LPC interface bridge).
 */
#include "vm/wake.h"

#include "base/clock.h"
#include "base/error.h"

#define HOLD_MS 2000
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
/* Bus 0, device 1f, function 0, with the enable bit. */
#define LPC_BRIDGE 0x8000f800u

static const struct {
        unsigned reg;
        guint32 value;
} lpc_registers[] = {
    {0x40, 0x00000601}, /* PMBASE: ACPI registers at 0x600 */
    {0x44, 0x00000080}, /* ACPI_CNTL: they are on */
    {0x60, 0x8b8b8a8a}, /* PIRQA–D: 10, 10, 11, 11, off while the I/O APIC is used */
    {0x68, 0x8b8b8a8a}, /* PIRQE–H */
    {0xf0, 0xfed1c001}, /* RCBA */
};

/* A line of QEMU's human monitor, the only way to a port ("w" is 32 bits there). @ret_answer is owned by the caller. */
static bool monitor(Qmp *qmp, const char *line, char **ret_answer, GError **error)
{
        json_t *answer = NULL;
        if (!qmp_call(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), &answer, error))
                return false;
        *ret_answer = g_strdup(json_string_value(answer) ? json_string_value(answer) : "");
        json_decref(answer);
        return true;
}

static bool port_write(Qmp *qmp, unsigned port, guint32 value, GError **error)
{
        g_autofree char *line = g_strdup_printf("o/w 0x%x 0x%x", port, value), *answer = NULL;
        if (!monitor(qmp, line, &answer, error))
                return false;
        return *answer == '\0' || error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU did not write a port: %s", answer);
}

/* "portl[0x0cf8] = 0x8000f840" */
static bool port_read(Qmp *qmp, unsigned port, guint32 *ret_value, GError **error)
{
        g_autofree char *line = g_strdup_printf("i/w 0x%x", port), *answer = NULL;
        if (!monitor(qmp, line, &answer, error))
                return false;
        const char *equals = strchr(answer, '=');
        *ret_value = equals ? (guint32)g_ascii_strtoull(equals + 1, NULL, 0) : 0;
        return true;
}

/* The firmware may be between choosing a register and reading it: what it chose is put back. */
static bool restore_bridge(Qmp *qmp, GError **error)
{
        guint32 chosen;
        if (!port_read(qmp, CONFIG_ADDRESS, &chosen, error))
                return false;
        for (size_t i = 0; i < G_N_ELEMENTS(lpc_registers); i++)
                if (!port_write(qmp, CONFIG_ADDRESS, LPC_BRIDGE | lpc_registers[i].reg, error) ||
                    !port_write(qmp, CONFIG_DATA, lpc_registers[i].value, error))
                        return false;
        return port_write(qmp, CONFIG_ADDRESS, chosen, error);
}

static bool is_held(Qmp *qmp)
{
        json_t *status = NULL;
        if (!qmp_call(qmp, "query-status", NULL, &status, NULL))
                return false;
        bool held = g_strcmp0(json_string_value(json_object_get(status, "status")), "paused") == 0;
        json_decref(status);
        return held;
}

/* `stop` does nothing until the wake-up, which QEMU only notes at first, has happened. */
static bool hold(Qmp *qmp, GError **error)
{
        int64_t end = clock_monotonic_ms() + HOLD_MS;
        do {
                if (!qmp_call(qmp, "stop", NULL, NULL, error))
                        return false;
                if (is_held(qmp))
                        return true;
        } while (clock_monotonic_ms() < end);
        return error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "the guest did not wake up");
}

bool wake_guest(Qmp *qmp, GError **error)
{
        if (!qmp_call(qmp, "system_wakeup", NULL, NULL, error) || !hold(qmp, error))
                return false;
        bool restored = restore_bridge(qmp, error);
        return qmp_call(qmp, "cont", NULL, NULL, restored ? error : NULL) && restored;
}
