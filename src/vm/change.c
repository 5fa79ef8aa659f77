/*
 * Changes of a spec, on disk and live. See change.h.
 */
#include "vm/change.h"

#include <string.h>

#include "base/error.h"
#include "vm/clone/template.h"
#include "vm/host_check.h"
#include "vm/parts.h"
#include "vm/pool/disk_volume.h"
#include "vm/spec_diff.h"

typedef struct {
        Job *job;
        Vm *vm;
        const HostlerSpec *before, *wanted;
        HostlerVmRuntime runtime; /* of the run; launched is empty when there is none */
        bool live;
        ChangeOptions options;
        HostlerPropertyChangeList *rows;
} Change;

/* ---- rows ---- */

static HostlerPropertyChange *add_row(HostlerPropertyChangeList *rows, const char *property)
{
        rows->items = g_renew(HostlerPropertyChange, rows->items, rows->count + 1);
        HostlerPropertyChange *row = &rows->items[rows->count++];
        record_init(&hostler_property_change_type, row);
        row->property = g_strdup(property);
        return row;
}

void change_list_clear(HostlerPropertyChangeList *changes)
{
        record_list_clear(&hostler_property_change_type, changes);
}

void change_list_add_unchanged(const HostlerSpec *spec, const json_t *patch, HostlerPropertyChangeList *rows)
{
        const char *name, *property;
        json_t *part_patch, *value;
        json_object_foreach ((json_t *)patch, name, part_patch) {
                const HostlerPart *part = spec_part(spec, name);
                json_object_foreach (part_patch, property, value) {
                        g_autofree char *path = g_strdup_printf("%s.%s", name, property);
                        const Field *field = part ? record_field(kind_find(part->kind)->props, property) : NULL;
                        bool listed = false;
                        for (size_t i = 0; i < rows->count && !listed; i++)
                                listed = strcmp(rows->items[i].property, path) == 0 ||
                                         strcmp(rows->items[i].property, name) == 0;
                        if (listed || !field)
                                continue;
                        HostlerPropertyChange *row = add_row(rows, path);
                        row->requested = field_format(field, part->props);
                        row->state = g_strdup("applied");
                        row->detail = g_strdup("it was so already");
                }
        }
}

static const Field *field_of(const HostlerPart *part, const char *property)
{
        return record_field(kind_find(part->kind)->props, property);
}

static char *requested_text(const HostlerPart *part, const char *property)
{
        return part && property ? field_format(field_of(part, property), part->props)
                                : g_strdup(part ? "present" : "absent");
}

/* ---- what may not change ---- */

static void refuse_shrink(const HostlerPart *old, const HostlerPart *new, GPtrArray *faults)
{
        const HostlerDiskProps *was = old->props, *is = new->props;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/size", new->name);
        if (is->size == HOSTLER_UNSET || is->size < was->size)
                faults_add(faults, pointer, "a disk does not shrink: that would cut off data");
}

static void check_property(const HostlerPart *old, const HostlerPart *new, const char *property, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/%s", new->name, property);
        if (field_of(new, property)->live == LIVE_NEVER)
                faults_add(faults, pointer, "this cannot be changed after the part was made");
        if (strcmp(new->kind, "disk") == 0 && strcmp(property, "size") == 0)
                refuse_shrink(old, new, faults);
}

static void check_part(const HostlerPart *old, const HostlerPart *new, const char *name, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s", name);
        if (old && new)
                faults_add(faults, pointer, "a part does not change its kind; remove it first");
        if (!old && new &&strcmp(new->kind, "disk") == 0 && ((const HostlerDiskProps *)new->props)->image)
                faults_add(faults, pointer, "only `create` makes a disk from an image");
}

static char *part_of(const char *path, const char **ret_property)
{
        /* Part names may hold dots; properties do not. A whole part has no property. */
        const char *dot = strrchr(path, '.');
        *ret_property = dot ? dot + 1 : NULL;
        return dot ? g_strndup(path, (gsize)(dot - path)) : g_strdup(path);
}

/* A path that names a part as a whole may hold a dot of its own. */
static char *split(const Change *change, const char *path, const char **ret_property)
{
        if (spec_part(change->before, path) || spec_part(change->wanted, path)) {
                *ret_property = NULL;
                return g_strdup(path);
        }
        return part_of(path, ret_property);
}

