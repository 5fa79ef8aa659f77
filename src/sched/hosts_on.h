/*
 * How many hosts to keep on over time, when waking and emptying one costs something: a dynamic program for a known
 * demand.
 *
 *     V_t(n) = min over n' of  energy(n') + shortage(n', D_t) + switching from n to n' + V_{t+1}(n')
 *
 * for identical hosts. Pure; any thread.
 */
#pragma once

#include <glib.h>

typedef struct {
        double capacity;    /* of a host */
        double watts;       /* of a host that is on, whatever it does */
        double short_price; /* watts for a unit of demand that finds no room */
        double wake;        /* what waking a host costs, in watts of one step */
        double sleep;       /* and emptying one */
} HostsOnCosts;

/* The numbers of hosts for each step, of at most @most, that cost least in all, from @now on; of several the least.
 * Returns the cost. */
double hosts_on_plan(const HostsOnCosts *costs, unsigned most, unsigned now, const double *demand, unsigned steps,
                     unsigned *ret_on);
