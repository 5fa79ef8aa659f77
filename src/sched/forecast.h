/*
 * Forecast of one VM's demand, and of the whole fleet's drift: a Gauss-Markov process learnt on line.
 *
 * Demand is a share of the most the VM can ask for, 0..1. Model: x(t+1) = m + rho (x(t) - m) + e, with mean m, variance
 * and lag-one covariance as exponential averages (West, "Updating mean and variance estimates", CACM 22(9), 1979, with
 * a weight that never falls below 1/window). One sample says little, so each VM starts from what VMs with such a sample
 * do on average (an empirical-Bayes prior). Pure: values in, values out; any thread.
 */
#pragma once

#include <stdbool.h>

typedef struct {
        double window_samples;          /* memory of the mean; beyond it old samples fade */
        double variance_window_samples; /* of variance and covariance: shape changes slower than level */
        double prior_share;             /* what a VM asks for on average */
        double prior_pull;              /* how far the first sample moves the first mean: 0 not at all, 1 all the way */
        double prior_samples;           /* how many samples the prior is worth */
        double prior_spread;            /* first variance = this times m (1 - m) */
        double prior_skew;              /* first third moment = this times s^3 */
        double trend_gain;              /* of the fleet's common drift, 0..1 */
} ForecastPolicy;

typedef struct {
        double samples;                    /* with the prior's; 0: none yet */
        double mean, variance, covariance; /* covariance: of neighbouring samples */
        double third;                      /* third central moment */
        double last;
} Forecast;

/* False (and nothing changes) when @share is not a number or negative. Above 1 counts as 1. */
bool forecast_add(Forecast *forecast, const ForecastPolicy *policy, double share);
/* Mean and variance of the share @steps >= 1 samples ahead: m + rho^h (x - m), s2 (1 - rho^2h). */
void forecast_ahead(const Forecast *forecast, unsigned steps, double *ret_mean, double *ret_variance);
/* rho, 0..1 (negative correlation counts as none). */
double forecast_memory(const Forecast *forecast);
/* Variance of a sample about the estimated mean: the process's own and what the mean may be wrong by. */
double forecast_variance(const Forecast *forecast, const ForecastPolicy *policy);

/* Third cumulant of a sample. */
double forecast_cumulant(const Forecast *forecast);

/* Moves the fleet's factor towards asked / expected. Not changed when @expected is not positive. */
void forecast_trend_add(double *factor, const ForecastPolicy *policy, double asked, double expected);
