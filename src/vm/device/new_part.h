/* Parts that a verb adds to a VM's spec. */
#pragma once

#include "job/job.h"
#include "vm/manager.h"

/*
 * @wanted, or the next free name of @kind when that is NULL; the same again when the verb is run again after a crash.
 * HOSTLER_ERROR_EXISTS. Caller frees.
 */
char *new_part_name(Job *job, const HostlerSpec *spec, const KindDecl *kind, const char *wanted, GError **error);
/*
 * @ret_spec: @before with the part @name as @patch ({name: properties}) says. Lacks it a controller, @patch gets one,
 * and so does the spec.
 */
bool new_part_spec(const HostlerSpec *before, const char *name, json_t *patch, HostlerSpec *ret_spec, GError **error);