static bool check_change(const Change *change, char *const *paths, GError **error)
{
        g_autoptr(GPtrArray) faults = faults_new();
        g_autofree char *object = vm_object(change->vm);
        for (size_t i = 0; paths[i]; i++) {
                const char *property;
                g_autofree char *name = split(change, paths[i], &property);
                const HostlerPart *old = spec_part(change->before, name), *new = spec_part(change->wanted, name);
                if (property)
                        check_property(old, new, property, faults);
                else
                        check_part(old, new, name, faults);
        }
        g_auto(VmContext) context = {0};
        vm_context_init(&context, vm_manager(change->vm), change->vm, change->wanted,
                        change->live ? &change->runtime : NULL);
        return faults_check(faults, object, error) &&
               vm_check_spec(vm_manager(change->vm), change->vm, change->wanted, error) &&
               host_check(change->job, &context.context, change->before, object, error);
}

/* ---- the launched spec follows what was done live ---- */

static bool save_run(Change *change, GError **error)
{
        return vm_set_runtime(change->vm, &change->runtime, error);
}

/* @property NULL: the whole part. */
static bool note_done(Change *change, const char *name, const char *property, GError **error)
{
        const HostlerPart *part = spec_part(change->wanted, name);
        json_auto_t *value =
            part ? record_to_json(kind_find(part->kind)->props, part->props, RECORD_STORED) : json_null();
        json_auto_t *patch = NULL;
        HostlerSpec launched;
        if (part && property) {
                json_t *one = json_object_get(value, property);
                patch = json_pack("{s:{s:O}}", name, property, one ? one : json_null());
        } else {
                if (part)
                        json_object_set_new(value, "kind", json_string(part->kind));
                patch = json_pack("{s:O}", name, value);
        }
        if (!spec_merge(&change->runtime.launched, patch, "/spec", &launched, error))
                return false;
        record_clear(&hostler_spec_type, &change->runtime.launched);
        change->runtime.launched = launched;
        return save_run(change, error);
}

/* Ports are written down before anything is plugged into them. */
static bool keep_slots(Change *change, const VmContext *context, GError **error)
{
        if (context->slots.count == change->runtime.slots.count)
                return true;
        record_list_clear(&hostler_slot_type, &change->runtime.slots);
        change->runtime.slots = vm_context_copy_slots(context);
        return save_run(change, error);
}

/* ---- properties ---- */

static const DeviceSetter *setter_of(const HostlerPart *part, const char *property)
{
        const DeviceType *type = device_type(part->kind);
        for (const DeviceSetter *setter = type ? type->setters : NULL; setter && setter->property; setter++)
                if (strcmp(setter->property, property) == 0)
                        return setter;
        return NULL;
}

static bool run_setter(Change *change, const DeviceSetter *setter, const char *name, HostlerPropertyChange *row,
                       GError **error)
{
        g_auto(VmContext) context = {0};
        g_autoptr(Qmp) qmp = vm_require_qmp(change->vm, error);
        g_autoptr(GuestAgent) agent = vm_agent(change->vm);
        if (!qmp)
                return false;
        vm_context_init(&context, vm_manager(change->vm), change->vm, change->wanted, &change->runtime);
        if (!keep_slots(change, &context, error))
                return false;
        DeviceChange live = {
            .context = &context.context,
            .old_part = spec_part(&change->runtime.launched, name),
            .new_part = spec_part(change->wanted, name),
            .qmp = qmp,
            .agent = agent,
            .cancellable = job_cancellable(change->job),
            .patience_ms = change->options.patience_ms,
            .force = change->options.force,
            .change = row,
        };
        bool ok = setter->set(&live, error);
        if (ok)
                vm_read_plugged(change->vm, qmp);
        return ok;
}

static void set_pending(HostlerPropertyChange *row, const char *detail)
{
        row->state = g_strdup("pending");
        row->detail = g_strdup(detail);
}

static bool set_live(Change *change, const char *name, const char *property, HostlerPropertyChange *row, GError **error)
{
        const HostlerPart *part = spec_part(change->wanted, name);
        const DeviceSetter *setter = setter_of(part, property);
        if (!setter && field_of(part, property)->live == LIVE_NOW) {
                /* Nothing of QEMU's: it is in force as soon as it is stored. */
                row->state = g_strdup("applied");
                return note_done(change, name, property, error);
        }
        if (!setter || !spec_part(&change->runtime.launched, name)) {
                set_pending(row, "needs a new start of the VM");
                return true;
        }
        if (!run_setter(change, setter, name, row, error))
                return false;
        if (row->state)
                return true;
        row->state = g_strdup("applied");
        return note_done(change, name, property, error);
}

