/* The policies that can be simulated: placement as in production in its three styles, and simpler ones to compare with.
 */
#pragma once

#include "simulate/model.h"

/* balanced, safe, eco; never (nothing moves); threshold (THR-MMT, 0.8) and regression (LR-MMT, 1.2) after Beloglazov
 * and Buyya, CCPE 24(13), 2012: overloaded when load, or load extrapolated from ten samples times 1.2, exceeds the
 * limit; then the VMs that move quickest leave until it is not, to the host whose power grows least; the least used
 * hosts are emptied whenever all they hold fits elsewhere. NULL: no such policy. */
const Policy *policy_find(const char *name);
extern const Policy reference_policies[]; /* reference.c; ends with name NULL */
