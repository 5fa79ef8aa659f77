/*
 * Verbs on switches and port groups. How they are stored and put in force is in declared.c.
 */
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "hostler-handlers.h"
#include "network/datapath.h"
#include "network/policy.h"
#include "vm/network/declared.h"
#include "vm/network/subnets.h"
#include "vm/network/uplinks.h"

/* ---- properties ---- */

static void check_switch(Manager *manager, const Declared *declared, json_t *spec, GPtrArray *faults)
{
        policy_check(spec, "/spec", faults);
        uplinks_check_mtu(spec, faults);
        subnets_check(manager, declared->switch_name, "", spec, faults);
}

static void check_group(Manager *manager, const Declared *declared, json_t *spec, GPtrArray *faults)
{
        const json_t *native = json_object_get(spec, "native_vlan");
        g_autoptr(GError) error = NULL;
        Vlans vlans;
        policy_check(spec, "/spec", faults);
        if (!vlans_parse(json_string_value(json_object_get(spec, "vlan")),
                         native ? json_integer_value(native) : HOSTLER_UNSET, &vlans, &error))
                faults_add(faults, "/spec/vlan", "%s", error->message);
        subnets_check(manager, declared->switch_name, declared->name, spec, faults);
}

/* A switch that goes takes with it what is declared on it. */
static void declare_switch(Network *network, const Declared *declared, json_t *spec_taken)
{
        network_declare_switch(network, declared->switch_name, spec_taken);
}

static void declare_group(Network *network, const Declared *declared, json_t *spec_taken)
{
        network_declare_group(network, declared->switch_name, declared->name, spec_taken);
}

static const DeclaredKind switch_kind = {.words = "switch",
                                         .noun = "switch",
                                         .spec = &hostler_switch_spec_type,
                                         .event = "switch-changed",
                                         .check = check_switch,
                                         .declare = declare_switch};
static const DeclaredKind group_kind = {.words = "port group",
                                        .noun = "portgroup",
                                        .spec = &hostler_portgroup_spec_type,
                                        .event = "portgroup-changed",
                                        .check = check_group,
                                        .declare = declare_group};

static Declared declared_switch(const char *name, const char *object)
{
        return (Declared){.kind = &switch_kind, .switch_name = name, .row = "", .name = "", .object = object};
}

static Declared declared_group(const char *switch_name, const char *group, const char *object)
{
        return (Declared){
            .kind = &group_kind, .switch_name = switch_name, .row = group, .name = group, .object = object};
}

/* ---- what is shown ---- */

static json_t *picture(Manager *manager, const Declared *declared)
{
        g_auto(GStrv) users =
            ports_users(manager, declared->switch_name, *declared->name ? declared->name : NULL, false);
        json_t *json = declared_picture(declared);
        json_object_set_new(json, "adapters", declared_list(users));
        return json;
}

static void add_trial(Manager *manager, const char *name, json_t *json)
{
        int64_t until_ms;
        g_autofree char *nic = network_trial(manager_network(manager), name, &until_ms);
        g_autofree char *until = nic ? time_format(until_ms) : NULL;
        if (!nic)
                return;
        json_object_set_new(json, "trial", json_string(nic));
        json_object_set_new(json, "trial_ends", json_string(until));
}

static bool show_switch(Manager *manager, const char *name, HostlerSwitch *ret_switch, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", name);
        Declared declared = declared_switch(name, object);
        g_auto(GStrv) groups = NULL, mirrors = NULL;
        if (!declared_find(manager, &declared, NULL, error))
                return false;
        json_auto_t *spec = declared.spec, *json = picture(manager, &declared);
        add_trial(manager, name, json);
        if (!(groups = declared_names(manager, name, "", error)) ||
            !(mirrors = declared_names(manager, name, MIRROR_PREFIX, error)))
                return false;
        json_object_set_new(json, "portgroups", declared_list(groups));
        json_object_set_new(json, "mirrors", declared_list(mirrors));
        json_object_set_new(json, "datapath", json_string(datapath_type()));
        return record_from_json(&hostler_switch_type, json, "", ret_switch, error);
}

