/*
 * Plans as argv, as QMP calls, and backwards. See plan.h.
 *
 * What it does not do: decide anything. Which steps a device takes is the device's file; called by src/vm when it
 * launches, plugs and unplugs.
 */
#include "device/plan.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"

#define UNPLUG_POLL_US 10000
#define FORGET_LIMIT_MS 3000
/* A guest that was busy booting misses the first request; the button is pressed again this often. */
#define UNPLUG_AGAIN_MS 5000

static void step_clear(gpointer data)
{
        Step *step = data;
        json_decref(step->args);
}

Plan *plan_new(void)
{
        Plan *plan = g_new0(Plan, 1);
        plan->steps = g_array_new(FALSE, FALSE, sizeof(Step));
        g_array_set_clear_func(plan->steps, step_clear);
        return plan;
}

void plan_free(Plan *plan)
{
        if (!plan)
                return;
        g_array_unref(plan->steps);
        g_free(plan);
}

void plan_add(Plan *plan, StepKind kind, json_t *args_taken)
{
        Step step = {.kind = kind, .args = args_taken};
        g_assert(args_taken);
        g_array_append_val(plan->steps, step);
}

void plan_argument(Plan *plan, const char *option, const char *value)
{
        plan_add(plan, STEP_ARGUMENT, json_pack("{s:s, s:s*}", "option", option, "value", value));
}

static const char *member(const Step *step, const char *name)
{
        return json_string_value(json_object_get(step->args, name));
}

/* ---- character devices ---- */

static void plan_chardev(Plan *plan, const char *id, const char *type, json_t *data_taken)
{
        plan_add(plan, STEP_CHARDEV,
                 json_pack("{s:s, s:{s:s, s:o}}", "id", id, "backend", "type", type, "data", data_taken));
}

static json_t *socket_data(const char *path, bool server)
{
        return json_pack("{s:{s:s, s:{s:s}}, s:b}", "addr", "type", "unix", "data", "path", path, "server", server);
}

void plan_chardev_listen(Plan *plan, const char *id, const char *path, int log_fdset)
{
        json_t *data = socket_data(path, true);
        g_autofree char *log = g_strdup_printf("/dev/fdset/%d", log_fdset);
        json_object_set_new(data, "wait", json_false());
        if (log_fdset > 0) {
                json_object_set_new(data, "logfile", json_string(log));
                json_object_set_new(data, "logappend", json_true());
        }
        plan_chardev(plan, id, "socket", data);
}

void plan_chardev_connect(Plan *plan, const char *id, const char *path)
{
        json_t *data = socket_data(path, false);
        json_object_set_new(data, "reconnect", json_integer(1));
        plan_chardev(plan, id, "socket", data);
}

void plan_chardev_attach(Plan *plan, const char *id, const char *path)
{
        plan_chardev(plan, id, "socket", socket_data(path, false));
}

void plan_chardev_ring(Plan *plan, const char *id, int64_t size_bytes)
{
        plan_chardev(plan, id, "ringbuf", json_pack("{s:I}", "size", (json_int_t)size_bytes));
}

void plan_chardev_pty(Plan *plan, const char *id)
{
        plan_chardev(plan, id, "pty", json_object());
}

void plan_chardev_log(Plan *plan, const char *id, int fdset)
{
        g_autofree char *path = g_strdup_printf("/dev/fdset/%d", fdset);
        plan_chardev(plan, id, "file", json_pack("{s:s, s:b}", "out", path, "append", 1));
}

void plan_chardev_null(Plan *plan, const char *id)
{
        plan_chardev(plan, id, "null", json_object());
}

static void append_option(GString *option, const char *name, const json_t *value)
{
        if (json_is_string(value))
                g_string_append_printf(option, ",%s=%s", name, json_string_value(value));
        else if (json_is_integer(value))
                g_string_append_printf(option, ",%s=%" JSON_INTEGER_FORMAT, name, json_integer_value(value));
        else
                g_string_append_printf(option, ",%s=%s", name, json_is_true(value) ? "on" : "off");
}

/*
 * What QMP says as {"addr": {"data": {"path"}}, "server"} is "socket,id=…,path=…,server=on" on the command line.
 * Names come from this program (never from a request), so a comma would be a bug here and not an attack.
 */
