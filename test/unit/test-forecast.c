/* Forecasts: what is learnt from samples whose law is known. */
#include "sched/forecast.h"

#include <glib.h>
#include <math.h>

static const ForecastPolicy policy = {.window_samples = 400,
                                      .variance_window_samples = 4000,
                                      .prior_share = 0.1,
                                      .prior_pull = 0.5,
                                      .prior_samples = 1,
                                      .prior_spread = 0.1,
                                      .prior_skew = 1,
                                      .trend_gain = 0.5};

static void assert_near(double value, double expected, double tolerance)
{
        if (fabs(value - expected) > tolerance)
                g_error("%g is not within %g of %g", value, tolerance, expected);
}

static double noise(GRand *random)
{
        double sum = 0;
        for (int i = 0; i < 12; i++)
                sum += g_rand_double(random);
        return sum - 6;
}

/* x' = m + rho (x - m) + e is recovered: mean, variance, rho. */
static void test_process(void)
{
        g_autoptr(GRand) random = g_rand_new_with_seed(7);
        const double mean = 0.5, rho = 0.7, deviation = 0.05;
        Forecast forecast = {0};
        double x = mean;

        for (int i = 0; i < 20000; i++) {
                x = mean + rho * (x - mean) + sqrt(1 - rho * rho) * deviation * noise(random);
                g_assert_true(forecast_add(&forecast, &policy, x));
        }
        assert_near(forecast.mean, mean, 0.02);
        assert_near(sqrt(forecast.variance), deviation, 0.005);
        assert_near(forecast_memory(&forecast), rho, 0.06);
}

static void test_ahead(void)
{
        Forecast forecast = {.samples = 50, .mean = 0.4, .variance = 0.01, .covariance = 0.005, .last = 0.8};
        double mean, variance;

        forecast_ahead(&forecast, 1, &mean, &variance);
        assert_near(mean, 0.6, 1e-12);
        assert_near(variance, 0.01 * 0.75, 1e-12);
        forecast_ahead(&forecast, 2, &mean, &variance);
        assert_near(mean, 0.5, 1e-12);
        forecast_ahead(&forecast, 1000, &mean, &variance);
        assert_near(mean, 0.4, 1e-12);
        assert_near(variance, 0.01, 1e-12);
}

/* One sample moves the mean part of the way from what all VMs do. */
static void test_first_sample(void)
{
        Forecast forecast = {0};
        g_assert_true(forecast_add(&forecast, &policy, 0.5));
        assert_near(forecast.mean, 0.3, 1e-12);
        assert_near(forecast.variance, 0.1 * 0.3 * 0.7, 1e-12);
        g_assert_cmpfloat(forecast_variance(&forecast, &policy), >, forecast.variance);
}

static void test_nonsense(void)
{
        Forecast forecast = {0};
        forecast_add(&forecast, &policy, 0.5);
        Forecast before = forecast;
        g_assert_false(forecast_add(&forecast, &policy, NAN));
        g_assert_false(forecast_add(&forecast, &policy, INFINITY));
        g_assert_false(forecast_add(&forecast, &policy, -0.1));
        g_assert_cmpmem(&forecast, sizeof forecast, &before, sizeof before);
        g_assert_true(forecast_add(&forecast, &policy, 7));
        g_assert_cmpfloat(forecast.last, ==, 1);
}

static void test_trend(void)
{
        double factor = 1;
        forecast_trend_add(&factor, &policy, 50, 100);
        g_assert_cmpfloat(factor, ==, 0.75);
        forecast_trend_add(&factor, &policy, 50, 0);
        forecast_trend_add(&factor, &policy, NAN, 100);
        g_assert_cmpfloat(factor, ==, 0.75);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/forecast/process", test_process);
        g_test_add_func("/forecast/ahead", test_ahead);
        g_test_add_func("/forecast/first-sample", test_first_sample);
        g_test_add_func("/forecast/nonsense", test_nonsense);
        g_test_add_func("/forecast/trend", test_trend);
        return g_test_run();
}
