/*
 * From the monitor's past to an outlook, and what is worth doing about it. Nothing is asked of QEMU; a look at a day of
 * minutes takes a millisecond or two.
 */
#include "vm/govern/foresee.h"

#include <math.h>

#include "base/clock.h"
#include "base/error.h"
#include "host/host_facts.h"
#include "hostler-handlers.h"

#define DAY_MS (24 * 3600 * 1000LL)
#define MINUTE_MS (60 * 1000LL)
#define ROUNDS_PER_LOOK (MINUTE_MS / MONITOR_PERIOD_MS)
/* Fewer minutes than that, and two-second samples say more. */
#define LEAST_MINUTES 15
#define MOST_POINTS 2000

typedef struct {
        int64_t step_ms;
        unsigned samples;
        Outlook outlook;
} Foreseen;

/* @capacity: processors. */
static double load_of(const SeriesPoint *point, bool is_host, double capacity)
{
        const float *values = point->values;
        double waited = isnan(values[METRIC_WAIT]) ? 0 : values[METRIC_WAIT];
        double used = isnan(values[METRIC_VCPU]) ? values[METRIC_CPU] : values[METRIC_VCPU];
        return is_host ? values[METRIC_CPU] / capacity * (1 + waited) : (used + waited) / capacity;
}

static bool look(Manager *manager, const char *object, double capacity, int64_t since_ms, Foreseen *ret_foreseen,
                 GError **error)
{
        int64_t now_ms = clock_unix_ms();
        g_autoptr(GArray) loads = g_array_new(FALSE, FALSE, sizeof(double));
        g_autoptr(GArray) points = monitor_read(manager_monitor(manager), object, now_ms - since_ms, now_ms, now_ms,
                                                MOST_POINTS, &ret_foreseen->step_ms, error);
        if (!points)
                return false;
        for (guint i = 0; i < points->len; i++) {
                double load =
                    load_of(&g_array_index(points, SeriesPoint, i), g_str_equal(object, MONITOR_HOST), capacity);
                g_array_append_val(loads, load);
        }
        ret_foreseen->samples = loads->len;
        return outlook_of((const double *)loads->data, loads->len, &ret_foreseen->outlook) ||
               error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "%u samples are too few to tell from", loads->len);
}

/* By the minute where there are enough of them. */
static bool foresee(Manager *manager, const char *object, double capacity, Foreseen *ret_foreseen, GError **error)
{
        if (look(manager, object, capacity, DAY_MS, ret_foreseen, NULL) && ret_foreseen->samples >= LEAST_MINUTES)
                return true;
        return look(manager, object, capacity, LEAST_MINUTES * MINUTE_MS, ret_foreseen, error);
}

/* ---- the verbs ---- */

static double rounded(double value)
{
        return round(value * 1000) / 1000;
}

static char *advice_of(const Outlook *outlook, const char *remedy)
{
        if (outlook->state != HOST_OVERLOADED && outlook->overload_within < 0.5)
                return g_strdup("nothing: overload is not expected");
        if (outlook->stay.stay <= OUTLOOK_MOVE_COST)
                return g_strdup("nothing: what overload is expected costs less than a move");
        if (outlook->relieve < 0.5)
                return g_strdup("nothing yet: overload stays below a tenth of the time");
        return g_strdup(remedy);
}

static void fill_ahead(const Foreseen *foreseen, HostlerForecastStepList *list)
{
        list->items = g_new0(HostlerForecastStep, OUTLOOK_AHEAD);
        list->count = OUTLOOK_AHEAD;
        for (int i = 0; i < OUTLOOK_AHEAD; i++) {
                record_init(&hostler_forecast_step_type, &list->items[i]);
                list->items[i].after = foreseen->step_ms * outlook_ahead[i];
                list->items[i].mean = rounded(foreseen->outlook.ahead_mean[i]);
                list->items[i].deviation = rounded(foreseen->outlook.ahead_deviation[i]);
        }
}

