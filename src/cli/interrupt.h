/*
 * Signals that ask the command to end (INT, TERM, HUP): taken by a thread, so that what is under way can be left in
 * good order.
 *
 * Unarmed they end the process as usual. Armed, the first cancels a cancellable and the second ends the process.
 */
#pragma once

#include <gio/gio.h>

typedef struct Interrupt Interrupt;

/* Once, before there is any other thread; lives as long as the process. */
Interrupt *interrupt_new(void);
/* The cancellable that a signal from now on cancels. Borrowed. */
GCancellable *interrupt_arm(Interrupt *interrupt);
void interrupt_disarm(Interrupt *interrupt);
/* The signal that cancelled it, or 0. */
int interrupt_signal(Interrupt *interrupt);
