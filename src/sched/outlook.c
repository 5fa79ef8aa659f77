/* Outlooks: see outlook.h. Called by src/vm/govern/foresee.c with what the monitor kept. */
#include "sched/outlook.h"

#include <math.h>

#include "sched/control.h"
#include "sched/forecast.h"

const unsigned outlook_ahead[OUTLOOK_AHEAD] = {1, 5, 15, 60};
const char *const outlook_stage_names[] = {"calm", "overload-expected", "overloaded"};

/* A forecast is of shares up to 1, and a load may be more. */
#define SCALE 4.0

/* The first sample is the first mean. */
static const ForecastPolicy policy = {
    .window_samples = 15, .variance_window_samples = 125, .prior_pull = 1, .prior_samples = 1, .prior_spread = 0.001};

static void read_forecast(const Forecast *forecast, Outlook *outlook)
{
        outlook->mean = forecast->mean * SCALE;
        outlook->deviation = sqrt(MAX(forecast->variance, 0)) * SCALE;
        outlook->memory = forecast_memory(forecast);
        for (int i = 0; i < OUTLOOK_AHEAD; i++) {
                double mean, variance;
                forecast_ahead(forecast, outlook_ahead[i], &mean, &variance);
                outlook->ahead_mean[i] = mean * SCALE;
                outlook->ahead_deviation[i] = sqrt(MAX(variance, 0)) * SCALE;
        }
}

/* Relief brings a host back to a normal load. */
static double worth_relief(const ChainMatrix matrix, HostState now)
{
        static const double relieved[HOST_STATES] = {[HOST_NORMAL] = 1};
        Control control;
        return control_solve(matrix, now, relieved, OUTLOOK_GOAL, &control, NULL) ? control.relieve[now] : 1;
}

static void read_chain(const Chain *chain, Outlook *outlook)
{
        ChainMatrix matrix;
        double steps[HOST_STATES];
        chain_matrix(chain, matrix);
        outlook->state = chain_now(chain);
        chain_stationary(matrix, outlook->state, outlook->share);
        chain_time_to(matrix, HOST_OVERLOADED, steps);
        outlook->steps_to_overload = steps[outlook->state];
        outlook->overload_within =
            outlook->state == HOST_OVERLOADED
                ? 1
                : chain_within(matrix, outlook->state, HOST_OVERLOADED, outlook_ahead[OUTLOOK_AHEAD - 1]);
        bool seen = outlook->state == HOST_OVERLOADED || isfinite(outlook->steps_to_overload);
        outlook->overload_steps = seen ? chain_visit(matrix, HOST_OVERLOADED) : 0;
        outlook->relieve = worth_relief(matrix, outlook->state);
        outlook->stay = stay_or_move(matrix, outlook->state, OUTLOOK_MOVE_COST, outlook_ahead[OUTLOOK_AHEAD - 1]);
}

bool outlook_of(const double *loads, unsigned n, Outlook *ret_outlook)
{
        Forecast forecast = {0};
        Chain chain = {0};
        *ret_outlook = (Outlook){0};
        for (unsigned i = 0; i < n; i++) {
                if (!forecast_add(&forecast, &policy, loads[i] / SCALE))
                        continue;
                chain_add(&chain, host_state(true, false, loads[i]));
                ret_outlook->load = loads[i];
        }
        if (chain.count < OUTLOOK_LEAST_SAMPLES)
                return false;
        read_forecast(&forecast, ret_outlook);
        read_chain(&chain, ret_outlook);
        return true;
}

bool outlook_watch(OutlookWatch *watch, const Outlook *outlook, OutlookStage *ret_stage)
{
        OutlookStage stage = outlook->state == HOST_OVERLOADED ? OUTLOOK_OVERLOADED
                             : outlook->overload_within > 0.5  ? OUTLOOK_EXPECTED
                                                               : OUTLOOK_CALM;
        watch->looks = stage == watch->seen ? watch->looks + 1 : 1;
        watch->seen = stage;
        *ret_stage = stage;
        if (watch->looks < OUTLOOK_LOOKS || stage == watch->told)
                return false;
        watch->told = stage;
        return true;
}
