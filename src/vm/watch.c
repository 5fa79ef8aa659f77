/*
 * Watching a VM that runs: its process (pidfd), QEMU's events, heartbeats, the guest agent, boot phases. Main loop
 * only, but for vm_read_plugged(); nothing else here blocks: questions to QEMU and the agent are sent, and their
 * answers arrive as callbacks.
 */
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "vm/clone/identity.h"
#include "vm/network/ports.h"
#include "vm/pool/space.h"
#include "vm/snapshot/freeze.h"
#include "vm/vm_internal.h"

/* A silent QEMU shows within five seconds: one beat, its time limit, and some air. */
#define HEARTBEAT_MS 2000
#define HEARTBEAT_LIMIT_MS 1800
/* The guest tells its balloon as often (device/balloon.c). */
#define BEATS_PER_GUEST_MEMORY 5
#define AGENT_LIMIT_MS 4000
/* Soon while the guest is coming up, then now and then. */
#define RENEW_AGAIN_MS 20000
#define AGENT_SOON_MS 300
#define AGENT_LATER_MS 15000
#define AGENT_SHARE 10 /* it is left alone for so many times as long as it took to answer */
#define CONSOLE_WINDOW 256
#define GUEST_TEXT_MAX 128

typedef struct VmWatch {
        Vm *vm;
        int pidfd;
        guint ended, heartbeat, agent_timer;
        unsigned beats;
        int helpers;
        bool beating, asking;
        bool named;
        int64_t asked_ms;                /* when the agent was asked last */
        int64_t renew_after_ms;          /* when a job may be asked (again) to give the guest an identity of its own */
        char window[CONSOLE_WINDOW + 1]; /* the console's last bytes, for phases */
        size_t window_length;
} VmWatch;

static void ask_agent(VmWatch *watch);

/* ---- the process ---- */

static gboolean on_ended(gint fd, GIOCondition condition, gpointer data)
{
        VmWatch *watch = data;
        watch->ended = 0;
        vm_in_background(watch->vm, "vm-exit", vm_record_exit);
        return G_SOURCE_REMOVE;
}

/* ---- heartbeats ---- */

static void on_heartbeat(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        VmWatch *watch = data;
        watch->beating = false;
        if (!error)
                vm_set_unresponsive(watch->vm, false);
        else if (error_is(error, HOSTLER_ERROR_UNRESPONSIVE))
                vm_set_unresponsive(watch->vm, true);
}

static gboolean on_heartbeat_time(gpointer data)
{
        VmWatch *watch = data;
        g_autoptr(Qmp) qmp = vm_qmp(watch->vm);
        watch_helpers_check(watch->vm, watch->helpers);
        if (qmp && !watch->beating) {
                watch->beating = true;
                qmp_send(qmp, "query-status", NULL, HEARTBEAT_LIMIT_MS, on_heartbeat, watch);
                counters_ask(watch->vm, qmp);
                if (watch->beats++ % BEATS_PER_GUEST_MEMORY == 0)
                        guest_memory_ask(watch->vm, qmp);
        }
        return G_SOURCE_CONTINUE;
}

/* ---- what is plugged in ---- */

static void note_cpus(Vm *vm, const json_t *cpus)
{
        vm_set_plugged(vm, (int64_t)json_array_size(cpus), HOSTLER_UNSET);
}

static void note_memory(Vm *vm, const json_t *memory)
{
        vm_set_plugged(vm, HOSTLER_UNSET,
                       json_integer_value(json_object_get(memory, "base-memory")) +
                           json_integer_value(json_object_get(memory, "plugged-memory")));
}

static void on_cpus(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        if (result)
                note_cpus(((VmWatch *)data)->vm, result);
}

static void on_memory(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        if (result)
                note_memory(((VmWatch *)data)->vm, result);
}

