/*
 * Length and checksum of a saved state, summed up while it is being written. The checksum is CRC-32 (gzip's
 * polynomial): it tells damage from a full disk or a power cut, not malice; the file is the daemon's own and nobody
 * else can write it. Jobs' threads only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct StateSum StateSum;

/*
 * Begins to read behind the place where @fd, open for both, is written at: by us or by whoever was given the same
 * descriptor. @fd is borrowed until state_sum_end() or state_sum_drop().
 */
StateSum *state_sum_follow(int fd);
/*
 * All is written: cuts the file to that, sums up the rest, and syncs it; HOSTLER_ERROR_UNRESPONSIVE when its file
 * system never says that it has. Frees @sum_taken in any case.
 */
bool state_sum_end(StateSum *sum_taken, int64_t *ret_bytes, int64_t *ret_crc, GError **error);
/* Waits for nothing. */
void state_sum_drop(StateSum *sum_taken);
/* Of a whole file. */
bool state_sum_whole(int fd, int64_t *ret_bytes, int64_t *ret_crc, GError **error);