/* ---- parts ---- */

/* A copy: the run's own is replaced while it is looked at. */
static Spec *spec_of_run(const HostlerVmRuntime *runtime)
{
        HostlerSpec copy;
        record_copy(&hostler_spec_type, &runtime->launched, &copy);
        return spec_new(&copy);
}

/* A context for what is done to the running QEMU. */
static void hot_context(const Change *change, const HostlerSpec *spec, VmContext *context)
{
        vm_context_init_hot(context, change->vm, spec, &change->runtime);
}

static bool plan_part(Change *change, const HostlerSpec *spec, const char *name, Plan *plan, GError **error)
{
        g_auto(VmContext) context = {0};
        const HostlerPart *part = spec_part(spec, name);
        hot_context(change, spec, &context);
        device_type(part->kind)->plan(&context.context, part, plan);
        return keep_slots(change, &context, error);
}

/* Makes what the part stands on, on the host. */
static bool acquire_part(Change *change, const char *name, GError **error)
{
        g_auto(VmContext) context = {0};
        const HostlerPart *part = spec_part(change->wanted, name);
        const DeviceType *type = device_type(part->kind);
        hot_context(change, change->wanted, &context);
        return !type->acquire || type->acquire(&context.context, part, error);
}

/* What the part's kind has to say to QEMU before it goes, or after it came. */
static bool tell_qemu(Change *change, const HostlerSpec *spec, const char *name, bool comes, Qmp *qmp, GError **error)
{
        g_auto(VmContext) context = {0};
        const HostlerPart *part = spec_part(spec, name);
        const DeviceType *type = device_type(part->kind);
        bool (*tell)(const DeviceContext *, const HostlerPart *, Qmp *, GError **) =
            comes ? type->launched : type->leaving;
        hot_context(change, spec, &context);
        return !tell || tell(&context.context, part, qmp, error);
}

static bool run_plan(Change *change, const char *name, const Plan *plan, Qmp *qmp, GError **error)
{
        if (!plan_run(plan, qmp, error))
                return false;
        if (tell_qemu(change, change->wanted, name, true, qmp, error))
                return true;
        plan_unplug(plan, qmp, change->options.patience_ms, NULL);
        return false;
}

/*
 * What an interrupted run left there goes first; but what lingers can never come twice to the same port, so there it is
 * the very device that is wanted.
 */
static bool plug_plan(Change *change, const char *name, const Plan *plan, Qmp *qmp, GError **error)
{
        const ModelDecl *model = part_model(spec_part(change->wanted, name));
        if (model && model->lingers && plan_is_there(plan, qmp))
                return true;
        return plan_unplug(plan, qmp, change->options.patience_ms, error) && acquire_part(change, name, error) &&
               run_plan(change, name, plan, qmp, error);
}

static bool connect_part(Change *change, const char *name, GError **error)
{
        g_auto(VmContext) context = {0};
        const HostlerPart *part = spec_part(change->wanted, name);
        const DeviceType *type = device_type(part->kind);
        hot_context(change, change->wanted, &context);
        return !type->connect || type->connect(&context.context, part, error);
}

/* The guest's side of a plug: what it has to do itself to find the part. */
static bool tell_guest(Change *change, const char *name, Qmp *qmp, HostlerPropertyChange *row, GError **error)
{
        g_auto(VmContext) context = {0};
        g_autoptr(GuestAgent) agent = vm_agent(change->vm);
        const HostlerPart *part = spec_part(change->wanted, name);
        const DeviceType *type = device_type(part->kind);
        hot_context(change, change->wanted, &context);
        DeviceChange coming = {
            .context = &context.context,
            .new_part = part,
            .qmp = qmp,
            .agent = agent,
            .cancellable = job_cancellable(change->job),
            .change = row,
        };
        return !type->guest_find || type->guest_find(&coming, error);
}