static void ask_plugged(VmWatch *watch)
{
        g_autoptr(Qmp) qmp = vm_qmp(watch->vm);
        if (!qmp)
                return;
        qmp_send(qmp, "query-cpus-fast", NULL, QMP_TIMEOUT_MS, on_cpus, watch);
        qmp_send(qmp, "query-memory-size-summary", NULL, QMP_TIMEOUT_MS, on_memory, watch);
}

void vm_read_plugged(Vm *vm, Qmp *qmp)
{
        json_t *cpus = NULL, *memory = NULL;
        if (qmp_call(qmp, "query-cpus-fast", NULL, &cpus, NULL))
                note_cpus(vm, cpus);
        if (qmp_call(qmp, "query-memory-size-summary", NULL, &memory, NULL))
                note_memory(vm, memory);
        json_decref(cpus);
        json_decref(memory);
}

/* ---- the guest agent ---- */

/* The guest may say anything: no control characters, nothing endless. */
static char *guest_text(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));
        if (!text)
                return NULL;
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        GString *clean = g_string_new(NULL);
        for (const char *at = valid; *at && clean->len < GUEST_TEXT_MAX; at = g_utf8_next_char(at))
                if (!g_unichar_iscntrl(g_utf8_get_char(at)))
                        g_string_append_unichar(clean, g_utf8_get_char(at));
        return g_string_free(clean, FALSE);
}

static const char *nic_of_mac(const HostlerSpec *spec, const char *mac)
{
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerNicProps *nic = spec->items[i].props;
                if (strcmp(spec->items[i].kind, "nic") == 0 && nic->mac && mac &&
                    g_ascii_strcasecmp(nic->mac, mac) == 0)
                        return spec->items[i].name;
        }
        return NULL;
}

static void add_address(HostlerAddressList *list, const HostlerSpec *spec, const json_t *entry, char *mac)
{
        g_autofree char *text = guest_text(entry, "ip-address");
        g_autoptr(GInetAddress) address = text ? g_inet_address_new_from_string(text) : NULL;
        if (!address || g_inet_address_get_is_loopback(address) || list->count >= 64)
                return;
        list->items = g_renew(HostlerAddress, list->items, list->count + 1);
        HostlerAddress *item = &list->items[list->count++];
        record_init(&hostler_address_type, item);
        item->address = g_inet_address_to_string(address);
        item->nic = g_strdup(nic_of_mac(spec, mac));
        item->mac = g_strdup(mac);
        item->source = g_strdup("agent");
}

static HostlerAddressList parse_interfaces(const HostlerSpec *spec, const json_t *interfaces)
{
        HostlerAddressList list = {0};
        size_t i, k;
        json_t *interface, *entry;
        json_array_foreach (interfaces, i, interface) {
                g_autofree char *mac = guest_text(interface, "hardware-address");
                json_array_foreach (json_object_get(interface, "ip-addresses"), k, entry)
                        add_address(&list, spec, entry, mac);
        }
        return list;
}

static gboolean on_agent_time(gpointer data)
{
        VmWatch *watch = data;
        watch->agent_timer = 0;
        ask_agent(watch);
        return G_SOURCE_REMOVE;
}

static void ask_agent_in(VmWatch *watch, guint delay_ms)
{
        g_clear_handle_id(&watch->agent_timer, g_source_remove);
        watch->agent_timer = g_timeout_add(delay_ms, on_agent_time, watch);
}

/* An agent that answers may yet have been too busy for the job: it is asked for again. */
static void renew_identity(VmWatch *watch)
{
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms >= watch->renew_after_ms && identity_renew_soon(watch->vm))
                watch->renew_after_ms = now_ms + RENEW_AGAIN_MS;
}

