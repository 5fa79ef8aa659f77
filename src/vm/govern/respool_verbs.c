/*
 * Verbs on resource pools: what they are to be is stored, and counts from the next round of allocation on. What could
 * not be kept is refused before. The table is respool.c's.
 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"
#include "vm/govern/govern.h"
#include "vm/govern/respool.h"

#define MIB (1024.0 * 1024)

/* One pool as a verb is about it, in a copy of the whole table. */
typedef struct {
        Manager *manager;
        const char *name;
        char *object;
        HostlerRespoolConfigList list;
        int index; /* -1: there is none of that name */
} Subject;

static void subject_clear(Subject *subject)
{
        g_free(subject->object);
        record_list_clear(&hostler_respool_config_type, &subject->list);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Subject, subject_clear)

static Subject subject_of(Manager *manager, const char *name)
{
        Subject subject = {.manager = manager, .name = name, .object = g_strdup_printf("respool/%s", name)};
        subject.list = respools_list(govern_respools(manager));
        subject.index = respools_index(&subject.list, name);
        return subject;
}

static bool exists(const Subject *subject, GError **error)
{
        if (subject->index >= 0)
                return true;
        error_set(error, HOSTLER_ERROR_NOT_FOUND, subject->object, "there is no resource pool “%s”", subject->name);
        for (size_t i = 0; i < subject->list.count && i < 3; i++)
                error_cause(error, NULL, "there is %s", subject->list.items[i].name);
        return error_hint(error, "hostler respool ls");
}

/* ---- who is in it ---- */

/* Names of VMs. g_strfreev. */
static char **vms_in(Manager *manager, const char *name, bool trashed)
{
        g_autoptr(GPtrArray) vms = manager_vms(manager, trashed);
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        for (guint i = 0; i < vms->len; i++) {
                g_autoptr(Spec) spec = vm_spec(g_ptr_array_index(vms, i));
                g_autofree char *vm = vm_name(g_ptr_array_index(vms, i));
                if (g_strcmp0(spec_respool(&spec->value), name) == 0)
                        g_strv_builder_add(names, vm);
        }
        return g_strv_builder_end(names);
}

/* Names of pools. g_strfreev. */
static char **pools_in(const HostlerRespoolConfigList *list, const char *name)
{
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        for (size_t i = 0; i < list->count; i++)
                if (g_strcmp0(list->items[i].spec->parent, name) == 0)
                        g_strv_builder_add(names, list->items[i].name);
        return g_strv_builder_end(names);
}

/* ---- what is shown ---- */

static void describe(const Subject *subject, HostlerRespool *ret_respool)
{
        const HostlerRespoolConfig *config = &subject->list.items[subject->index];
        record_init(&hostler_respool_type, ret_respool);
        ret_respool->name = g_strdup(config->name);
        ret_respool->path = respools_path(&subject->list, subject->index, "");
        ret_respool->spec = g_new0(HostlerRespoolSpec, 1);
        record_copy(&hostler_respool_spec_type, config->spec, ret_respool->spec);
        ret_respool->vms = vms_in(subject->manager, config->name, false);
        ret_respool->pools = pools_in(&subject->list, config->name);
        ret_respool->cpu_reserved = lround(govern_reserved_cpu(subject->manager, &subject->list, subject->index) * 100);
        ret_respool->memory_reserved =
            (int64_t)(govern_reserved_memory(subject->manager, &subject->list, subject->index) * MIB);
        if (!govern_pool_round(subject->manager, config->name, &ret_respool->cpu_demand, &ret_respool->cpu_granted))
                ret_respool->cpu_demand = ret_respool->cpu_granted = NAN;
}

static bool show(Manager *manager, const char *name, HostlerRespool *ret_respool, GError **error)
{
        g_auto(Subject) subject = subject_of(manager, name);
        if (!exists(&subject, error))
                return false;
        describe(&subject, ret_respool);
        return true;
}

bool respool_show(const Call *call, const HostlerRespoolShowArgs *args, HostlerRespool *ret_result, GError **error)
{
        return show(call->manager, args->respool, ret_result, error);
}

bool respool_ls(const Call *call, const HostlerRespoolLsArgs *args, HostlerRespoolList *ret_result, GError **error)
{
        g_auto(Subject) subject = subject_of(call->manager, "");
        *ret_result = (HostlerRespoolList){.items = g_new0(HostlerRespool, subject.list.count + 1)};
        for (size_t i = 0; i < subject.list.count; i++) {
                subject.index = (int)i;
                describe(&subject, &ret_result->items[ret_result->count++]);
        }
        return true;
}

/* ---- properties ---- */

static void check_sizes(const HostlerRespoolSpec *spec, GPtrArray *faults)
{
        if (spec->cpu_limit != HOSTLER_UNSET && spec->cpu_reservation > spec->cpu_limit)
                faults_add(faults, "/spec/cpu_limit", "less than cpu_reservation");
        if (spec->memory_limit != HOSTLER_UNSET && spec->memory_reservation > spec->memory_limit)
                faults_add(faults, "/spec/memory_limit", "less than memory_reservation");
}

