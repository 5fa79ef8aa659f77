/*
 * Verbs on switches and port groups: what they are to be is stored, declared to the network, and in force when the job
 * ends. What cannot be put in force is taken back.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "network/policy.h"
#include "vm/network/ports.h"

/* A switch (group "") or port group as it is stored. */
typedef struct {
        const char *switch_name, *group;
        const char *object; /* "switch/lan", "portgroup/lan/web" */
        json_t *spec;       /* NULL: there is none */
        int64_t created_ms;
} Declared;

/* ---- what is stored ---- */

typedef struct {
        Declared *wanted;
        GStrvBuilder *groups;
} Search;

static void look_at(const NetworkRow *row, void *data)
{
        Search *search = data;
        if (search->groups && *row->group)
                g_strv_builder_add(search->groups, row->group);
        if (strcmp(row->group, search->wanted->group) != 0)
                return;
        search->wanted->spec = json_loads(row->spec, 0, NULL);
        search->wanted->created_ms = row->created_ms;
}

/* Fills in spec and time; @groups (NULL: not wanted): names of the switch's port groups. */
static bool load(Manager *manager, Declared *declared, GStrvBuilder *groups, GError **error)
{
        Search search = {declared, groups};
        return store_network_each(manager_store(manager), declared->switch_name, look_at, &search, error);
}

static bool find(Manager *manager, Declared *declared, GStrvBuilder *groups, GError **error)
{
        if (!load(manager, declared, groups, error))
                return false;
        if (declared->spec)
                return true;
        error_set(error, HOSTLER_ERROR_NOT_FOUND, declared->object, "there is no %s %s",
                  *declared->group ? "port group" : "switch",
                  *declared->group ? declared->group : declared->switch_name);
        return *declared->group ? error_hint(error, "hostler portgroup ls %s", declared->switch_name)
                                : error_hint(error, "hostler switch ls");
}

static void declare(Manager *manager, const Declared *declared, json_t *spec)
{
        if (*declared->group)
                network_declare_group(manager_network(manager), declared->switch_name, declared->group,
                                      json_incref(spec));
        else
                network_declare_switch(manager_network(manager), declared->switch_name, json_incref(spec));
}

static bool store(Manager *manager, const Declared *declared, const json_t *spec, GError **error)
{
        g_autofree char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
        NetworkRow row = {.switch_name = (char *)declared->switch_name,
                          .group = (char *)declared->group,
                          .spec = text,
                          .created_ms = declared->created_ms};
        return spec ? store_network_put(manager_store(manager), &row, error)
                    : store_network_delete(manager_store(manager), declared->switch_name, declared->group, error);
}

/* Stored first: a daemon that dies in between puts it in force at its next start. */
static bool put(Job *job, const Declared *old, json_t *spec, GError **error)
{
        Manager *manager = job_manager(job);
        if (!store(manager, old, spec, error))
                return false;
        declare(manager, old, spec);
        if (network_apply(manager_network(manager), error))
                return true;
        declare(manager, old, old->spec);
        store(manager, old, old->spec, NULL);
        network_apply(manager_network(manager), NULL);
        return false;
}

static void tell(Job *job, const Declared *declared, const char *change)
{
        event_emit(manager_events(job_manager(job)), *declared->group ? "portgroup-changed" : "switch-changed",
                   declared->object, json_pack("{s:s}", "change", change));
}

/* ---- properties ---- */

static const RecordType *type_of(const Declared *declared)
{
        return *declared->group ? &hostler_portgroup_spec_type : &hostler_switch_spec_type;
}

static void check_vlan(const json_t *spec, GPtrArray *faults)
{
        const json_t *native = json_object_get(spec, "native_vlan");
        g_autoptr(GError) error = NULL;
        Vlans vlans;
        if (!vlans_parse(json_string_value(json_object_get(spec, "vlan")),
                         native ? json_integer_value(native) : HOSTLER_UNSET, &vlans, &error))
                faults_add(faults, "/spec/vlan", "%s", error->message);
}

/* All that is wrong with it at once; what is left has every value in its final form. */
static json_t *checked(const Declared *declared, const json_t *spec, GError **error)
{
        const RecordType *type = type_of(declared);
        g_autoptr(GPtrArray) faults = faults_new();
        g_autofree char *value = g_malloc0(type->size);
        json_t *result = NULL;
        if (!record_read(type, spec, "/spec", value, faults) || faults->len > 0) {
                faults_check(faults, declared->object, error);
                return NULL;
        }
        policy_check(spec, "/spec", faults);
        if (*declared->group)
                check_vlan(spec, faults);
        if (faults_check(faults, declared->object, error))
                result = record_to_json(type, value, RECORD_STORED);
        record_clear(type, value);
        return result;
}