static void on_interfaces(GuestAgent *agent, const json_t *result, const GError *error, void *data)
{
        VmWatch *watch = data;
        watch->asking = false;
        if (result) {
                g_autoptr(Spec) spec = vm_spec(watch->vm);
                HostlerAddressList list = parse_interfaces(&spec->value, result);
                counters_note_interfaces(watch->vm, result);
                vm_set_phase(watch->vm, HOSTLER_BOOT_PHASE_AGENT);
                vm_set_addresses(watch->vm, &list);
                renew_identity(watch);
        }
        guest_thaw_if_left(watch->vm);
        if (vm_has_address(watch->vm))
                vm_set_phase(watch->vm, HOSTLER_BOOT_PHASE_IP);
        int64_t pause_ms = MAX(AGENT_SOON_MS, AGENT_SHARE * (clock_monotonic_ms() - watch->asked_ms));
        ask_agent_in(watch, vm_has_address(watch->vm) ? AGENT_LATER_MS : (guint)MIN(pause_ms, AGENT_LATER_MS));
}

static void on_os(GuestAgent *agent, const json_t *result, const GError *error, void *data)
{
        VmWatch *watch = data;
        g_autofree char *os = guest_text(result, "pretty-name");
        HostlerVm info;
        vm_info(watch->vm, &info);
        if (os)
                vm_set_guest(watch->vm, info.status->host_name, os);
        record_clear(&hostler_vm_type, &info);
}

static void on_host_name(GuestAgent *agent, const json_t *result, const GError *error, void *data)
{
        VmWatch *watch = data;
        g_autofree char *name = guest_text(result, "host-name");
        watch->named = name != NULL;
        if (name)
                vm_set_guest(watch->vm, name, NULL);
        if (name)
                guest_agent_send(agent, "guest-get-osinfo", NULL, AGENT_LIMIT_MS, on_os, watch);
}

static void ask_agent(VmWatch *watch)
{
        g_autoptr(GuestAgent) agent = vm_agent(watch->vm);
        if (!agent || watch->asking)
                return;
        watch->asking = true;
        watch->asked_ms = clock_monotonic_ms();
        guest_agent_send(agent, "guest-network-get-interfaces", NULL, AGENT_LIMIT_MS, on_interfaces, watch);
        if (!watch->named)
                guest_agent_send(agent, "guest-get-host-name", NULL, AGENT_LIMIT_MS, on_host_name, watch);
}

static void set_agent_open(VmWatch *watch, bool open)
{
        Vm *vm = watch->vm;
        g_mutex_lock(&vm->lock);
        vm->agent_open = open;
        vm_touch_locked(vm);
        g_mutex_unlock(&vm->lock);
        if (open)
                ask_agent(watch);
        else
                watch->named = false;
}

static void on_chardevs(Qmp *qmp, const json_t *result, const GError *error, void *data)
{
        size_t i;
        json_t *entry;
        json_array_foreach (result, i, entry) {
                if (g_strcmp0(json_string_value(json_object_get(entry, "label")), "agent") == 0)
                        set_agent_open(data, json_is_true(json_object_get(entry, "frontend-open")));
        }
}

/* ---- QEMU's events ---- */

static void set_exit_reason(Vm *vm, const char *reason)
{
        g_mutex_lock(&vm->lock);
        g_free(vm->exit_reason);
        vm->exit_reason = g_strdup(reason);
        g_mutex_unlock(&vm->lock);
}

static void on_shutdown(Vm *vm, const json_t *data)
{
        const char *reason = json_string_value(json_object_get(data, "reason"));
        set_exit_reason(vm, reason ? reason : "guest-shutdown");
        vm_set_power(vm, HOSTLER_POWER_STOPPING, reason ? reason : "guest-shutdown");
}

static void on_reset(Vm *vm, const json_t *data)
{
        g_autofree char *object = vm_object(vm);
        bool by_guest = json_is_true(json_object_get(data, "guest"));
        HostlerAddressList none = {0};
        /* The guest of a VM that is being started has not run yet. */
        if (vm_power(vm) == HOSTLER_POWER_STARTING)
                return;
        /* The firmware resets the machine once or twice more to get it clean; that is one restart to everybody else. */
        bool again = by_guest && vm_phase(vm) == HOSTLER_BOOT_PHASE_FIRMWARE;
        vm_set_addresses(vm, &none);
        vm_set_condition(vm, "panicked", NULL);
        vm_set_guest_memory(vm, NULL);
        vm_set_phase(vm, HOSTLER_BOOT_PHASE_FIRMWARE);
        vm_count_reset(vm);
        vm->watch->window_length = 0;
        if (again)
                return;
        event_emit(manager_events(vm_manager(vm)), "vm-reset", object,
                   json_pack("{s:s}", "reason", by_guest ? "guest-reset" : "host-reset"));
}