static bool assign(json_t *spec, const char *word, GError **error)
{
        g_autofree char *name = NULL;
        json_auto_t *value = record_parse_assignment(&hostler_respool_spec_type, word, &name, error);
        if (!value)
                return false;
        if (json_is_null(value))
                json_object_del(spec, name);
        else
                json_object_set(spec, name, value);
        return true;
}

/* PROP=VALUE words on top of what the subject is. */
static bool change(Subject *subject, char *const *words, GError **error)
{
        HostlerRespoolSpec *spec = subject->list.items[subject->index].spec;
        json_auto_t *json = record_to_json(&hostler_respool_spec_type, spec, RECORD_STORED);
        g_autoptr(GPtrArray) faults = faults_new();
        for (; words && *words; words++)
                if (!assign(json, *words, error))
                        return false;
        record_clear(&hostler_respool_spec_type, spec);
        if (record_read(&hostler_respool_spec_type, json, "/spec", spec, faults))
                check_sizes(spec, faults);
        return faults_check(faults, subject->object, error);
}

static bool put(Subject *subject, const char *what, GError **error)
{
        if (!respools_replace(govern_respools(subject->manager), &subject->list, error))
                return false;
        event_emit(manager_events(subject->manager), "respool-changed", subject->object,
                   json_pack("{s:s}", "change", what));
        return true;
}

/* ---- the verbs ---- */

static void add(Subject *subject)
{
        HostlerRespoolConfigList *list = &subject->list;
        list->items = g_renew(HostlerRespoolConfig, list->items, list->count + 1);
        HostlerRespoolConfig *config = &list->items[list->count];
        record_init(&hostler_respool_config_type, config);
        config->name = g_strdup(subject->name);
        config->spec = g_new0(HostlerRespoolSpec, 1);
        record_init(&hostler_respool_spec_type, config->spec);
        subject->index = (int)list->count++;
}

bool respool_create(Job *job, const HostlerRespoolCreateArgs *args, HostlerRespool *ret_result, GError **error)
{
        g_auto(Subject) subject = subject_of(job_manager(job), args->name);
        if (subject.index >= 0 && job_recall(job, "making"))
                return show(subject.manager, args->name, ret_result, error);
        if (subject.index >= 0)
                return error_set(error, HOSTLER_ERROR_EXISTS, subject.object,
                                 "there is a resource pool of this name already");
        add(&subject);
        if (!change(&subject, args->property, error) || !govern_admit_pools(subject.manager, &subject.list, error))
                return false;
        if (job_step(job, "make", "make the resource pool %s", args->name) &&
            (!job_remember(job, "making", json_true(), error) || !put(&subject, "created", error)))
                return false;
        describe(&subject, ret_result);
        return true;
}

bool respool_set(Job *job, const HostlerRespoolSetArgs *args, HostlerRespool *ret_result, GError **error)
{
        g_auto(Subject) subject = subject_of(job_manager(job), args->respool);
        if (!exists(&subject, error) || !change(&subject, args->property, error) ||
            !govern_admit_pools(subject.manager, &subject.list, error))
                return false;
        if (job_step(job, "change", "change the resource pool %s", args->respool) && !put(&subject, "changed", error))
                return false;
        describe(&subject, ret_result);
        return true;
}

/* Names who is in it. */
static bool check_empty(const Subject *subject, GError **error)
{
        g_auto(GStrv) vms = vms_in(subject->manager, subject->name, false);
        g_auto(GStrv) trashed = vms_in(subject->manager, subject->name, true);
        g_auto(GStrv) pools = pools_in(&subject->list, subject->name);
        g_autofree char *all_vms = g_strjoinv(", ", vms), *all_trashed = g_strjoinv(", ", trashed);
        g_autofree char *all_pools = g_strjoinv(", ", pools);
        if (!*all_vms && !*all_trashed && !*all_pools)
                return true;
        error_set(error, HOSTLER_ERROR_BUSY, subject->object, "in it are: %s%s%s%s%s", all_vms,
                  *all_vms && *all_pools ? ", " : "", all_pools, *all_trashed ? " in the trash: " : "", all_trashed);
        return error_hint(error, "hostler set VM options.respool=");
}

bool respool_rm(Job *job, const HostlerRespoolRmArgs *args, GError **error)
{
        g_auto(Subject) subject = subject_of(job_manager(job), args->respool);
        if (subject.index < 0 && job_recall(job, "removing"))
                return true;
        if (!exists(&subject, error) || !check_empty(&subject, error))
                return false;
        if (!job_step(job, "remove", "remove the resource pool %s", args->respool))
                return true;
        HostlerRespoolConfigList *list = &subject.list;
        record_clear(&hostler_respool_config_type, &list->items[subject.index]);
        list->count--;
        memmove(&list->items[subject.index], &list->items[subject.index + 1],
                (list->count - (size_t)subject.index) * sizeof *list->items);
        return job_remember(job, "removing", json_true(), error) && put(&subject, "removed", error);
}
