/*
 * Switches, port groups and mirrors as they are declared: stored, told to the network, and in force when the job ends.
 * What cannot be put in force is taken back. See declared.h; the verbs are in switch.c and mirror.c.
 */
#include "vm/network/declared.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "hostler-handlers.h"

/* ---- what is stored ---- */

typedef struct {
        Declared *wanted;
        GStrvBuilder *rows;
} Search;

static void look_at(const NetworkRow *row, void *data)
{
        Search *search = data;
        if (strcmp(row->group, search->wanted->row) == 0) {
                search->wanted->spec = json_loads(row->spec, 0, NULL);
                search->wanted->created_ms = row->created_ms;
        } else if (search->rows && *row->group)
                g_strv_builder_add(search->rows, row->group);
}

static bool load(Manager *manager, Declared *declared, GStrvBuilder *rows, GError **error)
{
        Search search = {declared, rows};
        return store_network_each(manager_store(manager), declared->switch_name, look_at, &search, error);
}

bool declared_find(Manager *manager, Declared *declared, GStrvBuilder *rows, GError **error)
{
        bool is_switch = !*declared->name;
        if (!load(manager, declared, rows, error))
                return false;
        if (declared->spec)
                return true;
        error_set(error, HOSTLER_ERROR_NOT_FOUND, declared->object, "there is no %s %s", declared->kind->words,
                  is_switch ? declared->switch_name : declared->name);
        return error_hint(error, "hostler %s ls%s%s", declared->kind->noun, is_switch ? "" : " ",
                          is_switch ? "" : declared->switch_name);
}

typedef struct {
        const char *prefix;
        GStrvBuilder *names;
} Listing;

static void note(const NetworkRow *row, void *data)
{
        Listing *listing = data;
        const char *slash = strchr(row->group, '/');
        gsize length = slash ? (gsize)(slash - row->group) + 1 : 0;
        if (*row->group && strlen(listing->prefix) == length && strncmp(row->group, listing->prefix, length) == 0)
                g_strv_builder_add(listing->names, row->group + length);
}

char **declared_names(Manager *manager, const char *switch_name, const char *prefix, GError **error)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        Listing listing = {prefix, builder};
        if (!store_network_each(manager_store(manager), switch_name, note, &listing, error))
                return NULL;
        return g_strv_builder_end(builder);
}

static void declare(Manager *manager, const Declared *declared, json_t *spec)
{
        declared->kind->declare(manager_network(manager), declared, json_incref(spec));
}

static bool store(Manager *manager, const Declared *declared, const json_t *spec, GError **error)
{
        g_autofree char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
        NetworkRow row = {.switch_name = (char *)declared->switch_name,
                          .group = (char *)declared->row,
                          .spec = text,
                          .created_ms = declared->created_ms};
        return spec ? store_network_put(manager_store(manager), &row, error)
                    : store_network_delete(manager_store(manager), declared->switch_name, declared->row, error);
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
        event_emit(manager_events(job_manager(job)), declared->kind->event, declared->object,
                   json_pack("{s:s}", "change", change));
}

/* ---- properties ---- */

/* All that is wrong with it at once; what is left has every value in its final form. */
static json_t *checked(Manager *manager, const Declared *declared, const json_t *spec, GError **error)
{
        const RecordType *type = declared->kind->spec;
        g_autoptr(GPtrArray) faults = faults_new();
        g_autofree char *value = g_malloc0(type->size);
        if (!record_read(type, spec, "/spec", value, faults) || faults->len > 0) {
                faults_check(faults, declared->object, error);
                return NULL;
        }
        json_auto_t *result = record_to_json(type, value, RECORD_STORED);
        record_clear(type, value);
        declared->kind->check(manager, declared, result, faults);
        return faults_check(faults, declared->object, error) ? json_incref(result) : NULL;
}

/* @declared's spec with PROP=VALUE words on top. A new reference; NULL and error. */
static json_t *changed(Manager *manager, const Declared *declared, char *const *words, GError **error)
{
        json_auto_t *spec = declared->spec ? json_deep_copy(declared->spec) : json_object();
        for (; words && *words; words++) {
                g_autofree char *name = NULL;
                json_t *value = record_parse_assignment(declared->kind->spec, *words, &name, error);
                if (!value)
                        return NULL;
                if (json_is_null(value))
                        json_object_del(spec, name);
                else
                        json_object_set(spec, name, value);
                json_decref(value);
        }
        return checked(manager, declared, spec, error);
}

/* ---- what is shown ---- */

json_t *declared_list(char *const *words)
{
        json_t *list = json_array();
        for (; words && *words; words++)
                json_array_append_new(list, json_string(*words));
        return list;
}

json_t *declared_picture(const Declared *declared)
{
        g_autofree char *created = time_format(declared->created_ms);
        return json_pack("{s:s, s:s, s:O}", "name", *declared->name ? declared->name : declared->switch_name, "created",
                         created, "spec", declared->spec);
}

/* ---- made, changed, removed ---- */

bool declared_make(Job *job, Declared *declared, char *const *words, GError **error)
{
        Manager *manager = job_manager(job);
        if (!network_is_allowed(manager_network(manager), error) || !load(manager, declared, NULL, error))
                return false;
        json_auto_t *old = g_steal_pointer(&declared->spec);
        if (old && !job_recall(job, "making"))
                return error_set(error, HOSTLER_ERROR_EXISTS, declared->object, "there is one of this name already");
        json_auto_t *spec = changed(manager, declared, words, error);
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

bool declared_set(Job *job, Declared *declared, char *const *words, GError **error)
{
        Manager *manager = job_manager(job);
        if (!declared_find(manager, declared, NULL, error))
                return false;
        json_auto_t *old = declared->spec, *spec = changed(manager, declared, words, error);
        if (!spec)
                return false;
        if (!job_step(job, "change", "change %s", declared->object))
                return true;
        if (!put(job, declared, spec, error))
                return false;
        tell(job, declared, "changed");
        return true;
}

static bool refuse_used(const Declared *declared, char *const *users, GError **error)
{
        if (!users || !users[0])
                return true;
        g_autofree char *list = g_strjoinv(", ", (char **)users);
        error_set(error, HOSTLER_ERROR_BUSY, declared->object, "these adapters are on it: %s", list);
        return error_hint(error, "hostler set VM NIC.network=");
}

bool declared_remove(Job *job, Declared *declared, char **users_taken, GError **error)
{
        g_auto(GStrv) users = users_taken;
        Manager *manager = job_manager(job);
        if (!load(manager, declared, NULL, error))
                return false;
        json_auto_t *old = declared->spec;
        if (!old && job_recall(job, "removing"))
                return true;
        if (!old)
                return declared_find(manager, declared, NULL, error);
        if (!refuse_used(declared, users, error))
                return false;
        if (!job_step(job, "remove", "remove %s", declared->object))
                return true;
        if (!job_remember(job, "removing", json_true(), error) || !put(job, declared, NULL, error))
                return false;
        tell(job, declared, "removed");
        return true;
}
