/* The only clock. Time limits use the monotonic one, so a clock jump never ends or stretches a wait. Any thread. */
#pragma once

#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_unix_ms(void);
/* Tests only: both clocks stand at these values until set again; -1 for both goes back to the real ones. */
void clock_set_fake(int64_t monotonic_ms, int64_t unix_ms);
