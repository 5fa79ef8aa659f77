/*
 * Verbs on mirrors. A mirror keeps VMs by their ids, so that it follows them when they are renamed, and shows their
 * names. How it is stored and put in force is in declared.c; what becomes of it on the switch, in src/network.
 */
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/network/declared.h"

#define RSPAN "rspan:"
#define ERSPAN "erspan:"
#define GROUP "portgroup/"
#define VLAN_LIMIT 4094

/* ---- adapters in words ---- */

static bool is_adapter(const char *word)
{
        return strcmp(word, "all") != 0 && !g_str_has_prefix(word, GROUP) && !g_str_has_prefix(word, RSPAN) &&
               !g_str_has_prefix(word, ERSPAN);
}

/* "web1.nic0", with a name or an id. NULL: there is no such VM. */
static Vm *vm_of(Manager *manager, const char *word, const char **ret_part)
{
        const char *dot = strrchr(word, '.');
        g_autofree char *name = dot ? g_strndup(word, dot - word) : NULL;
        *ret_part = dot ? dot + 1 : "";
        if (!dot)
                return NULL;
        Vm *vm = manager_vm(manager, name, NULL);
        return vm ? vm : manager_any_vm(manager, name);
}

static bool vm_has_nic(Vm *vm, const char *name, const char *switch_name)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerPart *part = spec_part(&spec->value, name);
        const HostlerNicProps *nic = part && strcmp(part->kind, "nic") == 0 ? part->props : NULL;
        gsize length = strlen(switch_name);
        return nic && nic->network && strncmp(nic->network, switch_name, length) == 0 && nic->network[length] == '/';
}

static bool was_there(const Declared *declared, const char *word)
{
        const json_t *sources = json_object_get(declared->spec, "sources"), *source;
        size_t i;
        json_array_foreach (sources, i, source)
                if (g_strcmp0(json_string_value(source), word) == 0)
                        return true;
        return g_strcmp0(json_string_value(json_object_get(declared->spec, "destination")), word) == 0;
}

/* The word as it is stored: ID.NIC. What it named before may be gone. A new reference. */
static json_t *stored_word(Manager *manager, const Declared *declared, const char *word, const char *pointer,
                           GPtrArray *faults)
{
        const char *part;
        if (!is_adapter(word) || was_there(declared, word))
                return json_string(word);
        g_autoptr(Vm) vm = vm_of(manager, word, &part);
        if (vm && vm_has_nic(vm, part, declared->switch_name))
                return json_sprintf("%s.%s", vm_id(vm), part);
        faults_add(faults, pointer, "there is no adapter %s on switch %s; adapters are named as web1.nic0", word,
                   declared->switch_name);
        return json_string(word);
}

/* ---- properties ---- */

static void check_sources(Manager *manager, const Declared *declared, json_t *spec, GPtrArray *faults)
{
        json_t *sources = json_object_get(spec, "sources"), *destination = json_object_get(spec, "destination");
        Network *network = manager_network(manager);
        for (size_t i = 0; i < json_array_size(sources); i++) {
                const char *word = json_string_value(json_array_get(sources, i));
                if (g_str_has_prefix(word, GROUP) &&
                    !network_has_group(network, declared->switch_name, word + strlen(GROUP)))
                        faults_add(faults, "/spec/sources", "there is no port group %s on switch %s",
                                   word + strlen(GROUP), declared->switch_name);
                json_array_set_new(sources, i, stored_word(manager, declared, word, "/spec/sources", faults));
                if (json_equal(json_array_get(sources, i), destination))
                        faults_add(faults, "/spec/sources", "%s is the destination", word);
        }
}

static bool is_vlan(const char *text)
{
        guint64 vid;
        return g_ascii_string_to_unsigned(text, 10, 1, VLAN_LIMIT, &vid, NULL);
}

/* Where copies go that no adapter here gets. */
static void check_far(const json_t *spec, const char *destination, GPtrArray *faults)
{
        bool erspan = g_str_has_prefix(destination, ERSPAN);
        IpAddress to;
        if (g_str_has_prefix(destination, RSPAN) && !is_vlan(destination + strlen(RSPAN)))
                faults_add(faults, "/spec/destination", "a VLAN is a number from 1 to 4094");
        if (erspan && (!ip_parse(destination + strlen(ERSPAN), &to) || to.v6 || to.bytes[0] == 0))
                faults_add(faults, "/spec/destination", "%s is no IPv4 address of a host",
                           destination + strlen(ERSPAN));
        if (erspan && to.bytes[0] >= 224)
                faults_add(faults, "/spec/destination", "copies go to one host, not to a group");
        if (!erspan && (json_object_get(spec, "erspan_type") || json_object_get(spec, "erspan_session")))
                faults_add(faults, "/spec/erspan_type", "it is of destinations like erspan:10.0.0.5");
        if (erspan && json_is_true(json_object_get(spec, "normal_traffic")))
                faults_add(faults, "/spec/normal_traffic", "another host is not on this switch");
}

static void check_count(Manager *manager, const Declared *declared, GPtrArray *faults)
{
        g_auto(GStrv) names = declared_names(manager, declared->switch_name, MIRROR_PREFIX, NULL);
        guint others = 0;
        for (char **name = names; name && *name; name++)
                others += strcmp(*name, declared->name) != 0;
        if (others >= MIRRORS_MAX)
                faults_add(faults, "/spec", "a switch has %d mirrors at most", MIRRORS_MAX);
}

