/*
 * From counters to rates: see metric.h. Pure; the clock's values come in as arguments. Called by monitor.c once for
 * each VM and round.
 */
#include "monitor/metric.h"

#include <math.h>

bool metric_is_counter(Metric metric)
{
        return metric != METRIC_MEMORY && metric != METRIC_GUEST_USED && metric != METRIC_BALLOONED;
}

void reading_init(Reading *reading, int64_t now_ms)
{
        for (int i = 0; i < METRICS; i++) {
                reading->value[i] = NAN;
                reading->at_ms[i] = now_ms;
        }
}

static void count(Rates *rates, Metric metric, double value, int64_t at_ms)
{
        int64_t passed_ms = at_ms - rates->at_ms[metric];
        if (rates->known[metric] && passed_ms == 0)
                return;
        bool grew = rates->known[metric] && passed_ms > 0 && value >= rates->value[metric];
        rates->rate[metric] = grew ? (value - rates->value[metric]) * 1000 / (double)passed_ms : NAN;
        rates->value[metric] = value;
        rates->at_ms[metric] = at_ms;
        rates->known[metric] = true;
}

static float rate_now(const Rates *rates, Metric metric, int64_t now_ms)
{
        return rates->known[metric] && now_ms - rates->at_ms[metric] <= METRIC_STALE_MS ? (float)rates->rate[metric]
                                                                                        : NAN;
}

unsigned rates_add(Rates *rates, const Reading *reading, int64_t now_ms, float ret_sample[METRICS])
{
        unsigned wrong = 0;
        for (Metric metric = 0; metric < METRICS; metric++) {
                double value = reading->value[metric];
                bool good = isfinite(value) && value >= 0;
                wrong += isinf(value) || value < 0;
                if (metric_is_counter(metric) && good)
                        count(rates, metric, value, reading->at_ms[metric]);
                ret_sample[metric] = metric_is_counter(metric) ? rate_now(rates, metric, now_ms)
                                     : good                    ? (float)value
                                                               : NAN;
        }
        return wrong;
}
