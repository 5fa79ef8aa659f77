/*
 * Policies: what a port may do, resolved from its switch, its port group and itself.
 *
 * Each level is JSON with any of the properties of the record `policy`. The nearest level that says something about a
 * property counts; forged_transmits counts for TCP and UDP too, unless its own or a nearer level says otherwise. Pure.
 */
#pragma once

#include <jansson.h>

#include "network/model.h"

typedef enum { LEVEL_DEFAULT, LEVEL_SWITCH, LEVEL_PORTGROUP, LEVEL_PORT } PolicyLevel;
#define POLICY_LEVELS 4

/*
 * @levels: what switch, port group and port say, any of them NULL; other members are passed over. Everything in @ret
 * is decided.
 */
void policy_resolve(const json_t *const levels[POLICY_LEVELS], Policy *ret_policy);
/* The level that decided @property, and its value as JSON (a new reference); NULL: the default, which has none. */
json_t *policy_origin(const json_t *const levels[POLICY_LEVELS], const char *property, PolicyLevel *ret_level);
/* The faults of one level: "accept" and "reject" of `promiscuous` stand alone, each class once. Under @pointer. */
void policy_check(const json_t *level, const char *pointer, GPtrArray *faults);
