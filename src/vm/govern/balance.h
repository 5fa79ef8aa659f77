/* Plans of where VMs would best run: this host's VMs and their measured past, and hosts as somebody describes them. Any
 * thread; a plan of a thousand VMs takes some tenths of a second. */
#pragma once

#include "vm/manager.h"

/* @text: a JSON list of hosts; NULL: none. The caller clears the list. */
bool balance_read_hosts(const char *text, HostlerBalanceTargetList *ret_described, GError **error);
/* HOSTLER_ERROR_INVALID: a host is described twice, or rules contradict each other. The caller clears the plan. */
bool balance_make(Manager *manager, const HostlerBalanceTargetList *described, HostlerPlaceStyle style,
                  HostlerBalancePlan *ret_plan, GError **error);
