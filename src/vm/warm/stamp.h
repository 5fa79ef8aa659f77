/* Whether what a QEMU read when it was started is what it would read now. Any thread. */
#pragma once

#include "vm/vm.h"

/*
 * Of the files that the command line @argv names, and of @vm's seed: differs when any of them does, for another file by
 * the same name is not the one that was read. Caller frees.
 */
char *warm_stamp(Vm *vm, char *const *argv);
