/*
 * Verbs on rules of placement, and their table. What a rule means is src/sched/place.h's; who uses them is balance.c.
 */
#include "vm/govern/rules.h"

#include <string.h>

#include "base/error.h"
#include "hostler-handlers.h"

#define SETTING "placement-rules"

void rules_load(Manager *manager, HostlerRuleConfigList *ret_list)
{
        g_autofree char *text = store_get(manager_store(manager), SETTING);
        json_auto_t *json = text ? json_loads(text, 0, NULL) : NULL;
        *ret_list = (HostlerRuleConfigList){0};
        if (json && !record_list_from_json(&hostler_rule_config_type, json, "/rules", ret_list, NULL))
                *ret_list = (HostlerRuleConfigList){0};
}

static bool store(Manager *manager, const HostlerRuleConfigList *list, GError **error)
{
        json_auto_t *json = record_list_to_json(&hostler_rule_config_type, list, RECORD_STORED);
        g_autofree char *text = json_dumps(json, JSON_COMPACT);
        return store_set(manager_store(manager), SETTING, text, error);
}

/* The list's length when there is none. */
static size_t find(const HostlerRuleConfigList *list, const char *name)
{
        size_t at = 0;
        while (at < list->count && strcmp(list->items[at].name, name) != 0)
                at++;
        return at;
}

/* VMs that are gone are left out. */
static void describe(Manager *manager, const HostlerRuleConfig *config, HostlerRule *ret_rule)
{
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();
        record_init(&hostler_rule_type, ret_rule);
        ret_rule->name = g_strdup(config->name);
        ret_rule->kind = config->kind;
        ret_rule->hosts = g_strdupv(config->hosts);
        for (char **id = config->vms; id && *id; id++) {
                g_autoptr(Vm) vm = manager_any_vm(manager, *id);
                g_autofree char *name = vm ? vm_name(vm) : NULL;
                if (name)
                        g_strv_builder_add(names, name);
        }
        ret_rule->vms = g_strv_builder_end(names);
}

/* The VMs' ids; NULL and error when one is not there. */
static char **ids_of(Manager *manager, char *const *names, GError **error)
{
        g_autoptr(GStrvBuilder) ids = g_strv_builder_new();
        for (; *names; names++) {
                g_autoptr(Vm) vm = manager_vm(manager, *names, error);
                if (!vm)
                        return NULL;
                g_strv_builder_add(ids, vm_id(vm));
        }
        return g_strv_builder_end(ids);
}

static bool check(const HostlerRuleCreateArgs *args, GError **error)
{
        bool about_hosts = args->kind == HOSTLER_RULE_KIND_ONLY_ON || args->kind == HOSTLER_RULE_KIND_NEVER_ON;
        bool has_hosts = args->hosts && args->hosts[0];
        const char *kind = hostler_rule_kind_enum.values[args->kind];
        if (about_hosts != has_hosts)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "a rule of kind %s names %s hosts", kind,
                                 about_hosts ? "its" : "no");
        return about_hosts || args->vms[1] ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "a rule of kind %s is about two VMs or more", kind);
}

bool rule_create(const Call *call, const HostlerRuleCreateArgs *args, HostlerRule *ret_result, GError **error)
{
        HostlerRuleConfigList list;
        g_autofree char *object = g_strdup_printf("rule/%s", args->name);
        g_auto(GStrv) ids = check(args, error) ? ids_of(call->manager, args->vms, error) : NULL;
        if (!ids)
                return false;
        rules_load(call->manager, &list);
        bool ok = find(&list, args->name) == list.count ||
                  error_set(error, HOSTLER_ERROR_EXISTS, object, "there is a rule of this name already");
        if (ok) {
                list.items = g_renew(HostlerRuleConfig, list.items, list.count + 1);
                HostlerRuleConfig *rule = &list.items[list.count++];
                record_init(&hostler_rule_config_type, rule);
                rule->name = g_strdup(args->name);
                rule->kind = args->kind;
                rule->vms = g_steal_pointer(&ids);
                rule->hosts = g_strdupv(args->hosts);
                ok = store(call->manager, &list, error);
                describe(call->manager, rule, ret_result);
        }
        record_list_clear(&hostler_rule_config_type, &list);
        return ok;
}

bool rule_ls(const Call *call, const HostlerRuleLsArgs *args, HostlerRuleList *ret_result, GError **error)
{
        HostlerRuleConfigList list;
        rules_load(call->manager, &list);
        *ret_result = (HostlerRuleList){.items = g_new0(HostlerRule, list.count + 1), .count = list.count};
        for (size_t i = 0; i < list.count; i++)
                describe(call->manager, &list.items[i], &ret_result->items[i]);
        record_list_clear(&hostler_rule_config_type, &list);
        return true;
}

bool rule_rm(const Call *call, const HostlerRuleRmArgs *args, GError **error)
{
        HostlerRuleConfigList list;
        g_autofree char *object = g_strdup_printf("rule/%s", args->rule);
        rules_load(call->manager, &list);
        size_t at = find(&list, args->rule);
        bool ok = at < list.count;
        if (ok) {
                record_clear(&hostler_rule_config_type, &list.items[at]);
                list.count--;
                memmove(&list.items[at], &list.items[at + 1], (list.count - at) * sizeof *list.items);
                ok = store(call->manager, &list, error);
        } else {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "there is no rule “%s”", args->rule);
                error_hint(error, "hostler rule ls");
        }
        record_list_clear(&hostler_rule_config_type, &list);
        return ok;
}
