/*
 * How many hosts to keep on over time, when waking and emptying one costs something: a dynamic program.
 *
 *     V_t(n) = min over n' of  running(t, n') + switching from n to n' + V_{t+1}(n')
 *
 * Asked anew in each round with what is forecast then, it is lazy provisioning: the number follows demand only where
 * the switch pays within the plan (Lin, Wierman, Andrew, Thereska, "Dynamic right-sizing for power-proportional data
 * centers", INFOCOM 2011). Pure; any thread.
 */
#pragma once

#include <glib.h>

typedef struct {
        const double *running; /* [step * (most + 1) + n]: cost of n hosts in that step; INFINITY: too few */
        unsigned steps, most;
        double wake;  /* what waking a host costs, in the unit of @running */
        double sleep; /* and emptying one */
} HostsOn;

/* What n hosts of @capacity that take @watts each cost with @demand, of which what finds no room costs @short_price for
 * one unit. */
double hosts_on_running(unsigned n, double capacity, double watts, double short_price, double demand);

/* The numbers of hosts for each step that cost least in all, from @now on; of several the least. Returns the cost. */
double hosts_on_plan(const HostsOn *plan, unsigned now, unsigned *ret_on);
