/*
 * What is measured of a VM, of an adapter of it, and of the host: each a number, NAN where it is not known.
 *
 * Some are counters that only grow (a process's time on a processor, bytes read), of which the rate is what matters;
 * the others are amounts. Counters come at times of their own: QEMU is asked for its disks less often than the kernel
 * for its threads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum {
        METRIC_CPU,        /* processors in use: 1 is one whole. VM: by its QEMU, all threads */
        METRIC_VCPU,       /* of that, by the guest's own processors */
        METRIC_WAIT,       /* ready to run and not let: processors. Host: part of the time in which anyone waited */
        METRIC_MEMORY,     /* bytes of the host's memory in use */
        METRIC_GUEST_USED, /* bytes the guest cannot do without, as it tells */
        METRIC_BALLOONED,  /* bytes that its balloon holds */
        METRIC_DISK_READ,  /* bytes a second */
        METRIC_DISK_WRITE,
        METRIC_DISK_OPS, /* requests a second */
        METRIC_NET_IN,   /* bytes a second */
        METRIC_NET_OUT,
        METRIC_NET_FRAMES,  /* of an adapter on a switch only, as are the next: frames a second, both ways */
        METRIC_NET_DROPPED, /* frames a second that policies refused, or that were too many for who was to take them */
        METRICS,
} Metric;

bool metric_is_counter(Metric metric);

/* What was read: of counters the sum so far. @at_ms (monotonic): when; of counters that were not read again it stays.
 */
typedef struct {
        double value[METRICS];
        int64_t at_ms[METRICS];
} Reading;

/* Nothing known, at @now_ms. */
void reading_init(Reading *reading, int64_t now_ms);

/* The last of each counter, to tell rates by. All zero at first. */
typedef struct {
        double value[METRICS], rate[METRICS];
        int64_t at_ms[METRICS];
        bool known[METRICS];
} Rates;

/*
 * Amounts as they are, counters as rates since they were last read. A counter that fell, or a clock that did, starts
 * over: NAN this time. A rate holds for METRIC_STALE_MS when its counter is not read again. What is negative or no
 * number is NAN, and counted in the result.
 */
#define METRIC_STALE_MS 60000
unsigned rates_add(Rates *rates, const Reading *reading, int64_t now_ms, float ret_sample[METRICS]);