static void on_io_error(Vm *vm, const json_t *data)
{
        const char *node = json_string_value(json_object_get(data, "node-name"));
        const char *reason = json_string_value(json_object_get(data, "reason"));
        g_autofree char *detail = g_strdup_printf("disk %s: %s", node ? node : "?", reason ? reason : "I/O error");
        if (json_is_true(json_object_get(data, "nospace")))
                space_ran_out(vm, node);
        else
                vm_set_condition(vm, "io-error", detail);
}

static void on_port(Vm *vm, const json_t *data)
{
        if (g_strcmp0(json_string_value(json_object_get(data, "id")), "agent") == 0)
                set_agent_open(vm->watch, json_is_true(json_object_get(data, "open")));
}

static void on_resumed(Vm *vm)
{
        vm_set_power(vm, HOSTLER_POWER_RUNNING, "resumed");
        vm_set_condition(vm, "io-error", NULL);
        vm_set_condition(vm, "pool-full", NULL);
        vm_set_condition(vm, "panicked", NULL);
        vm_set_condition(vm, "watchdog", NULL);
        /* A state that came from disk brought its memory with it. */
        ask_plugged(vm->watch);
        vm_set_phase(vm, vm_phase(vm) == HOSTLER_BOOT_PHASE_ABSENT ? HOSTLER_BOOT_PHASE_FIRMWARE : vm_phase(vm));
}

static void on_stopped(Vm *vm)
{
        /* A guest that is on its way out, or has panicked, stops once more; that is not a pause. */
        if (vm_power(vm) != HOSTLER_POWER_STOPPING && vm_power(vm) != HOSTLER_POWER_CRASHED)
                vm_set_power(vm, HOSTLER_POWER_PAUSED, "stopped");
}

static void on_panicked(Vm *vm, const json_t *data)
{
        const char *action = json_string_value(json_object_get(data, "action"));
        g_autofree char *object = vm_object(vm);
        event_emit(manager_events(vm_manager(vm)), "vm-panicked", object,
                   json_pack("{s:s}", "action", action ? action : "run"));
        vm_set_condition(vm, "panicked", VM_PANICKED);
        if (g_strcmp0(action, "pause") == 0)
                vm_set_power(vm, HOSTLER_POWER_CRASHED, "guest-panic");
}

static void on_watchdog(Vm *vm, const json_t *data)
{
        const char *action = json_string_value(json_object_get(data, "action"));
        g_autofree char *object = vm_object(vm);
        event_emit(manager_events(vm_manager(vm)), "vm-watchdog", object,
                   json_pack("{s:s}", "action", action ? action : "none"));
        if (g_strcmp0(action, "pause") == 0)
                vm_set_condition(vm, "watchdog", "its watchdog was not fed, so it was paused");
        if (g_strcmp0(action, "poweroff") == 0)
                set_exit_reason(vm, "watchdog");
}