static void check_mirror(Manager *manager, const Declared *declared, json_t *spec, GPtrArray *faults)
{
        const char *destination = json_string_value(json_object_get(spec, "destination"));
        const json_t *vlans = json_object_get(spec, "vlans"), *vlan;
        size_t i;
        if (!destination)
                faults_add(faults, "/spec/destination",
                           "where copies go to is missing: web2.nic0, rspan:99, or erspan:10.0.0.5");
        else
                json_object_set_new(spec, "destination",
                                    stored_word(manager, declared, destination, "/spec/destination", faults));
        if (json_array_size(json_object_get(spec, "sources")) == 0)
                faults_add(faults, "/spec/sources",
                           "whose frames are copied is missing: web1.nic0, portgroup/web, all");
        check_sources(manager, declared, spec, faults);
        check_count(manager, declared, faults);
        destination = json_string_value(json_object_get(spec, "destination"));
        if (destination)
                check_far(spec, destination, faults);
        json_array_foreach (vlans, i, vlan)
                if (!is_vlan(json_string_value(vlan)))
                        faults_add(faults, "/spec/vlans", "a VLAN is a number from 1 to 4094");
}

static void declare_mirror(Network *network, const Declared *declared, json_t *spec_taken)
{
        network_declare_mirror(network, declared->switch_name, declared->name, spec_taken);
}

const DeclaredKind mirror_kind = {.words = "mirror",
                                  .noun = "mirror",
                                  .spec = &hostler_mirror_spec_type,
                                  .event = "mirror-changed",
                                  .check = check_mirror,
                                  .declare = declare_mirror};

/* ---- what is shown ---- */

/* With the VM's name; one that is gone keeps its id. A new reference. */
static json_t *shown_word(Manager *manager, const json_t *stored)
{
        const char *word = json_string_value(stored), *part;
        g_autoptr(Vm) vm = is_adapter(word) ? vm_of(manager, word, &part) : NULL;
        g_autofree char *name = vm ? vm_name(vm) : NULL;
        return name ? json_sprintf("%s.%s", name, part) : json_string(word);
}

static json_t *shown_spec(Manager *manager, const json_t *stored)
{
        json_t *spec = json_deep_copy(stored), *sources = json_object_get(spec, "sources");
        json_t *destination = json_object_get(spec, "destination");
        for (size_t i = 0; i < json_array_size(sources); i++)
                json_array_set_new(sources, i, shown_word(manager, json_array_get(sources, i)));
        if (destination)
                json_object_set_new(spec, "destination", shown_word(manager, destination));
        return spec;
}

typedef struct {
        char *row, *object;
        Declared declared;
} Mirror;

static void mirror_init(Mirror *mirror, const char *switch_name, const char *name)
{
        mirror->row = g_strconcat(MIRROR_PREFIX, name, NULL);
        mirror->object = g_strdup_printf("mirror/%s/%s", switch_name, name);
        mirror->declared = (Declared){.kind = &mirror_kind,
                                      .switch_name = switch_name,
                                      .row = mirror->row,
                                      .name = name,
                                      .object = mirror->object};
}

static void mirror_clear(Mirror *mirror)
{
        g_free(mirror->row);
        g_free(mirror->object);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Mirror, mirror_clear)

static bool show(Manager *manager, const char *switch_name, const char *name, HostlerMirror *ret_mirror, GError **error)
{
        g_auto(Mirror) mirror;
        mirror_init(&mirror, switch_name, name);
        if (!declared_find(manager, &mirror.declared, NULL, error))
                return false;
        json_auto_t *stored = mirror.declared.spec, *json = declared_picture(&mirror.declared);
        json_object_set_new(json, "switch", json_string(switch_name));
        json_object_set_new(json, "spec", shown_spec(manager, stored));
        json_object_set_new(json, "state",
                            json_string(network_mirror_state(manager_network(manager), switch_name, name)));
        return record_from_json(&hostler_mirror_type, json, "", ret_mirror, error);
}

bool mirror_show(const Call *call, const HostlerMirrorShowArgs *args, HostlerMirror *ret_result, GError **error)
{
        return show(call->manager, args->switch_, args->mirror, ret_result, error);
}

bool mirror_ls(const Call *call, const HostlerMirrorLsArgs *args, HostlerMirrorList *ret_result, GError **error)
{
        if (!switch_exists(call->manager, args->switch_, error))
                return false;
        g_auto(GStrv) names = declared_names(call->manager, args->switch_, MIRROR_PREFIX, error);
        if (!names)
                return false;
        *ret_result = (HostlerMirrorList){.items = g_new0(HostlerMirror, g_strv_length(names) + 1)};
        for (char **name = names; *name; name++)
                if (show(call->manager, args->switch_, *name, &ret_result->items[ret_result->count], NULL))
                        ret_result->count++;
        return true;
}

/* ---- made, changed, removed ---- */

bool mirror_create(Job *job, const HostlerMirrorCreateArgs *args, HostlerMirror *ret_result, GError **error)
{
        Manager *manager = job_manager(job);
        g_auto(Mirror) mirror;
        mirror_init(&mirror, args->switch_, args->name);
        record_init(&hostler_mirror_type, ret_result);
        return switch_exists(manager, args->switch_, error) &&
               declared_make(job, &mirror.declared, args->property, error) &&
               (job_is_dry_run(job) || show(manager, args->switch_, args->name, ret_result, error));
}

bool mirror_set(Job *job, const HostlerMirrorSetArgs *args, HostlerMirror *ret_result, GError **error)
{
        g_auto(Mirror) mirror;
        mirror_init(&mirror, args->switch_, args->mirror);
        return declared_set(job, &mirror.declared, args->property, error) &&
               show(job_manager(job), args->switch_, args->mirror, ret_result, error);
}

bool mirror_rm(Job *job, const HostlerMirrorRmArgs *args, GError **error)
{
        g_auto(Mirror) mirror;
        mirror_init(&mirror, args->switch_, args->mirror);
        return declared_remove(job, &mirror.declared, NULL, error);
}
