/*
 * Memory of another process that the kernel keeps from being written until somebody says so (userfaultfd(2), write
 * protection). A process that has asked for that and forgets to say so stands still for ever at its next write there;
 * who may look into it can say so in its place. Any thread.
 */
#pragma once

#include "base/process.h"

/* Whether process_memory_unprotect() would be allowed to. */
bool process_memory_can_unprotect(const ProcessId *id);
/* Whether it has asked for that, be anything protected now or not. */
bool process_memory_may_be_protected(const ProcessId *id);
/* All of it can be written again, and who waits for that goes on. Does nothing where nothing is protected, or may not
 * be. */
void process_memory_unprotect(const ProcessId *id);
