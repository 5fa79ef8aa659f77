/*
 * Reading traces and hosts. Everything foreign is checked here, so that what simulates need not.
 */
#include "simulate/scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define FILE_LIMIT_BYTES (1024 * 1024 * 1024)
#define MB_PER_SECOND 62.5 /* half of 1 Gbit/s, as CloudSim has it */
#define DEFAULT_HOSTS 800
#define LARGEST 1e12 /* of a VM, in any unit */

/* SPECpower_ssj2008 of HP ProLiant ML110 G4 and G5, and the VM sizes that CloudSim 3 takes from EC2. */
static const double g4_watts[] = {86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117};
static const double g5_watts[] = {93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135};
static const struct {
        double mips, ram;
} vm_sizes[] = {{2500, 870}, {2000, 1740}, {1000, 1740}, {500, 613}};

typedef struct {
        GArray *vms;     /* of SchedVm */
        GArray *percent; /* of float, VM by VM */
        unsigned steps;  /* 0: not known yet */
} Traces;

void scenario_free(Scenario *scenario)
{
        g_free(scenario->name);
        g_free(scenario->hosts);
        g_free(scenario->vms);
        g_free(scenario->demand);
        g_free(scenario);
}

static bool refuse(GError **error, const char *path, unsigned line, const char *what)
{
        return error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s, line %u: %s", path, line, what);
}

static bool add_percent(Traces *traces, const char *word, const char *path, unsigned line, GError **error)
{
        char *end;
        double value = g_ascii_strtod(word, &end);
        if (end == word || *g_strchug(end) || !isfinite(value) || value < 0 || value > 100)
                return refuse(error, path, line, "not a percentage");
        float share = (float)(value / 100);
        g_array_append_val(traces->percent, share);
        return true;
}

/* All VMs must have as many samples. */
static bool end_vm(Traces *traces, SchedVm vm, unsigned samples, const char *path, unsigned line, GError **error)
{
        if (samples == 0)
                return refuse(error, path, line, "a trace without samples");
        if (traces->steps == 0)
                traces->steps = samples;
        if (samples != traces->steps) {
                g_autofree char *what = g_strdup_printf("%u samples, where others have %u", samples, traces->steps);
                return refuse(error, path, line, what);
        }
        vm.move_seconds = vm.memory / MB_PER_SECOND;
        vm.host = -1;
        g_array_append_val(traces->vms, vm);
        return true;
}

static bool read_planetlab(Traces *traces, const char *path, SchedVm vm, GError **error)
{
        g_autofree char *text = file_read(path, FILE_LIMIT_BYTES, NULL, error);
        unsigned samples = 0;

        if (!text)
                return false;
        g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
        for (char **line = lines; *line; line++, samples++)
                if (!add_percent(traces, *line, path, samples + 1, error))
                        return false;
        return end_vm(traces, vm, samples, path, samples, error);
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_folder(Traces *traces, const char *path, GError **error)
{
        g_autoptr(GDir) folder = g_dir_open(path, 0, error);
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        const char *name;

        if (!folder)
                return false;
        while ((name = g_dir_read_name(folder)))
                if (name[0] != '.')
                        g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_sort(names, by_name);
        guint quarter = (names->len + 3) / 4;
        for (guint i = 0; i < names->len; i++) {
                g_autofree char *file = g_build_filename(path, g_ptr_array_index(names, i), NULL);
                SchedVm vm = {.cpu = vm_sizes[i / quarter].mips,
                              .core = vm_sizes[i / quarter].mips,
                              .memory = vm_sizes[i / quarter].ram};
                if (!read_planetlab(traces, file, vm, error))
                        return false;
        }
        return true;
}

static bool read_csv(Traces *traces, const char *path, GError **error)
{
        g_autofree char *text = file_read(path, FILE_LIMIT_BYTES, NULL, error);
        if (!text)
                return false;
        g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);
        for (unsigned i = 0; lines[i]; i++) {
                g_auto(GStrv) words = g_strsplit(g_strstrip(lines[i]), ",", -1);
                unsigned n = g_strv_length(words);
                if (n < 4)
                        return refuse(error, path, i + 1, "a VM needs a name, processor, memory and samples");
                SchedVm vm = {.cpu = g_ascii_strtod(words[1], NULL), .memory = g_ascii_strtod(words[2], NULL)};
                vm.core = vm.cpu;
                if (!(vm.cpu > 0 && vm.cpu <= LARGEST && vm.memory >= 0 && vm.memory <= LARGEST))
                        return refuse(error, path, i + 1, "processor and memory must be positive numbers");
                for (unsigned j = 3; j < n; j++)
                        if (!add_percent(traces, words[j], path, i + 1, error))
                                return false;
                if (!end_vm(traces, vm, n - 3, path, i + 1, error))
                        return false;
        }
        return true;
}

static bool add_kind(GArray *hosts, const json_t *entry, GError **error)
{
        json_int_t count = json_integer_value(json_object_get(entry, "count"));
        double cores = json_number_value(json_object_get(entry, "cores"));
        SchedHost host = {.core = json_number_value(json_object_get(entry, "core_mips")),
                          .memory = json_number_value(json_object_get(entry, "ram"))};
        const json_t *power = json_object_get(entry, "power");

        host.cpu = cores * host.core;
        if (count < 1 || count > 1000000 || !(host.cpu > 0) || host.memory < 0 ||
            json_array_size(power) != SCHED_POWER_POINTS)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "each kind of host needs count, cores, core_mips, ram and %d values of power",
                                 SCHED_POWER_POINTS);
        for (int i = 0; i < SCHED_POWER_POINTS; i++)
                host.watts[i] = json_number_value(json_array_get(power, (size_t)i));
        while (count-- > 0)
                g_array_append_val(hosts, host);
        return true;
}

