/* Text of sizes and durations, both ways. Pure, any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* "512", "4k", "500M", "4G", "1T" (binary; "GiB" and "GB" mean the same) → bytes. False on anything else, negative or
 * overflow. */
bool size_parse(const char *text, int64_t *ret_bytes);
/* 4294967296 → "4G", 1610612736 → "1.5G". Caller frees. */
char *size_format(int64_t bytes);
/* "250ms", "90s", "5m", "2h", "7d", plain number = seconds → ms. */
bool duration_parse(const char *text, int64_t *ret_ms);
/* 90000 → "90s", 7200000 → "2h". Caller frees. */
char *duration_format(int64_t ms);
/* Milliseconds since 1970 → RFC 3339 in UTC with milliseconds. Caller frees. */
char *time_format(int64_t unix_ms);
bool time_parse(const char *text, int64_t *ret_unix_ms);
