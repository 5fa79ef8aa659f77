/*
 * What the kernel tells of a process and of the host: files below /proc, read anew each round.
 *
 * Sources: proc(5) (PID/stat, stat, meminfo, diskstats, net/dev), Documentation/scheduler/sched-stats.rst
 * (PID/task/TID/schedstat: time on a processor, time waiting for one, in ns), Documentation/accounting/psi.rst. Never
 * fails: what cannot be read is left as it is in the reading. One thread at a time for each ProcThreads.
 */
#pragma once

#include "base/process.h"
#include "host/host_facts.h"
#include "monitor/metric.h"

/* The threads that are a QEMU's processors, looked up now and then. All zero at first. */
typedef struct {
        pid_t pid;
        unsigned age;
        GArray *threads; /* of pid_t; NULL: not looked up yet */
} ProcThreads;
void proc_threads_clear(ProcThreads *threads);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ProcThreads, proc_threads_clear)

/* METRIC_CPU, _VCPU, _WAIT, _MEMORY of one QEMU. False when the process is gone, or is not that one any more. */
bool proc_read_qemu(const HostPaths *paths, ProcessId process, ProcThreads *threads, Reading *reading);
/* Of the host: all but what only a guest has. */
void proc_read_host(const HostPaths *paths, Reading *reading);
