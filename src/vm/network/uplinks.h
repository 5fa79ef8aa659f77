/* Cards of the host as uplinks of switches: what speaks against one. */
#pragma once

#include "vm/manager.h"

/*
 * Whether @nic can be the uplink of @switch_name, which carries packets of @mtu. HOSTLER_ERROR_INVALID;
 * _BUSY names who holds it; _PRECONDITION: the host may be cut off, and @force is not set. Blocks.
 */
bool uplinks_check(Manager *manager, const char *switch_name, const char *nic, int64_t mtu, bool force, GError **error);
/* Adds a fault when the switch with @spec says more than its card carries. */
void uplinks_check_mtu(const json_t *spec, GPtrArray *faults);
/* Of PROP=VALUE words, the card that the last `uplink=` names; NULL: it names none. Borrowed. */
const char *uplinks_word(char *const *words);