static bool show_group(Manager *manager, const char *switch_name, const char *group, HostlerPortgroup *ret_group,
                       GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", switch_name, group);
        Declared declared = declared_group(switch_name, group, object);
        if (!declared_find(manager, &declared, NULL, error))
                return false;
        json_auto_t *spec = declared.spec, *json = picture(manager, &declared);
        json_object_set_new(json, "switch", json_string(switch_name));
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

bool switch_exists(Manager *manager, const char *name, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", name);
        Declared declared = declared_switch(name, object);
        bool exists = declared_find(manager, &declared, NULL, error);
        json_decref(declared.spec);
        return exists;
}

bool portgroup_ls(const Call *call, const HostlerPortgroupLsArgs *args, HostlerPortgroupList *ret_result,
                  GError **error)
{
        if (!switch_exists(call->manager, args->switch_, error))
                return false;
        g_auto(GStrv) names = declared_names(call->manager, args->switch_, "", error);
        if (!names)
                return false;
        *ret_result = (HostlerPortgroupList){.items = g_new0(HostlerPortgroup, g_strv_length(names) + 1)};
        for (char **name = names; *name; name++)
                if (show_group(call->manager, args->switch_, *name, &ret_result->items[ret_result->count], NULL))
                        ret_result->count++;
        return true;
}

/* ---- cards as uplinks ---- */

/* How a card is tried. */
typedef struct {
        const char *nic;
        bool force;
        int64_t trial_ms;
} Try;

static bool try_card(Job *job, const char *name, const Try *what, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *object = g_strdup_printf("switch/%s", name);
        json_auto_t *spec = network_spec(manager_network(manager), name, NULL);
        const json_t *mtu = json_object_get(spec, "mtu");
        int seconds = (int)(what->trial_ms / 1000);
        if (!uplinks_check(manager, name, what->nic, mtu ? json_integer_value(mtu) : HOSTLER_UNSET, what->force, error))
                return false;
        if (!job_step(job, "try", "make %s its uplink, for %d s unless `hostler switch confirm %s` follows", what->nic,
                      seconds, name))
                return true;
        if (!network_try_uplink(manager_network(manager), name, what->nic, seconds, error))
                return false;
        event_emit(manager_events(manager), "switch-changed", object, json_pack("{s:s}", "change", "tried"));
        return true;
}

/* The words but those about the uplink. g_strfreev. */
static char **other_words(char *const *words)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (; words && *words; words++)
                if (!g_str_has_prefix(*words, "uplink="))
                        g_strv_builder_add(builder, *words);
        return g_strv_builder_end(builder);
}

static bool is_uplink(Manager *manager, const char *name, const char *nic)
{
        json_auto_t *spec = network_spec(manager_network(manager), name, NULL);
        return g_strcmp0(json_string_value(json_object_get(spec, "uplink")), nic) == 0;
}

/* While one is tried, another declaration would be its end: that has to be asked for. */
static bool check_no_trial(Manager *manager, const char *name, char *const *words, GError **error)
{
        int64_t until_ms;
        g_autofree char *nic = network_trial(manager_network(manager), name, &until_ms);
        g_auto(GStrv) others = other_words(words);
        bool ends_it = g_strv_length(others) < g_strv_length((char **)words) && !uplinks_word(words);
        g_autofree char *object = g_strdup_printf("switch/%s", name);
        if (!nic || ends_it)
                return true;
        error_set(error, HOSTLER_ERROR_BUSY, object, "%s is its uplink on trial", nic);
        return error_hint(error, "hostler switch confirm %s   or   hostler switch set %s uplink=none", name, name);
}

/* ---- made, changed, removed ---- */

/* The adapters on it have other addresses, perhaps. */
static bool followed(Job *job, const char *switch_name)
{
        if (!job_is_dry_run(job))
                ports_follow(job_manager(job), switch_name);
        return true;
}

/* One that cannot have the uplink it is to have is not made. */
static bool create_with_card(Job *job, Declared *declared, char *const *words, const Try *what, GError **error)
{
        g_auto(GStrv) others = other_words(words);
        Declared made = *declared;
        if (!declared_make(job, declared, others, error))
                return false;
        if (try_card(job, declared->switch_name, what, error))
                return true;
        declared_remove(job, &made, NULL, NULL);
        return false;
}

bool switch_create(Job *job, const HostlerSwitchCreateArgs *args, HostlerSwitch *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", args->name);
        Declared declared = declared_switch(args->name, object);
        Try what = {uplinks_word(args->property), args->force, args->trial};
        record_init(&hostler_switch_type, ret_result);
        return (what.nic ? create_with_card(job, &declared, args->property, &what, error)
                         : declared_make(job, &declared, args->property, error)) &&
               (job_is_dry_run(job) || show_switch(job_manager(job), args->name, ret_result, error));
}

