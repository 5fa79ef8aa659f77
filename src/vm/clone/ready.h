/*
 * A template's ready VM: a clone of it that was booted once, until its guest's agent answered, and of which disks and
 * memory are kept as they were then. It is a template itself, called NAME.ready, and instant clones of the template are
 * made from it. Job threads only, with the template's turn.
 */
#pragma once

#include "job/job.h"
#include "vm/manager.h"

/* The template's ready VM, made if there is none; in a dry run the template itself then. A reference; NULL and error.
 */
Vm *ready_vm(Job *job, Vm *template, GError **error);
/* Whether instant clones can be made from it as it is. */
bool ready_is(Vm *vm);
/* HOSTLER_ERROR_WRONG_STATE for a ready VM, which is its template's; @what: "clone". */
bool ready_check_not(Vm *vm, const char *what, GError **error);
/* It goes, and if clones stand on its disks only its memory: then it is a template of its own. There being none is
 * fine. */
bool ready_drop(Job *job, Vm *template, GError **error);
/* At daemon start: what its memory takes is shown. */
void ready_load(Vm *vm);
