/*
 * Keys and pointers: send-key and send-pointer. Both are calls: they change nothing that Hostler answers for. Whether
 * anybody in the guest listens cannot be seen from here; that there is a device to speak through can.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/manager.h"

/* QEMU's range of an absolute axis. */
#define AXIS_MAX 32767

/* ---- the device ---- */

static bool has_device(Vm *vm, bool (*is_it)(const HostlerPart *part))
{
        HostlerVmRuntime runtime;
        bool found = false;
        vm_runtime(vm, &runtime);
        for (size_t i = 0; i < runtime.launched.count; i++)
                found = found || is_it(&runtime.launched.items[i]);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return found;
}

/* QEMU's monitor, if the VM runs and has such a device. */
static Qmp *require_input(Vm *vm, const char *what, bool (*is_it)(const HostlerPart *part), GError **error)
{
        g_autofree char *object = vm_object(vm), *name = vm_name(vm);
        if (vm_power(vm) != HOSTLER_POWER_RUNNING) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "its guest does not run, so nobody would see it");
                return NULL;
        }
        if (!has_device(vm, is_it)) {
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, object, "it has no %s", what);
                error_hint(error, "hostler device add %s input", name);
                return NULL;
        }
        return vm_require_qmp(vm, error);
}

/* ---- keys ---- */

/* What people write for QEMU's names. */
static const char *key_name(const char *word)
{
        static const char *const names[][2] = {
            {"enter", "ret"},         {"return", "ret"},    {"del", "delete"},         {"escape", "esc"},
            {"space", "spc"},         {"control", "ctrl"},  {"win", "meta_l"},         {"super", "meta_l"},
            {"pageup", "pgup"},       {"pagedown", "pgdn"}, {"capslock", "caps_lock"}, {"ins", "insert"},
            {"printscreen", "print"},
        };
        for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
                if (strcmp(names[i][0], word) == 0)
                        return names[i][1];
        return word;
}

/* "ctrl-alt-del" → QEMU's list of key values. */
static json_t *key_values(const char *combination)
{
        g_autofree char *lower = g_ascii_strdown(combination, -1);
        g_auto(GStrv) words = g_strsplit(lower, "-", -1);
        json_t *keys = json_array();
        for (char **word = words; *word; word++)
                json_array_append_new(keys, json_pack("{s:s, s:s}", "type", "qcode", "data", key_name(*word)));
        return keys;
}

/* The names of all keys that this QEMU knows, NULL at the end: of its schema, the enumeration that "sysrq" is in. */
static GPtrArray *known_keys(Qmp *qmp, GError **error)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        json_auto_t *schema = NULL;
        json_t *type, *value;
        size_t i, k;
        bool found = false;
        if (!qmp_call(qmp, "query-qmp-schema", NULL, &schema, error))
                return NULL;
        json_array_foreach (schema, i, type) {
                g_ptr_array_set_size(names, 0);
                json_array_foreach (json_object_get(type, "values"), k, value)
                        g_ptr_array_add(names, g_strdup(json_string_value(value)));
                found = g_ptr_array_find_with_equal_func(names, "sysrq", g_str_equal, NULL);
                if (found)
                        break;
        }
        g_ptr_array_add(names, NULL);
        if (found)
                return g_steal_pointer(&names);
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "this QEMU does not say which keys it knows");
        return NULL;
}

static bool check_keys(const GPtrArray *known, const json_t *keys, GError **error)
{
        json_t *key;
        size_t i;
        json_array_foreach ((json_t *)keys, i, key) {
                const char *name = json_string_value(json_object_get(key, "data"));
                if (g_strv_contains((const char *const *)known->pdata, name))
                        continue;
                g_auto(GStrv) near = names_near(name, (const char *const *)known->pdata);
                g_autofree char *names = g_strjoinv(", ", near);
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no key called %s%s%s", name,
                                 *names ? "; did you mean: " : "", names);
        }
        return true;
}

/* Before the first is pressed: half a password is worse than none. */
static bool check_combinations(Qmp *qmp, char *const *combinations, GError **error)
{
        g_autoptr(GPtrArray) known = known_keys(qmp, error);
        bool ok = known != NULL;
        for (size_t i = 0; ok && combinations[i]; i++) {
                json_auto_t *keys = key_values(combinations[i]);
                ok = check_keys(known, keys, error);
        }
        return ok;
}

bool vm_send_key(const Call *call, const HostlerVmSendKeyArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(Qmp) qmp = vm ? require_input(vm, "keyboard", input_is_keyboard, error) : NULL;
        bool ok = qmp && check_combinations(qmp, args->keys, error);
        for (size_t i = 0; ok && args->keys[i]; i++)
                ok = qmp_call(
                    qmp, "send-key",
                    json_pack("{s:o, s:I}", "keys", key_values(args->keys[i]), "hold-time", (json_int_t)args->hold),
                    NULL, error);
        return ok;
}

/* ---- pointers ---- */

static void add_move(json_t *events, const char *type, const char *axis, int64_t value)
{
        json_array_append_new(
            events, json_pack("{s:s, s:{s:s, s:I}}", "type", type, "data", "axis", axis, "value", (json_int_t)value));
}

static json_t *moves(const HostlerVmSendPointerArgs *args)
{
        json_t *events = json_array();
        if (!isnan(args->x))
                add_move(events, "abs", "x", (int64_t)(args->x * AXIS_MAX + 0.5));
        if (!isnan(args->y))
                add_move(events, "abs", "y", (int64_t)(args->y * AXIS_MAX + 0.5));
        if (args->right != HOSTLER_UNSET)
                add_move(events, "rel", "x", args->right);
        if (args->down != HOSTLER_UNSET)
                add_move(events, "rel", "y", args->down);
        return events;
}

/* One call is one report of the device: a press and its release need two. */
static bool send_events(Qmp *qmp, json_t *events_taken, GError **error)
{
        return qmp_call(qmp, "input-send-event", json_pack("{s:o}", "events", events_taken), NULL, error);
}

static json_t *button(HostlerPointerButton which, bool down)
{
        return json_pack("[{s:s, s:{s:s, s:b}}]", "type", "btn", "data", "button",
                         hostler_pointer_button_enum.values[which], "down", down);
}

bool vm_send_pointer(const Call *call, const HostlerVmSendPointerArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(Qmp) qmp = vm ? require_input(vm, "pointing device", input_is_pointer, error) : NULL;
        json_auto_t *events = moves(args);
        if (!qmp)
                return false;
        if (json_array_size(events) == 0 && args->click == HOSTLER_POINTER_BUTTON_ABSENT)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "it needs a place, steps or a click");
        if (json_array_size(events) > 0 && !send_events(qmp, json_incref(events), error))
                return false;
        return args->click == HOSTLER_POINTER_BUTTON_ABSENT || (send_events(qmp, button(args->click, true), error) &&
                                                                send_events(qmp, button(args->click, false), error));
}