/* @declared's spec with PROP=VALUE words on top. A new reference; NULL and error. */
static json_t *changed(const Declared *declared, char *const *words, GError **error)
{
        json_auto_t *spec = declared->spec ? json_deep_copy(declared->spec) : json_object();
        for (; words && *words; words++) {
                g_autofree char *name = NULL;
                json_t *value = record_parse_assignment(type_of(declared), *words, &name, error);
                if (!value)
                        return NULL;
                if (json_is_null(value))
                        json_object_del(spec, name);
                else
                        json_object_set(spec, name, value);
                json_decref(value);
        }
        return checked(declared, spec, error);
}

/* ---- what is shown ---- */

static json_t *list_of(char **words)
{
        json_t *list = json_array();
        for (; *words; words++)
                json_array_append_new(list, json_string(*words));
        return list;
}

static json_t *picture(Manager *manager, const Declared *declared)
{
        const char *group = *declared->group ? declared->group : NULL;
        g_auto(GStrv) users = ports_users(manager, declared->switch_name, group, false);
        g_autofree char *created = time_format(declared->created_ms);
        return json_pack("{s:s, s:s, s:O, s:o}", "name", group ? group : declared->switch_name, "created", created,
                         "spec", declared->spec, "adapters", list_of(users));
}

static bool show_switch(Manager *manager, const char *name, HostlerSwitch *ret_switch, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", name);
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        Declared declared = {.switch_name = name, .group = "", .object = object};
        if (!find(manager, &declared, builder, error))
                return false;
        g_auto(GStrv) groups = g_strv_builder_end(builder);
        json_auto_t *json = picture(manager, &declared);
        json_object_set_new(json, "portgroups", list_of(groups));
        json_decref(declared.spec);
        return record_from_json(&hostler_switch_type, json, "", ret_switch, error);
}

static bool show_group(Manager *manager, const char *switch_name, const char *group, HostlerPortgroup *ret_group,
                       GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", switch_name, group);
        Declared declared = {.switch_name = switch_name, .group = group, .object = object};
        if (!find(manager, &declared, NULL, error))
                return false;
        json_auto_t *json = picture(manager, &declared);
        json_object_set_new(json, "switch", json_string(switch_name));
        json_decref(declared.spec);
        return record_from_json(&hostler_portgroup_type, json, "", ret_group, error);
}

bool switch_show(const Call *call, const HostlerSwitchShowArgs *args, HostlerSwitch *ret_result, GError **error)
{
        return show_switch(call->manager, args->switch_, ret_result, error);
}

bool portgroup_show(const Call *call, const HostlerPortgroupShowArgs *args, HostlerPortgroup *ret_result,
                    GError **error)
{
        return show_group(call->manager, args->switch_, args->portgroup, ret_result, error);
}

static void note_switch(const NetworkRow *row, void *data)
{
        if (!*row->group)
                g_strv_builder_add(data, row->switch_name);
}

static void note_group(const NetworkRow *row, void *data)
{
        if (*row->group)
                g_strv_builder_add(data, row->group);
}

bool switch_ls(const Call *call, const HostlerSwitchLsArgs *args, HostlerSwitchList *ret_result, GError **error)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        if (!store_network_each(manager_store(call->manager), NULL, note_switch, builder, error))
                return false;
        g_auto(GStrv) names = g_strv_builder_end(builder);
        *ret_result = (HostlerSwitchList){.items = g_new0(HostlerSwitch, g_strv_length(names) + 1)};
        for (char **name = names; *name; name++)
                if (show_switch(call->manager, *name, &ret_result->items[ret_result->count], NULL))
                        ret_result->count++;
        return true;
}

bool portgroup_ls(const Call *call, const HostlerPortgroupLsArgs *args, HostlerPortgroupList *ret_result,
                  GError **error)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        HostlerSwitch there;
        if (!show_switch(call->manager, args->switch_, &there, error))
                return false;
        record_clear(&hostler_switch_type, &there);
        if (!store_network_each(manager_store(call->manager), args->switch_, note_group, builder, error))
                return false;
        g_auto(GStrv) names = g_strv_builder_end(builder);
        *ret_result = (HostlerPortgroupList){.items = g_new0(HostlerPortgroup, g_strv_length(names) + 1)};
        for (char **name = names; *name; name++)
                if (show_group(call->manager, args->switch_, *name, &ret_result->items[ret_result->count], NULL))
                        ret_result->count++;
        return true;
}

/* ---- made, changed, removed ---- */