static bool plug_part(Change *change, const char *name, HostlerPropertyChange *row, GError **error)
{
        g_autoptr(Plan) plan = plan_new();
        g_autoptr(Qmp) qmp = vm_require_qmp(change->vm, error);
        if (!qmp || !job_undo(change->job, "part-unplug",
                              json_pack("{s:s, s:s}", "vm", vm_id(change->vm), "part", name), error))
                return false;
        /* The port is written down before the device is on it. */
        if (!plan_part(change, change->wanted, name, plan, error) || !plug_plan(change, name, plan, qmp, error) ||
            !connect_part(change, name, error) || !tell_guest(change, name, qmp, row, error))
                return false;
        row->state = g_strdup("applied");
        row->device = g_strdup("plugged");
        return note_done(change, name, NULL, error);
}

/* The guest is asked first, or the part is taken from under it. */
static bool warn_guest(Change *change, const char *name, HostlerPropertyChange *row, GError **error)
{
        g_auto(VmContext) context = {0};
        g_autoptr(Qmp) qmp = vm_require_qmp(change->vm, error);
        g_autoptr(GuestAgent) agent = vm_agent(change->vm);
        const HostlerPart *part = spec_part(&change->runtime.launched, name);
        const DeviceType *type = device_type(part->kind);
        if (!qmp)
                return false;
        hot_context(change, &change->runtime.launched, &context);
        DeviceChange leaving = {
            .context = &context.context,
            .old_part = part,
            .qmp = qmp,
            .agent = agent,
            .cancellable = job_cancellable(change->job),
            .force = change->options.force,
            .change = row,
        };
        return !type->guest_leave || type->guest_leave(&leaving, error);
}

static bool unplug_part(Change *change, const char *name, HostlerPropertyChange *row, GError **error)
{
        if (!warn_guest(change, name, row, error) ||
            !change_unplug(change->vm, name, change->options.patience_ms, error))
                return false;
        record_clear(&hostler_vm_runtime_type, &change->runtime);
        vm_runtime(change->vm, &change->runtime);
        row->state = g_strdup("applied");
        row->device = g_strdup("unplugged");
        return true;
}

/* Whether QEMU has a device of this name that it will not let go. */
static bool has_to_stay(Change *change, const char *name)
{
        const HostlerPart *part = spec_part(&change->runtime.launched, name);
        const ModelDecl *model = part ? part_model(part) : NULL;
        return model && model->stays;
}

/* Whether QEMU as it runs can take this part in: it can be plugged, and all it needs is there already. */
static bool can_plug(Change *change, const char *name)
{
        g_auto(VmContext) context = {0};
        const HostlerPart *part = spec_part(change->wanted, name);
        if (has_to_stay(change, name))
                return false;
        hot_context(change, change->wanted, &context);
        g_autoptr(GPtrArray) needs = device_needs(&context.context, part);
        for (guint i = 0; i < needs->len; i++)
                if (!spec_part(&change->runtime.launched, needs->pdata[i]))
                        return false;
        Seats seats;
        bool seated = !seats_of(&context.context, part, &seats) || seats_find(&context.slots, name) >= 0;
        return seated && device_hot_plug(&context.context, part);
}

/* Whether QEMU as it runs can let it go: it can be unplugged, and nothing stands on it. */
static bool can_unplug(Change *change, const char *name)
{
        g_auto(VmContext) context = {0};
        const HostlerSpec *launched = &change->runtime.launched;
        if (has_to_stay(change, name))
                return false;
        hot_context(change, launched, &context);
        for (size_t i = 0; i < launched->count; i++) {
                g_autoptr(GPtrArray) needs = device_needs(&context.context, &launched->items[i]);
                for (guint k = 0; k < needs->len; k++)
                        if (strcmp(needs->pdata[k], name) == 0)
                                return false;
        }
        return device_hot_plug(&context.context, spec_part(launched, name));
}

/* A part that was still waiting for the next start leaves no trace in the run but its seat. */
static bool forget_part(Change *change, const char *name, HostlerPropertyChange *row, GError **error)
{
        row->state = g_strdup("applied");
        seats_forget(&change->runtime.slots, name);
        return save_run(change, error);
}

static bool change_part_live(Change *change, const char *name, HostlerPropertyChange *row, GError **error)
{
        const HostlerPart *new = spec_part(change->wanted, name), *old = spec_part(&change->runtime.launched, name);
        if (!device_type(new ? new->kind : spec_part(change->before, name)->kind)) {
                row->state = g_strdup("applied");
                return note_done(change, name, NULL, error);
        }
        if (!new && !old)
                return forget_part(change, name, row, error);
        if (new ? can_plug(change, name) : can_unplug(change, name))
                return new ? plug_part(change, name, row, error) : unplug_part(change, name, row, error);
        set_pending(row, "needs a new start of the VM");
        return true;
}

