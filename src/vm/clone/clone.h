/* What clones are made of, for instant.c. */
#pragma once

#include "job/job.h"
#include "vm/manager.h"

/* @source less what must not be in two VMs, settled for the VM @id. */
Spec *clone_spec(const HostlerSpec *source, const char *id);
/* A linked clone of a template, stored; the job's undo removes it. A reference; NULL and error. */
Vm *clone_of_template(Job *job, Vm *source, const char *name, GError **error);
