/* From a plan to a process, for what starts one before its VM does (warm/warm.c). Any thread that may block. */
#pragma once

#include "base/process.h"
#include "vm/manager.h"

/* QEMU's command line for @run; @early: with what it can have before its VM starts (device/early.h); @incoming: it
 * waits for a state. g_strfreev. */
char **launch_argv(Vm *vm, const HostlerVmRuntime *run, bool early, bool incoming, GError **error);
/*
 * Starts the QEMU @argv in @vm's folder, stopped before its first instruction. It ends with the pipe @tie_fd (see
 * KeeperLaunch) unless it is untied. Nobody is connected to it, and the VM knows nothing of it.
 */
bool launch_waiting(Vm *vm, const HostlerVmRuntime *run, char *const *argv, int tie_fd, ProcessId *ret_qemu,
                    GError **error);
