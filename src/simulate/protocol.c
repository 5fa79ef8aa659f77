/*
 * What protocol.h describes, around a Placer: parses, hands over, answers. It decides nothing, so what is measured
 * through it is what production runs.
 */
#include "simulate/protocol.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

typedef struct {
        FILE *in, *out;
        char *text; /* of the current line */
        size_t capacity;
        unsigned number; /* of the current line */
        Placer *placer;
} Session;

static bool refuse(const Session *session, const char *what, GError **error)
{
        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "line %u: %s", session->number, what);
}

/* NULL without error at the end. */
static json_t *next_line(Session *session, GError **error)
{
        json_error_t fault;
        if (getline(&session->text, &session->capacity, session->in) < 0)
                return NULL;
        session->number++;
        json_t *value = json_loads(session->text, JSON_REJECT_DUPLICATES, &fault);
        if (!value)
                refuse(session, fault.text, error);
        return value;
}

static double number_of(const json_t *value)
{
        return json_is_number(value) ? json_number_value(value) : NAN;
}

static double member(const json_t *object, const char *key)
{
        return number_of(json_object_get(object, key));
}

static SchedHost host_of(const json_t *entry)
{
        SchedHost host = {.core = member(entry, "core_mips"), .memory = member(entry, "ram")};
        host.cpu = member(entry, "cores") * host.core;
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                host.watts[i] = number_of(json_array_get(json_object_get(entry, "power"), (size_t)i));
        return host;
}

static SchedVm vm_of(const json_t *entry, double mb_per_second)
{
        SchedVm vm = {.core = member(entry, "mips"), .memory = member(entry, "ram")};
        vm.cpu = member(entry, "cores") * vm.core;
        vm.move_seconds = vm.memory / mb_per_second;
        json_t *host = json_object_get(entry, "host");
        vm.host = json_is_integer(host) ? (int)CLAMP(json_integer_value(host), -1, G_MAXINT) : -1;
        return vm;
}

/* Whether the n-th entry has id n. */
static bool ids_count(const json_t *list)
{
        size_t index;
        json_t *entry;
        json_array_foreach (list, index, entry) {
                if (json_integer_value(json_object_get(entry, "id")) != (json_int_t)index)
                        return false;
        }
        return true;
}

static bool start(Session *session, const json_t *init, PlaceStyle style, GError **error)
{
        const json_t *hosts = json_object_get(init, "hosts"), *vms = json_object_get(init, "vms");
        double rate = member(init, "migration_mb_per_s"), interval = member(init, "interval");
        PlacePolicy policy = place_policy(style);

        if (!json_is_array(hosts) || !json_is_array(vms) || !(rate > 0) || !(interval > 0))
                return refuse(session, "it must have hosts, vms, interval and migration_mb_per_s", error);
        if (!ids_count(hosts) || !ids_count(vms))
                return refuse(session, "ids must count from 0", error);
        unsigned n_hosts = (unsigned)json_array_size(hosts), n_vms = (unsigned)json_array_size(vms);
        g_autofree SchedHost *host_list = g_new(SchedHost, MAX(n_hosts, 1));
        g_autofree SchedVm *vm_list = g_new(SchedVm, MAX(n_vms, 1));
        for (unsigned i = 0; i < n_hosts; i++)
                host_list[i] = host_of(json_array_get(hosts, i));
        for (unsigned i = 0; i < n_vms; i++)
                vm_list[i] = vm_of(json_array_get(vms, i), rate);
        policy.interval_seconds = interval;
        session->placer = placer_new(&policy, host_list, n_hosts, vm_list, n_vms, NULL, 0, error);
        return session->placer;
}

static void take_sample(Session *session, const json_t *sample)
{
        json_int_t vm = json_integer_value(json_array_get(sample, 0)),
                   host = json_integer_value(json_array_get(sample, 1));
        if (!json_is_integer(json_array_get(sample, 0)) || vm < 0 || vm > G_MAXINT)
                vm = G_MAXINT; /* dropped and counted */
        placer_sample(session->placer, (unsigned)vm, (int)CLAMP(host, -1, G_MAXINT),
                      number_of(json_array_get(sample, 2)));
}

static bool answer(Session *session, GError **error)
{
        const GArray *moves = placer_decide(session->placer);

        fputs("{\"migrations\":[", session->out);
        for (guint i = 0; i < moves->len; i++) {
                const PlaceMove *move = &g_array_index(moves, PlaceMove, i);
                fprintf(session->out, "%s[%u,%d]", i ? "," : "", move->vm, move->to);
        }
        fputs("],\"on\":[],\"off\":[]}\n", session->out);
        return fflush(session->out) == 0 ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "cannot write the answer: %s", g_strerror(errno));
}

static bool step(Session *session, const json_t *line, GError **error)
{
        const json_t *vms = json_object_get(line, "vms");
        size_t index;
        json_t *sample;

        if (!json_is_array(vms))
                return refuse(session, "it must have vms", error);
        placer_begin(session->placer);
        json_array_foreach (vms, index, sample)
                take_sample(session, sample);
        return answer(session, error);
}

static bool run(Session *session, PlaceStyle style, GError **error)
{
        json_auto_t *init = next_line(session, error);
        GError *fault = NULL;

        if (!init)
                return error && *error ? false
                                       : error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no first line");
        if (!start(session, init, style, error))
                return false;
        for (;;) {
                json_auto_t *line = next_line(session, &fault);
                if (fault)
                        g_propagate_error(error, fault);
                if (!line)
                        return !fault;
                if (!step(session, line, error))
                        return false;
        }
}

bool protocol_run(FILE *in, FILE *out, FILE *notes, PlaceStyle style, GError **error)
{
        Session session = {.in = in, .out = out};
        bool done = run(&session, style, error);
        unsigned dropped = session.placer ? placer_state(session.placer).dropped : 0;

        if (dropped > 0)
                fprintf(notes, "%u samples made no sense and were dropped\n", dropped);
        free(session.text);
        g_clear_pointer(&session.placer, placer_free);
        return done;
}
