/*
 * From method and path to a verb: matches the declared path templates ("/v1/vms/{vm}/start"). Pure, any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/declare.h"

#define ROUTE_PATH_LIMIT 2048 /* bytes of a path before decoding */

/* What a request is for. Owned by whoever filled it; route_clear(). */
typedef struct {
        const VerbDecl *decl; /* static */
        GStrv names,
            values;  /* path parameters, side by side: names without braces, values percent-decoded and checked */
        char *allow; /* set with HOSTLER_ERROR_USAGE when the path exists for these methods only: "GET, PATCH" */
} Route;
void route_clear(Route *route);

/*
 * Finds the verb among @verbs (ends with id NULL; tests pass their own). Of several templates that match, the one with
 * the most literal segments wins. @path is as it came, still percent-encoded, without query. HOSTLER_ERROR_NOT_FOUND
 * with near paths as causes; HOSTLER_ERROR_USAGE with ret_route->allow set if only the method is wrong, and for a path
 * that is too long or wrongly encoded; HOSTLER_ERROR_INVALID for a parameter that no name can have.
 */
bool route_find(const VerbDecl *verbs, const char *method, const char *path, Route *ret_route, GError **error);
/* The gate for everything named in a path: 1 to 128 of [A-Za-z0-9._:-], beginning with a letter or digit, without "..".
 */
bool route_value_is_valid(const char *value);