static bool make(Job *job, Declared *declared, char *const *words, GError **error)
{
        Manager *manager = job_manager(job);
        if (!network_is_allowed(manager_network(manager), error) || !load(manager, declared, NULL, error))
                return false;
        json_auto_t *old = g_steal_pointer(&declared->spec);
        if (old && !job_recall(job, "making"))
                return error_set(error, HOSTLER_ERROR_EXISTS, declared->object, "there is one of this name already");
        json_auto_t *spec = changed(declared, words, error);
        if (!spec)
                return false;
        if (!job_step(job, "make", "make %s", declared->object))
                return true;
        declared->created_ms = clock_unix_ms();
        if (!job_remember(job, "making", json_true(), error) || !put(job, declared, spec, error))
                return false;
        tell(job, declared, "created");
        return true;
}

static bool set(Job *job, Declared *declared, char *const *words, GError **error)
{
        if (!find(job_manager(job), declared, NULL, error))
                return false;
        json_auto_t *old = declared->spec, *spec = changed(declared, words, error);
        if (!spec)
                return false;
        if (!job_step(job, "change", "change %s", declared->object))
                return true;
        if (!put(job, declared, spec, error))
                return false;
        tell(job, declared, "changed");
        return true;
}

static bool refuse_used(Manager *manager, const Declared *declared, GError **error)
{
        g_auto(GStrv) users =
            ports_users(manager, declared->switch_name, *declared->group ? declared->group : NULL, true);
        if (!users[0])
                return true;
        g_autofree char *list = g_strjoinv(", ", users);
        error_set(error, HOSTLER_ERROR_BUSY, declared->object, "these adapters are on it: %s", list);
        return error_hint(error, "hostler set VM NIC.network=");
}

static bool unmake(Job *job, Declared *declared, GError **error)
{
        Manager *manager = job_manager(job);
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        if (!load(manager, declared, builder, error))
                return false;
        json_auto_t *old = declared->spec;
        g_auto(GStrv) groups = g_strv_builder_end(builder);
        if (!old && job_recall(job, "removing"))
                return true;
        if (!old)
                return find(manager, declared, NULL, error);
        if (!refuse_used(manager, declared, error))
                return false;
        if (!job_step(job, "remove", "remove %s", declared->object))
                return true;
        for (char **group = groups; !*declared->group && *group; group++)
                network_declare_group(manager_network(manager), declared->switch_name, *group, NULL);
        if (!job_remember(job, "removing", json_true(), error) || !put(job, declared, NULL, error))
                return false;
        tell(job, declared, "removed");
        return true;
}

bool switch_create(Job *job, const HostlerSwitchCreateArgs *args, HostlerSwitch *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", args->name);
        Declared declared = {.switch_name = args->name, .group = "", .object = object};
        record_init(&hostler_switch_type, ret_result);
        return make(job, &declared, args->property, error) &&
               (job_is_dry_run(job) || show_switch(job_manager(job), args->name, ret_result, error));
}

bool switch_set(Job *job, const HostlerSwitchSetArgs *args, HostlerSwitch *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", args->switch_);
        Declared declared = {.switch_name = args->switch_, .group = "", .object = object};
        return set(job, &declared, args->property, error) &&
               show_switch(job_manager(job), args->switch_, ret_result, error);
}

bool switch_rm(Job *job, const HostlerSwitchRmArgs *args, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", args->switch_);
        Declared declared = {.switch_name = args->switch_, .group = "", .object = object};
        return unmake(job, &declared, error);
}

bool portgroup_create(Job *job, const HostlerPortgroupCreateArgs *args, HostlerPortgroup *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->name);
        Declared declared = {.switch_name = args->switch_, .group = args->name, .object = object};
        HostlerSwitch there;
        record_init(&hostler_portgroup_type, ret_result);
        if (!show_switch(job_manager(job), args->switch_, &there, error))
                return false;
        record_clear(&hostler_switch_type, &there);
        return make(job, &declared, args->property, error) &&
               (job_is_dry_run(job) || show_group(job_manager(job), args->switch_, args->name, ret_result, error));
}

bool portgroup_set(Job *job, const HostlerPortgroupSetArgs *args, HostlerPortgroup *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->portgroup);
        Declared declared = {.switch_name = args->switch_, .group = args->portgroup, .object = object};
        return set(job, &declared, args->property, error) &&
               show_group(job_manager(job), args->switch_, args->portgroup, ret_result, error);
}

bool portgroup_rm(Job *job, const HostlerPortgroupRmArgs *args, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->portgroup);
        Declared declared = {.switch_name = args->switch_, .group = args->portgroup, .object = object};
        return unmake(job, &declared, error);
}

/* ---- at daemon start ---- */

static void declare_row(const NetworkRow *row, void *data)
{
        json_t *spec = json_loads(row->spec, 0, NULL);
        if (*row->group)
                network_declare_group(data, row->switch_name, row->group, spec);
        else
                network_declare_switch(data, row->switch_name, spec);
}

bool switches_load(Manager *manager, GError **error)
{
        return store_network_each(manager_store(manager), NULL, declare_row, manager_network(manager), error);
}