bool switch_set(Job *job, const HostlerSwitchSetArgs *args, HostlerSwitch *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        g_autofree char *object = g_strdup_printf("switch/%s", args->switch_);
        Declared declared = declared_switch(args->switch_, object);
        Try what = {uplinks_word(args->property), args->force, args->trial};
        g_auto(GStrv) others = other_words(args->property);
        if (!switch_exists(manager, args->switch_, error) ||
            !check_no_trial(manager, args->switch_, args->property, error))
                return false;
        bool tries = what.nic && !is_uplink(manager, args->switch_, what.nic);
        char *const *words = tries ? others : args->property;
        return (!words[0] || declared_set(job, &declared, words, error)) && followed(job, args->switch_) &&
               (!tries || try_card(job, args->switch_, &what, error)) &&
               show_switch(manager, args->switch_, ret_result, error);
}

/* The trial's end is stopped first: a daemon that dies in between has its next one take the card back. */
bool switch_confirm(Job *job, const HostlerSwitchConfirmArgs *args, HostlerSwitch *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        int64_t until_ms;
        g_autofree char *object = g_strdup_printf("switch/%s", args->switch_);
        g_autofree char *nic = network_trial(manager_network(manager), args->switch_, &until_ms);
        g_autofree char *word = g_strdup_printf("uplink=%s", nic ? nic : "");
        char *const words[] = {word, NULL};
        const char *recalled = json_string_value(job_recall(job, "confirming"));
        Declared declared = declared_switch(args->switch_, object);
        if (!switch_exists(manager, args->switch_, error))
                return false;
        if (!nic && recalled && is_uplink(manager, args->switch_, recalled))
                return show_switch(manager, args->switch_, ret_result, error);
        if (!job_step(job, "confirm", "keep the uplink of %s", args->switch_))
                return show_switch(manager, args->switch_, ret_result, error);
        return (!nic || job_remember(job, "confirming", json_string(nic), error)) &&
               network_end_trial(manager_network(manager), args->switch_, error) &&
               declared_set(job, &declared, words, error) && show_switch(manager, args->switch_, ret_result, error);
}

bool switch_rm(Job *job, const HostlerSwitchRmArgs *args, GError **error)
{
        g_autofree char *object = g_strdup_printf("switch/%s", args->switch_);
        Declared declared = declared_switch(args->switch_, object);
        return declared_remove(job, &declared, ports_users(job_manager(job), args->switch_, NULL, true), error);
}

bool portgroup_create(Job *job, const HostlerPortgroupCreateArgs *args, HostlerPortgroup *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->name);
        Declared declared = declared_group(args->switch_, args->name, object);
        record_init(&hostler_portgroup_type, ret_result);
        return switch_exists(job_manager(job), args->switch_, error) &&
               declared_make(job, &declared, args->property, error) && followed(job, args->switch_) &&
               (job_is_dry_run(job) || show_group(job_manager(job), args->switch_, args->name, ret_result, error));
}

bool portgroup_set(Job *job, const HostlerPortgroupSetArgs *args, HostlerPortgroup *ret_result, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->portgroup);
        Declared declared = declared_group(args->switch_, args->portgroup, object);
        return declared_set(job, &declared, args->property, error) && followed(job, args->switch_) &&
               show_group(job_manager(job), args->switch_, args->portgroup, ret_result, error);
}

bool portgroup_rm(Job *job, const HostlerPortgroupRmArgs *args, GError **error)
{
        g_autofree char *object = g_strdup_printf("portgroup/%s/%s", args->switch_, args->portgroup);
        Declared declared = declared_group(args->switch_, args->portgroup, object);
        return declared_remove(job, &declared, ports_users(job_manager(job), args->switch_, args->portgroup, true),
                               error);
}

/* ---- at daemon start ---- */

static void declare_row(const NetworkRow *row, void *data)
{
        Declared declared = {.switch_name = row->switch_name, .row = row->group, .name = row->group};
        const DeclaredKind *kind = *row->group ? &group_kind : &switch_kind;
        if (g_str_has_prefix(row->group, MIRROR_PREFIX)) {
                kind = &mirror_kind;
                declared.name += strlen(MIRROR_PREFIX);
        }
        kind->declare(data, &declared, json_loads(row->spec, 0, NULL));
}

bool switches_load(Manager *manager, GError **error)
{
        return store_network_each(manager_store(manager), NULL, declare_row, manager_network(manager), error);
}