static char *chardev_option(const Step *step)
{
        json_t *backend = json_object_get(step->args, "backend"), *data = json_object_get(backend, "data"), *value;
        GString *option = g_string_new(json_string_value(json_object_get(backend, "type")));
        const char *name;
        append_option(option, "id", json_object_get(step->args, "id"));
        json_object_foreach (data, name, value) {
                if (strcmp(name, "addr") == 0)
                        append_option(option, "path", json_object_get(json_object_get(value, "data"), "path"));
                else
                        append_option(option, strcmp(name, "out") == 0 ? "path" : name, value);
        }
        return g_string_free(option, FALSE);
}

/* ---- argv ---- */

static const char *step_option(StepKind kind)
{
        static const char *const options[] = {
            [STEP_OBJECT] = "-object", [STEP_CHARDEV] = "-chardev", [STEP_BLOCKDEV] = "-blockdev",
            [STEP_NETDEV] = "-netdev", [STEP_DEVICE] = "-device",
        };
        return options[kind];
}

static void step_to_argv(const Step *step, GPtrArray *argv)
{
        if (step->kind == STEP_ARGUMENT) {
                g_ptr_array_add(argv, g_strdup(member(step, "option")));
                if (member(step, "value"))
                        g_ptr_array_add(argv, g_strdup(member(step, "value")));
                return;
        }
        g_ptr_array_add(argv, g_strdup(step_option(step->kind)));
        g_ptr_array_add(argv, step->kind == STEP_CHARDEV ? chardev_option(step) : json_dumps(step->args, JSON_COMPACT));
}

void plan_to_argv(const Plan *plan, GPtrArray *argv)
{
        for (guint i = 0; i < plan->steps->len; i++)
                step_to_argv(&g_array_index(plan->steps, Step, i), argv);
}

static bool step_request(const Step *step, QmpRequest *ret_request, GError **error)
{
        static const char *const commands[] = {
            [STEP_OBJECT] = "object-add", [STEP_CHARDEV] = "chardev-add", [STEP_BLOCKDEV] = "blockdev-add",
            [STEP_NETDEV] = "netdev_add", [STEP_DEVICE] = "device_add",
        };
        if (step->kind == STEP_ARGUMENT)
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "this can only be given when QEMU is started");
        *ret_request = (QmpRequest){.command = commands[step->kind], .arguments = step->args};
        return true;
}

static bool step_run(const Step *step, Qmp *qmp, GError **error)
{
        QmpRequest request = {0};
        return step_request(step, &request, error) &&
               qmp_call(qmp, request.command, json_incref(request.arguments), NULL, error);
}

static bool device_is_there(Qmp *qmp, const char *id)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", id);
        json_t *result = NULL;
        if (qmp_call(qmp, "qom-list", json_pack("{s:s}", "path", path), &result, &error)) {
                json_decref(result);
                return true;
        }
        /* An answer that is not QEMU's own refusal proves nothing: count it as still there. */
        return !qmp_error_class(error);
}

static bool ask_to_go(Qmp *qmp, const char *id, GError **error)
{
        g_autoptr(GError) local = NULL;
        if (qmp_call(qmp, "device_del", json_pack("{s:s}", "id", id), NULL, &local))
                return true;
        /* A request that is already under way is as good; the second asking says so in a GenericError. */
        if (!device_is_there(qmp, id) || strstr(local->message, "in the process of unplug"))
                return true;
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
}

static bool device_unplug(Qmp *qmp, const char *id, int64_t timeout_ms, GError **error)
{
        int64_t end = clock_monotonic_ms() + timeout_ms, again = 0;
        if (!device_is_there(qmp, id))
                return true;
        for (;;) {
                if (clock_monotonic_ms() >= again) {
                        if (!ask_to_go(qmp, id, error))
                                return false;
                        again = clock_monotonic_ms() + UNPLUG_AGAIN_MS;
                }
                if (!device_is_there(qmp, id))
                        return true;
                if (clock_monotonic_ms() >= end)
                        break;
                g_usleep(UNPLUG_POLL_US);
        }
        g_autofree char *waited = duration_format(timeout_ms);
        error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "the guest did not let go of device %s within %s", id, waited);
        return error_hint(
            error, "a guest that is still booting, or has the device in use, keeps it; try again or stop the VM");
}

