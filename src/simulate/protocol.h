/*
 * `hostler simulate --stdio`: placement as a child of somebody else's simulator, one JSON text a line each way.
 *
 * First line in: {"init":1, "interval":SECONDS, "migration_mb_per_s":RATE, "hosts":[{"id","cores","core_mips","ram",
 * "power":[11 watts]}…], "vms":[{"id","cores","mips","ram","host"}…]}, not answered; ids count from 0, "mips" is of one
 * core, "ram" in MB (of hosts 0: not counted), "host" -1: nowhere. Then each step: {"step", "t", "hosts":[[id, on,
 * load, vms]…], "vms":[[id, host, wanted, given]…]}, answered by {"migrations":[[vm, host]…], "on":[], "off":[]}.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

#include "sched/place.h"

/* Until @in ends. HOSTLER_ERROR_INVALID names the line that makes no sense; a sample that makes none is dropped, and
 * how many were is said on @notes at the end. */
bool protocol_run(FILE *in, FILE *out, FILE *notes, PlaceStyle style, GError **error);
