/* The terminal itself: raw mode, and the way back whatever happens. One terminal, that of stdin. */
#pragma once

#include <stdbool.h>

/* Raw until terminal_restore(); a crash of the process also restores it. False when stdin is no terminal. */
bool terminal_raw(void);
/* No-op when it is not raw. Safe in a signal handler and from any thread. */
void terminal_restore(void);
/* Asks a question on stderr and reads a line; true for y or yes. False when stdin or stderr is no terminal. */
bool terminal_confirm(const char *question);