static void fill_states(const Outlook *outlook, HostlerForecastStateList *list)
{
        list->items = g_new0(HostlerForecastState, HOST_STATES);
        for (int state = HOST_IDLE; state <= HOST_OVERLOADED; state++) {
                HostlerForecastState *item = &list->items[list->count++];
                record_init(&hostler_forecast_state_type, item);
                item->state = g_strdup(host_state_names[state]);
                item->share = rounded(outlook->share[state]);
        }
}

static int64_t duration_of(const Foreseen *foreseen, double steps)
{
        return isfinite(steps) ? (int64_t)(steps * (double)foreseen->step_ms) : HOSTLER_UNSET;
}

static void fill(const Foreseen *foreseen, const char *object, const char *remedy, HostlerForecast *result)
{
        const Outlook *outlook = &foreseen->outlook;
        record_init(&hostler_forecast_type, result);
        result->object = g_strdup(object);
        result->step = foreseen->step_ms;
        result->samples = foreseen->samples;
        result->load = rounded(outlook->load);
        result->state = g_strdup(host_state_names[outlook->state]);
        result->mean = rounded(outlook->mean);
        result->deviation = rounded(outlook->deviation);
        result->memory = rounded(outlook->memory);
        fill_ahead(foreseen, &result->ahead);
        fill_states(outlook, &result->states);
        result->overload_within = rounded(outlook->overload_within);
        result->time_to_overload = duration_of(foreseen, outlook->steps_to_overload);
        result->overload_ahead = duration_of(foreseen, outlook->stay.stay);
        if (outlook->overload_steps > 0)
                result->overload_length = duration_of(foreseen, outlook->overload_steps);
        result->advice = advice_of(outlook, remedy);
}

bool vm_forecast(const Call *call, const HostlerVmForecastArgs *args, HostlerForecast *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        Foreseen foreseen;
        if (!vm)
                return false;
        g_autofree char *object = vm_object(vm);
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerCpuProps *cpu = spec_part(&spec->value, "cpu")->props;
        double capacity = (double)cpu->count;
        if (cpu->limit != HOSTLER_UNSET)
                capacity = MIN(capacity, (double)cpu->limit / 100);
        if (!foresee(call->manager, vm_id(vm), capacity, &foreseen, error))
                return error_wrap(error, HOSTLER_ERROR_WRONG_STATE, object, "no forecast of the VM");
        fill(&foreseen, object, "more processors (cpu.count), or a larger cpu.limit", ret_result);
        return true;
}

bool host_forecast(const Call *call, const HostlerHostForecastArgs *args, HostlerForecast *ret_result, GError **error)
{
        HostFacts facts = host_facts_read(&host_paths);
        Foreseen foreseen;
        if (!foresee(call->manager, MONITOR_HOST, facts.cpus, &foreseen, error))
                return error_wrap(error, HOSTLER_ERROR_WRONG_STATE, "host", "no forecast of the host");
        fill(&foreseen, "host", "stop or move a VM, or limit one (cpu.limit)", ret_result);
        return true;
}

/* ---- the event ---- */

void foresee_round(Manager *manager, OutlookRounds *rounds)
{
        Foreseen foreseen;
        OutlookStage stage;
        if (++rounds->round % ROUNDS_PER_LOOK != 0)
                return;
        HostFacts facts = host_facts_read(&host_paths);
        if (!look(manager, MONITOR_HOST, facts.cpus, DAY_MS, &foreseen, NULL) ||
            !outlook_watch(&rounds->watch, &foreseen.outlook, &stage))
                return;
        event_emit(manager_events(manager), "host-outlook", "host",
                   json_pack("{s:s, s:f, s:f}", "stage", outlook_stage_names[stage], "load",
                             rounded(foreseen.outlook.load), "overload_within",
                             rounded(foreseen.outlook.overload_within)));
}
