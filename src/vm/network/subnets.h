/* Subnets of switches and port groups: what is wrong with one that is to be. */
#pragma once

#include <jansson.h>

#include "vm/manager.h"

/*
 * Adds faults of @spec, which is to be that of the switch (@group "") or port group: of its subnet by itself, and of
 * one that another, or the host, has. Blocks.
 */
void subnets_check(Manager *manager, const char *switch_name, const char *group, const json_t *spec, GPtrArray *faults);