static bool is_gone(const GError *error)
{
        return qmp_error_class(error) &&
               (strstr(error->message, "not found") || strstr(error->message, "Failed to find"));
}

static bool is_busy(const GError *error)
{
        return strstr(error->message, "is in use") || strstr(error->message, "is busy");
}

/*
 * Things that are gone already count as removed, so an unplug that was cut short can be repeated. A node stays "in use"
 * for a moment after its device has left.
 */
static bool forget(Qmp *qmp, const char *command, json_t *args_taken, GError **error)
{
        json_auto_t *args = args_taken;
        int64_t end = clock_monotonic_ms() + FORGET_LIMIT_MS;
        for (;;) {
                g_autoptr(GError) local = NULL;
                if (qmp_call(qmp, command, json_incref(args), NULL, &local) || is_gone(local))
                        return true;
                if (!is_busy(local) || clock_monotonic_ms() >= end) {
                        g_propagate_error(error, g_steal_pointer(&local));
                        return false;
                }
                g_usleep(UNPLUG_POLL_US);
        }
}

static bool step_undo(const Step *step, Qmp *qmp, int64_t timeout_ms, GError **error)
{
        switch (step->kind) {
        case STEP_DEVICE:
                return device_unplug(qmp, member(step, "id"), timeout_ms, error);
        case STEP_NETDEV:
                return forget(qmp, "netdev_del", json_pack("{s:s}", "id", member(step, "id")), error);
        case STEP_BLOCKDEV:
                return forget(qmp, "blockdev-del", json_pack("{s:s}", "node-name", member(step, "node-name")), error);
        case STEP_OBJECT:
                return forget(qmp, "object-del", json_pack("{s:s}", "id", member(step, "id")), error);
        case STEP_CHARDEV:
                return forget(qmp, "chardev-remove", json_pack("{s:s}", "id", member(step, "id")), error);
        case STEP_ARGUMENT:
                break;
        }
        return true;
}

static bool undo_from(const Plan *plan, guint count, Qmp *qmp, int64_t timeout_ms, GError **error)
{
        for (guint i = count; i > 0; i--)
                if (!step_undo(&g_array_index(plan->steps, Step, i - 1), qmp, timeout_ms, error))
                        return false;
        return true;
}

bool plan_run(const Plan *plan, Qmp *qmp, GError **error)
{
        for (guint i = 0; i < plan->steps->len; i++) {
                if (step_run(&g_array_index(plan->steps, Step, i), qmp, error))
                        continue;
                undo_from(plan, i, qmp, QMP_TIMEOUT_MS, NULL);
                return false;
        }
        return true;
}

bool plan_run_at_once(const Plan *plan, Qmp *qmp, GError **error)
{
        g_autofree QmpRequest *requests = g_new0(QmpRequest, plan->steps->len + 1);
        for (guint i = 0; i < plan->steps->len; i++)
                if (!step_request(&g_array_index(plan->steps, Step, i), &requests[i], error))
                        return false;
        return qmp_call_all(qmp, requests, plan->steps->len, error);
}

bool plan_is_there(const Plan *plan, Qmp *qmp)
{
        for (guint i = 0; i < plan->steps->len; i++) {
                const Step *step = &g_array_index(plan->steps, Step, i);
                if (step->kind == STEP_DEVICE && !device_is_there(qmp, member(step, "id")))
                        return false;
        }
        return true;
}

bool plan_unplug(const Plan *plan, Qmp *qmp, int64_t timeout_ms, GError **error)
{
        return undo_from(plan, plan->steps->len, qmp, timeout_ms, error);
}

json_t *plan_to_json(const Plan *plan)
{
        static const char *const names[] = {
            [STEP_ARGUMENT] = "argument", [STEP_OBJECT] = "object", [STEP_CHARDEV] = "chardev",
            [STEP_BLOCKDEV] = "blockdev", [STEP_NETDEV] = "netdev", [STEP_DEVICE] = "device",
        };
        json_t *array = json_array();
        for (guint i = 0; i < plan->steps->len; i++) {
                const Step *step = &g_array_index(plan->steps, Step, i);
                json_array_append_new(array, json_pack("{s:s, s:O}", "step", names[step->kind], "args", step->args));
        }
        return array;
}
