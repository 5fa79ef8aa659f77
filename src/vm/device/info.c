/*
 * What is to be said of a VM's devices: from the spec, from the run, from QEMU (PCI addresses) and from the guest. See
 * info.h.
 */
#include "vm/device/info.h"

#include <string.h>

#include "device/address.h"
#include "device/guest_script.h"
#include "vm/device/output.h"

/* Of all questions together, and for each. */
#define GUEST_MS 5000
#define QUESTION_MS 500

typedef struct {
        Vm *vm;
        VmContext context; /* of what is wanted */
        VmContext running; /* of what was launched; only when `live` */
        HostlerVmRuntime runtime;
        bool live;
        Qmp *qmp;              /* NULL: none */
        GHashTable *addresses; /* QEMU's id → "0000:01:00.0", owned both */
        GuestAgent *agent;     /* NULL: none */
        GPtrArray *words;      /* of char *, owned: the questions to the guest, one after the other */
        GArray *asked;         /* of size_t: for each, which device of the list it is about */
} Look;

/* ---- the guest ---- */

/* One program for all questions, each a command and its QUESTION_WORDS - 1 arguments: a line each, the first it prints.
 */
#define QUESTION_WORDS (DEVICE_GUEST_WORDS - 3)
static const char runner[] =
    "while [ $# -ge 7 ]; do "
    "printf '%s\\n' \"$(sh -c \"$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"$6\" \"$7\" </dev/null 2>/dev/null | "
    "head -n 1)\"; shift 7; done";
_Static_assert(QUESTION_WORDS == 7, "the runner takes as many");

static void question_add(const Look *look, const HostlerPart *part, size_t device)
{
        const char *argv[DEVICE_GUEST_WORDS];
        char seat[DEVICE_SEAT_TEXT];
        GuestPlace place = device_guest_place(&look->context.context, part, look->addresses, seat);
        if (!look->agent || !device_guest_argv(part, &place, argv))
                return;
        for (int i = 0; i < QUESTION_WORDS; i++)
                g_ptr_array_add(look->words, g_strdup(argv[2 + i])); /* behind "sh", "-c" */
        g_array_append_val(look->asked, device);
}

static void take_answers(const Look *look, GBytes *out, HostlerDeviceInfoList *list)
{
        gsize length;
        const char *bytes = g_bytes_get_data(out, &length);
        g_autofree char *text = g_strndup(bytes ? bytes : "", length);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (guint i = 0; i < look->asked->len && lines[i]; i++)
                if (*g_strchomp(lines[i]))
                        list->items[g_array_index(look->asked, size_t, i)].guest = g_utf8_make_valid(lines[i], -1);
}

static void ask_guest(const Look *look, HostlerDeviceInfoList *list)
{
        GuestExecResult result = {0};
        if (look->asked->len == 0)
                return;
        g_ptr_array_add(look->words, NULL);
        if (!guest_script_run(look->agent, runner, (const char *const *)look->words->pdata, NULL,
                              GUEST_MS + QUESTION_MS * (int64_t)look->asked->len, NULL, &result, NULL))
                return;
        take_answers(look, result.out, list);
        guest_exec_result_clear(&result);
}

/* ---- one device ---- */

static void describe(const Look *look, const HostlerPart *part, const char *state, HostlerDeviceInfoList *list)
{
        const ModelDecl *model = part_model(part);
        bool attached = strcmp(state, "attached") == 0 || strcmp(state, "going") == 0;
        g_auto(HostEnd) end = device_host_end(&look->context.context, part);
        HostlerDeviceInfo *info = &list->items[list->count++];
        record_init(&hostler_device_info_type, info);
        info->name = g_strdup(part->name);
        info->kind = g_strdup(part->kind);
        info->model = model ? g_strdup(model->name) : NULL;
        info->place = device_place_text(&look->context.context, part);
        info->live = device_hot_plug(&look->context.context, part);
        info->state = g_strdup(state);
        info->blocks = g_strdup(device_blocks(&look->context.context, part));
        info->address = g_strdup(g_hash_table_lookup(look->addresses, part->name));
        info->host = device_output_text(look->vm, &end, attached);
        if (strcmp(state, "attached") == 0)
                question_add(look, part, list->count - 1);
}

/* A guest may let go of a device long after it was asked to. */
static bool is_released(const Look *look, const HostlerPart *part)
{
        g_autoptr(Plan) plan = plan_new();
        if (!look->qmp || !device_hot_plug(&look->running.context, part))
                return false;
        device_type(part->kind)->plan(&look->running.context, part, plan);
        return !plan_is_there(plan, look->qmp);
}

static const char *state_of(const Look *look, const HostlerPart *part)
{
        if (!look->live)
                return "stored";
        const HostlerPart *running = spec_part(&look->runtime.launched, part->name);
        if (!running)
                return "pending";
        return is_released(look, running) ? "released" : "attached";
}

static void look_open(Look *look, Vm *vm, const HostlerSpec *spec)
{
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        *look = (Look){.vm = vm,
                       .live = vm_is_live(vm),
                       .words = g_ptr_array_new_with_free_func(g_free),
                       .asked = g_array_new(FALSE, FALSE, sizeof(size_t)),
                       .addresses = qmp ? device_addresses(qmp) : g_hash_table_new(g_str_hash, g_str_equal)};
        vm_runtime(vm, &look->runtime);
        vm_context_init(&look->context, vm_manager(vm), vm, spec, look->live ? &look->runtime : NULL);
        if (!look->live)
                return;
        vm_context_init(&look->running, vm_manager(vm), vm, &look->runtime.launched, &look->runtime);
        /* One that has not told its addresses is asked no more. */
        look->qmp = g_hash_table_size(look->addresses) > 0 ? g_steal_pointer(&qmp) : NULL;
        look->agent = vm_power(vm) == HOSTLER_POWER_RUNNING ? vm_agent(vm) : NULL;
}

static void look_close(Look *look)
{
        g_clear_pointer(&look->agent, guest_agent_unref);
        g_clear_pointer(&look->qmp, qmp_unref);
        g_hash_table_unref(look->addresses);
        g_ptr_array_unref(look->words);
        g_array_unref(look->asked);
        vm_context_clear(&look->context);
        vm_context_clear(&look->running);
        record_clear(&hostler_vm_runtime_type, &look->runtime);
}

static bool is_meant(const HostlerPart *part, const json_t *only)
{
        return device_type(part->kind) && (!only || json_object_get(only, part->name));
}

void device_info_list(Vm *vm, const json_t *only, HostlerDeviceInfoList *ret_list)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        Look look;
        look_open(&look, vm, &spec->value);
        const HostlerSpec *launched = &look.runtime.launched;
        *ret_list = (HostlerDeviceInfoList){.items = g_new0(HostlerDeviceInfo, spec->value.count + launched->count)};
        for (size_t i = 0; i < spec->value.count; i++)
                if (is_meant(&spec->value.items[i], only))
                        describe(&look, &spec->value.items[i], state_of(&look, &spec->value.items[i]), ret_list);
        for (size_t i = 0; look.live && i < launched->count; i++)
                if (is_meant(&launched->items[i], only) && !spec_part(&spec->value, launched->items[i].name))
                        describe(&look, &launched->items[i], "going", ret_list);
        ask_guest(&look, ret_list);
        look_close(&look);
}
