/* What is simulated: hosts, VMs, and what each VM asked for at each step. Read from files, bent by what-if flags. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "sched/place.h"

typedef struct {
        char *name;
        SchedHost *hosts;
        unsigned n_hosts;
        SchedVm *vms; /* .host: where it starts */
        unsigned n_vms, steps;
        float *demand; /* [vm * steps + step], in the VM's unit of processor */
        double interval_seconds;
        int fail_step; /* -1: nothing fails */
        unsigned fail_hosts;
} Scenario;

void scenario_free(Scenario *scenario);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scenario, scenario_free)

/*
 * @path: a folder of traces in PlanetLab's form (a file for each VM, a percentage a line; VMs are of four sizes, by
 * quarters of the sorted names, as in CloudSim), or a CSV file (a line for each VM: name, processor, memory in MB, then
 * a percentage for each step). @hosts: a JSON file, a list of {"count", "cores", "core_mips", "ram", "power": [11
 * watts]}; NULL: 400 HP ProLiant ML110 G4 and 400 G5 by turns, memory not counted. HOSTLER_ERROR_INVALID names file and
 * line: a ragged row, a number that is none, a trace without samples, VMs for which there is no room.
 */
Scenario *scenario_read(const char *path, const char *hosts, GError **error);

typedef struct {
        int more_hosts;      /* of each kind in turn; negative: fewer */
        double grow;         /* demand times 1 + this */
        unsigned fail_hosts; /* so many of those in use fail in the middle */
} WhatIf;
bool scenario_bend(Scenario *scenario, const WhatIf *what_if, GError **error);

/* Puts each VM, at its full size, on the first host with room: where all policies start. */
bool scenario_place(Scenario *scenario, GError **error);