/* The part has left QEMU: what it stood on is given back, then it is struck off the run. */
static bool note_unplugged(Change *change, const HostlerSpec *known, const char *part, GError **error)
{
        json_auto_t *patch = json_pack("{s:n}", part);
        g_auto(VmContext) context = {0};
        HostlerSpec launched;
        const HostlerPart *old = spec_part(known, part);
        const DeviceType *type = device_type(old->kind);
        const ModelDecl *model = part_model(old);
        hot_context(change, known, &context);
        if (type->release)
                type->release(&context.context, old);
        if (model && model->lingers)
                seats_spend(&change->runtime.slots, part);
        else
                seats_forget(&change->runtime.slots, part);
        if (!spec_merge(&change->runtime.launched, patch, "/spec", &launched, error))
                return false;
        record_clear(&hostler_spec_type, &change->runtime.launched);
        change->runtime.launched = launched;
        return save_run(change, error);
}

bool change_unplug(Vm *vm, const char *part, int64_t timeout_ms, GError **error)
{
        HostlerPropertyChangeList rows = {0};
        Change change = {.vm = vm, .rows = &rows};
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        g_autoptr(Spec) spec = vm_spec(vm);
        g_autoptr(Plan) plan = plan_new();
        vm_runtime(vm, &change.runtime);
        g_autoptr(Spec) launched = spec_of_run(&change.runtime);
        const HostlerSpec *known = spec_part(&launched->value, part) ? &launched->value : &spec->value;
        change.wanted = &spec->value;
        bool ok = !qmp || !spec_part(known, part) ||
                  (plan_part(&change, known, part, plan, error) && tell_qemu(&change, known, part, false, qmp, error) &&
                   plan_unplug(plan, qmp, timeout_ms, error) && note_unplugged(&change, known, part, error));
        record_clear(&hostler_vm_runtime_type, &change.runtime);
        return ok;
}

/* ---- volumes ---- */

static bool change_volumes(Change *change, const char *name, const char *property, GError **error)
{
        const HostlerPart *new = spec_part(change->wanted, name);
        if (!new || strcmp(new->kind, "disk") != 0)
                return true;
        if (!property)
                return disk_volume_make(change->job, change->vm, new, error);
        if (strcmp(property, "size") != 0)
                return true;
        return change->live ? disk_volume_make_room(change->vm, new, error)
                            : disk_volume_grow(change->job, change->vm, new, error);
}

/* ---- what goes for good ---- */

/* Whether QEMU still has the part: then what is kept of it goes at the next start. */
static bool is_launched(const Change *change, const char *name)
{
        return change->live && spec_part(&change->runtime.launched, name);
}

/* Written down before the point of no return, done after it. */
static bool finish_removed(Change *change, char *const *paths, GError **error)
{
        bool ok = true;
        for (size_t i = 0; ok && paths[i]; i++) {
                const HostlerPart *part = spec_part(change->before, paths[i]);
                const DeviceType *type = part ? device_type(part->kind) : NULL;
                if (!type || !type->remove || spec_part(change->wanted, paths[i]) || is_launched(change, paths[i]))
                        continue;
                json_t *props = record_to_json(kind_find(part->kind)->props, part->props, RECORD_STORED);
                json_object_set_new(props, "kind", json_string(part->kind));
                ok = job_finish(change->job, "part-remove",
                                json_pack("{s:s, s:s, s:{s:o}}", "vm", vm_id(change->vm), "part", part->name, "spec",
                                          part->name, props),
                                error);
        }
        return ok;
}

/* ---- the whole ---- */

static bool change_one(Change *change, const char *path, GError **error)
{
        const char *property;
        g_autofree char *name = split(change, path, &property);
        HostlerPropertyChange *row = add_row(change->rows, path);
        const HostlerPart *part = spec_part(change->wanted, name);
        row->requested = requested_text(part, property);
        if (!change_volumes(change, name, property, error))
                return false;
        if (!change->live) {
                row->state = g_strdup("stored");
                return true;
        }
        if (!job_step(change->job, "change", "%s of the running VM", path))
                return true;
        return property ? set_live(change, name, property, row, error) : change_part_live(change, name, row, error);
}