void vm_watch_event(Vm *vm, const char *event, const json_t *data)
{
        if (!vm->watch)
                return;
        if (g_str_equal(event, "RESUME"))
                on_resumed(vm);
        else if (g_str_equal(event, "STOP"))
                on_stopped(vm);
        else if (g_str_equal(event, "SHUTDOWN"))
                on_shutdown(vm, data);
        else if (g_str_equal(event, "RESET"))
                on_reset(vm, data);
        else if (g_str_equal(event, "SUSPEND"))
                vm_set_power(vm, HOSTLER_POWER_SUSPENDED, "guest-sleep");
        else if (g_str_equal(event, "WAKEUP"))
                vm_set_power(vm, HOSTLER_POWER_RUNNING, "woken");
        else if (g_str_equal(event, "GUEST_PANICKED"))
                on_panicked(vm, data);
        else if (g_str_equal(event, "WATCHDOG"))
                on_watchdog(vm, data);
        else if (g_str_equal(event, "BLOCK_IO_ERROR"))
                on_io_error(vm, data);
        else if (g_str_equal(event, "NIC_RX_FILTER_CHANGED"))
                ports_asked(vm, json_string_value(json_object_get(data, "name")));
        else if (g_str_equal(event, "VSERPORT_CHANGE"))
                on_port(vm, data);
        else if (g_str_equal(event, "MEMORY_DEVICE_SIZE_CHANGE") || g_str_equal(event, "DEVICE_DELETED"))
                ask_plugged(vm->watch);
}

/* ---- boot phases by what the console says ---- */

static const struct {
        const char *text;
        HostlerBootPhase phase;
} phase_marks[] = {
    {"Linux version ", HOSTLER_BOOT_PHASE_KERNEL},  {"hostler: userspace", HOSTLER_BOOT_PHASE_USERSPACE},
    {"systemd[1]: ", HOSTLER_BOOT_PHASE_USERSPACE}, {"Welcome to ", HOSTLER_BOOT_PHASE_USERSPACE},
    {" login: ", HOSTLER_BOOT_PHASE_USERSPACE},
};

static void match_window(VmWatch *watch)
{
        for (size_t i = 0; i < G_N_ELEMENTS(phase_marks); i++)
                if (memmem(watch->window, watch->window_length, phase_marks[i].text, strlen(phase_marks[i].text)))
                        vm_set_phase(watch->vm, phase_marks[i].phase);
}

void vm_watch_console(Vm *vm, const char *bytes, gsize length)
{
        VmWatch *watch = vm->watch;
        if (!watch || vm_phase(vm) >= HOSTLER_BOOT_PHASE_USERSPACE)
                return;
        /* Half of the window overlaps, so that a mark cut in two is still seen. */
        while (length > 0) {
                gsize keep = MIN(watch->window_length, CONSOLE_WINDOW / 2), take = MIN(length, CONSOLE_WINDOW - keep);
                memmove(watch->window, watch->window + watch->window_length - keep, keep);
                memcpy(watch->window + keep, bytes, take);
                watch->window_length = keep + take;
                match_window(watch);
                bytes += take;
                length -= take;
        }
}

/* ---- begin and end ---- */

void vm_watch_start(Vm *vm)
{
        ProcessId process = vm_process(vm);
        VmWatch *watch = g_new0(VmWatch, 1);
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        watch->vm = vm_ref(vm);
        watch->helpers = watch_helpers_expected(vm);
        watch->pidfd = process_id_open(&process);
        vm->watch = watch;
        counters_start(vm);
        if (watch->pidfd >= 0)
                watch->ended = g_unix_fd_add(watch->pidfd, G_IO_IN, on_ended, watch);
        else
                on_ended(-1, 0, watch);
        watch->heartbeat = g_timeout_add(HEARTBEAT_MS, on_heartbeat_time, watch);
        ask_plugged(watch);
        qmp_send(qmp, "query-chardev", NULL, QMP_TIMEOUT_MS, on_chardevs, watch);
}

void vm_watch_stop(Vm *vm)
{
        VmWatch *watch = g_steal_pointer(&vm->watch);
        if (!watch)
                return;
        g_clear_handle_id(&watch->ended, g_source_remove);
        g_clear_handle_id(&watch->heartbeat, g_source_remove);
        g_clear_handle_id(&watch->agent_timer, g_source_remove);
        if (watch->pidfd >= 0)
                close(watch->pidfd);
        vm_unref(watch->vm);
        g_free(watch);
}
