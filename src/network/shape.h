/*
 * How fast a device takes what is sent to it: a token bucket as its queue (Linux: tc-tbf(8)), in the network namespace
 * the calling thread is in. What is over the rate waits there for a while, which TCP likes better than losing it.
 *
 * Open vSwitch would replace a queue that it did not make; ports whose QoS is of type linux-noop it leaves alone.
 */
#pragma once

#include "network/model.h"

/* A shaped device: what it was told, so that only changes are told. */
typedef struct Shapes Shapes;
Shapes *shapes_new(void);
void shapes_free(Shapes *shapes);
/* It is to be this fast, from the next shapes_apply() on. @mtu: of the device; @is_new: it has just been made. */
void shapes_want(Shapes *shapes, const char *device, const Rate *rate, int mtu, bool is_new);
/*
 * Makes all devices that were wanted since the last call as fast as they should be; others are forgotten.
 * HOSTLER_ERROR_FAILED with the words of tc(8).
 */
bool shapes_apply(Shapes *shapes, GError **error);
/* tc-tbf(8)'s words for a rate on a device with this MTU; caller frees. Pure. */
char *shape_text(const Rate *rate, int mtu);
