/*
 * The two clocks behind every wait and every time stamp, and the switch that lets tests stop them.
 *
 * Formats no time (units.c does). Called from everywhere, on any thread.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

/* The one piece of state: -1 is the real clock. Only tests ever write it. */
static _Atomic int64_t fake_monotonic_ms = -1;
static _Atomic int64_t fake_unix_ms = -1;

static int64_t now_ms(clockid_t clock)
{
        struct timespec now;
        clock_gettime(clock, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
        int64_t fake = fake_monotonic_ms;
        return fake >= 0 ? fake : now_ms(CLOCK_MONOTONIC);
}

int64_t clock_unix_ms(void)
{
        int64_t fake = fake_unix_ms;
        return fake >= 0 ? fake : now_ms(CLOCK_REALTIME);
}

void clock_set_fake(int64_t monotonic_ms, int64_t unix_ms)
{
        fake_monotonic_ms = monotonic_ms;
        fake_unix_ms = unix_ms;
}
