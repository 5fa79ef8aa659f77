/* Rules of placement as they are stored: one setting of the store. Any thread. */
#pragma once

#include "vm/manager.h"

/* The caller clears the list with record_list_clear(&hostler_rule_config_type, …). */
void rules_load(Manager *manager, HostlerRuleConfigList *ret_list);
