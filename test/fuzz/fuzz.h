/*
 * What fuzzers share. Each is LLVMFuzzerTestOneInput of libFuzzer (llvm.org/docs/LibFuzzer.html) over one reader of
 * foreign bytes; replay.c calls it with each seed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A peer on a Unix socket of its own, for the clients that connect to one. The path is removed at exit. */
const char *fuzz_socket_path(void);
/* Accepts the one connection that is there or comes. The caller closes it. */
int fuzz_accept(void);
/* True when fuzz_accept() would not wait. */
bool fuzz_connection_waits(void);
/* The next line as JSON; NULL at the end. Not read ahead: one byte at a time. 0xFF bytes are left out. Owned by the
 * caller. */
json_t *fuzz_read(int fd);
/* All of it, or as much as somebody takes. */
void fuzz_write(int fd, const void *data, size_t size);