static bool read_hosts(GArray *hosts, const char *path, GError **error)
{
        g_autofree char *text = file_read(path, FILE_LIMIT_BYTES, NULL, error);
        json_error_t fault;
        size_t index;
        json_t *entry;

        if (!text)
                return false;
        json_auto_t *list = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
        if (!json_is_array(list) || json_array_size(list) == 0)
                return refuse(error, path, (unsigned)MAX(fault.line, 1),
                              list ? "not a list of kinds of hosts" : fault.text);
        json_array_foreach (list, index, entry) {
                if (!add_kind(hosts, entry, error))
                        return error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s", path);
        }
        return true;
}

static void default_hosts(GArray *hosts)
{
        for (int i = 0; i < DEFAULT_HOSTS; i++) {
                SchedHost host = {.core = i % 2 ? 2660 : 1860};
                host.cpu = 2 * host.core;
                memcpy(host.watts, i % 2 ? g5_watts : g4_watts, sizeof host.watts);
                g_array_append_val(hosts, host);
        }
}

static Scenario *assemble(const char *path, Traces *traces, GArray *hosts_taken)
{
        Scenario *scenario = g_new0(Scenario, 1);
        g_autofree char *trimmed = g_strdup(path);

        while (strlen(trimmed) > 1 && g_str_has_suffix(trimmed, "/"))
                trimmed[strlen(trimmed) - 1] = '\0';
        scenario->name = g_path_get_basename(trimmed);
        scenario->n_hosts = hosts_taken->len;
        scenario->hosts = (SchedHost *)g_array_free(hosts_taken, FALSE);
        scenario->n_vms = traces->vms->len;
        scenario->steps = traces->steps;
        scenario->vms = g_memdup2(traces->vms->data, traces->vms->len * sizeof(SchedVm));
        scenario->demand = g_memdup2(traces->percent->data, traces->percent->len * sizeof(float));
        for (unsigned i = 0; i < scenario->n_vms; i++)
                for (unsigned step = 0; step < scenario->steps; step++)
                        scenario->demand[(gsize)i * scenario->steps + step] *= (float)scenario->vms[i].cpu;
        scenario->interval_seconds = 300;
        scenario->fail_step = -1;
        return scenario;
}

Scenario *scenario_read(const char *path, const char *hosts_path, GError **error)
{
        Traces traces = {g_array_new(FALSE, FALSE, sizeof(SchedVm)), g_array_new(FALSE, FALSE, sizeof(float)), 0};
        GArray *hosts = g_array_new(FALSE, FALSE, sizeof(SchedHost));
        Scenario *scenario = NULL;
        bool read =
            g_file_test(path, G_FILE_TEST_IS_DIR) ? read_folder(&traces, path, error) : read_csv(&traces, path, error);

        if (read && traces.vms->len == 0)
                read = error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s: no traces", path);
        if (read && hosts_path)
                read = read_hosts(hosts, hosts_path, error);
        if (!hosts_path)
                default_hosts(hosts);
        if (read)
                scenario = assemble(path, &traces, g_steal_pointer(&hosts));
        g_clear_pointer(&hosts, g_array_unref);
        g_array_unref(traces.vms);
        g_array_unref(traces.percent);
        return scenario;
}

bool scenario_bend(Scenario *scenario, const WhatIf *what_if, GError **error)
{
        int hosts = (int)scenario->n_hosts + what_if->more_hosts;
        if (hosts < 1)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "no host would be left of %u", scenario->n_hosts);
        scenario->hosts = g_renew(SchedHost, scenario->hosts, hosts);
        for (int i = (int)scenario->n_hosts; i < hosts; i++)
                scenario->hosts[i] = scenario->hosts[i % (int)scenario->n_hosts];
        scenario->n_hosts = (unsigned)hosts;
        for (unsigned i = 0; i < scenario->n_vms; i++)
                for (unsigned step = 0; step < scenario->steps; step++) {
                        float *demand = &scenario->demand[(gsize)i * scenario->steps + step];
                        *demand = (float)MIN(*demand * (1 + what_if->grow), scenario->vms[i].cpu);
                }
        scenario->fail_hosts = what_if->fail_hosts;
        scenario->fail_step = what_if->fail_hosts ? (int)scenario->steps / 2 : -1;
        return true;
}

bool scenario_place(Scenario *scenario, GError **error)
{
        g_autofree double *cpu = g_new0(double, scenario->n_hosts);
        g_autofree double *memory = g_new0(double, scenario->n_hosts);
        unsigned from = 0; /* hosts before it are full */

        for (unsigned i = 0; i < scenario->n_vms; i++) {
                SchedVm *vm = &scenario->vms[i];
                for (unsigned at = from; at < scenario->n_hosts && vm->host < 0; at++) {
                        const SchedHost *host = &scenario->hosts[at];
                        if (host->core < vm->core || cpu[at] + vm->cpu > host->cpu ||
                            (host->memory > 0 && memory[at] + vm->memory > host->memory))
                                continue;
                        vm->host = (int)at;
                        cpu[at] += vm->cpu;
                        memory[at] += vm->memory;
                }
                if (vm->host < 0)
                        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL,
                                         "no host has room for VM %u at its full size (%g, %g MB)", i, vm->cpu,
                                         vm->memory);
                while (from < scenario->n_hosts && cpu[from] >= scenario->hosts[from].cpu)
                        from++;
        }
        return true;
}