/* Parts that go, those that stand on others first. */
static bool change_removed(Change *change, char *const *paths, GError **error)
{
        g_auto(VmContext) context = {0};
        vm_context_init(&context, vm_manager(change->vm), change->vm, change->before, NULL);
        g_autoptr(GPtrArray) order = device_order(&context.context);
        for (guint i = order->len; i > 0; i--) {
                const char *name = ((const HostlerPart *)order->pdata[i - 1])->name;
                if (g_strv_contains((const char *const *)paths, name) && !change_one(change, name, error))
                        return false;
        }
        return true;
}

/* Parts that come, those that others stand on first. */
static bool change_added(Change *change, char *const *paths, GError **error)
{
        g_auto(VmContext) context = {0};
        vm_context_init(&context, vm_manager(change->vm), change->vm, change->wanted, NULL);
        g_autoptr(GPtrArray) order = device_order(&context.context);
        for (guint i = 0; i < order->len; i++) {
                const char *name = ((const HostlerPart *)order->pdata[i])->name;
                if (g_strv_contains((const char *const *)paths, name) && !change_one(change, name, error))
                        return false;
        }
        return true;
}

/* Properties of parts that stay. */
static bool change_kept(Change *change, char *const *paths, GError **error)
{
        for (size_t i = 0; paths[i]; i++)
                if (!spec_part(change->before, paths[i]) && !spec_part(change->wanted, paths[i]) &&
                    !change_one(change, paths[i], error))
                        return false;
        return true;
}

static bool change_all(Change *change, char *const *paths, GError **error)
{
        if (!check_change(change, paths, error))
                return false;
        if (!change_removed(change, paths, error) || !change_kept(change, paths, error) ||
            !change_added(change, paths, error))
                return false;
        if (!job_step(change->job, "store", "store the spec"))
                return true;
        HostlerSpec copy;
        record_copy(&hostler_spec_type, change->wanted, &copy);
        g_autoptr(Spec) spec = spec_new(&copy);
        g_autofree char *object = vm_object(change->vm);
        if (!finish_removed(change, paths, error) ||
            !vm_store(change->vm, NULL, spec, -1, change->options.expected, error) || !job_commit(change->job, error))
                return false;
        event_emit(manager_events(vm_manager(change->vm)), "vm-changed", object,
                   json_pack("{s:I}", "generation", (json_int_t)vm_generation(change->vm)));
        return true;
}

/* Asked once: when the job is run again after a crash, the generation may be the one that it made itself. */
static bool check_generation(Job *job, Vm *vm, int64_t expected, GError **error)
{
        int64_t now = vm_generation(vm);
        g_autofree char *object = vm_object(vm);
        if (expected < 0 || job_recall(job, "generation"))
                return true;
        if (expected == now)
                return job_remember(job, "generation", json_integer(now), error);
        return error_set(error, HOSTLER_ERROR_PRECONDITION, object,
                         "its generation is %" G_GINT64_FORMAT " and not %" G_GINT64_FORMAT, now, expected);
}

bool change_spec(Job *job, Vm *vm, HostlerSpec *wanted_taken, const ChangeOptions *options,
                 HostlerPropertyChangeList *ret_changes, GError **error)
{
        g_autoptr(Spec) before = vm_spec(vm);
        for (size_t i = 0; i < wanted_taken->count; i++)
                vm_settle_part(vm_id(vm), &wanted_taken->items[i]);
        device_settle(wanted_taken);
        g_auto(GStrv) paths = spec_differences(&before->value, wanted_taken);
        Change change = {
            .job = job,
            .vm = vm,
            .before = &before->value,
            .wanted = wanted_taken,
            .live = vm_is_live(vm),
            .options = *options,
            .rows = ret_changes,
        };
        *ret_changes = (HostlerPropertyChangeList){0};
        vm_runtime(vm, &change.runtime);
        bool ok = check_generation(job, vm, options->expected, error) &&
                  (!paths[0] || (template_check_not(vm, "change", error) && change_all(&change, paths, error)));
        record_clear(&hostler_vm_runtime_type, &change.runtime);
        record_clear(&hostler_spec_type, wanted_taken);
        if (!ok)
                change_list_clear(ret_changes);
        return ok;
}
