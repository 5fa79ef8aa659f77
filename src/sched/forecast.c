/*
 * Forecasts: see forecast.h. On traces of real machines demand is nearly white noise about a level that wanders over
 * hours, so the mean is what matters most; rho is small and only the first steps ahead gain from it.
 */
#include "sched/forecast.h"

#include <glib.h>
#include <math.h>

#define SMALLEST_VARIANCE 1e-9

static void start(Forecast *forecast, const ForecastPolicy *policy, double share)
{
        double mean = policy->prior_share + policy->prior_pull * (share - policy->prior_share);
        double variance = policy->prior_spread * mean * (1 - mean);
        *forecast = (Forecast){.samples = policy->prior_samples,
                               .mean = mean,
                               .variance = variance,
                               .third = policy->prior_skew * variance * sqrt(variance),
                               .last = share};
}

bool forecast_add(Forecast *forecast, const ForecastPolicy *policy, double share)
{
        if (!isfinite(share) || share < 0)
                return false;
        share = MIN(share, 1);
        if (forecast->samples <= 0) {
                start(forecast, policy, share);
                return true;
        }
        forecast->samples += 1;
        double weight = 1 / MIN(forecast->samples, policy->window_samples);
        double slow = 1 / MIN(forecast->samples, policy->variance_window_samples);
        double error = share - forecast->mean;
        double together = error * (forecast->last - forecast->mean);
        forecast->mean += weight * error;
        forecast->variance += slow * (error * error * (1 - weight) - forecast->variance);
        forecast->third += slow * (error * error * error * (1 - weight) - forecast->third);
        forecast->covariance += slow * (together * (1 - weight) - forecast->covariance);
        forecast->last = share;
        return true;
}

double forecast_memory(const Forecast *forecast)
{
        return forecast->variance < SMALLEST_VARIANCE ? 0 : CLAMP(forecast->covariance / forecast->variance, 0, 0.999);
}

void forecast_ahead(const Forecast *forecast, unsigned steps, double *ret_mean, double *ret_variance)
{
        double left = pow(forecast_memory(forecast), steps);
        *ret_mean = forecast->mean + left * (forecast->last - forecast->mean);
        *ret_variance = forecast->variance * (1 - left * left);
}

double forecast_variance(const Forecast *forecast, const ForecastPolicy *policy)
{
        double independent = MAX(MIN(forecast->samples, policy->window_samples), 1);
        return forecast->variance * (1 + 1 / independent);
}

double forecast_cumulant(const Forecast *forecast)
{
        return forecast->third;
}

void forecast_trend_add(double *factor, const ForecastPolicy *policy, double asked, double expected)
{
        if (expected > 0 && isfinite(asked))
                *factor += policy->trend_gain * (asked / expected - *factor);
}
