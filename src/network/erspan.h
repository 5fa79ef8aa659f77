/*
 * Copies of frames for another host: each in an IP packet of GRE with an ERSPAN header (draft-foschiano-erspan-03),
 * which analysers and routers understand. A thread of its own reads a device that a mirror copies to, and sends; with
 * the daemon it ends, and with the next one it begins again.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define ERSPAN_SESSION_MAX 1023

typedef struct {
        uint8_t to[4]; /* IPv4 */
        int type;      /* 1: bare frames in GRE; 2: with session, VLAN and a number each; 3: with the time as well */
        int session;
        int snaplen; /* what mirrors cut copies to, so that the header can say so; 0: they do not */
} ErspanOptions;

typedef struct Erspan Erspan;

/*
 * @fd_taken: gives frames, non-blocking. The packets leave by the network namespace that the calling thread is in.
 * HOSTLER_ERROR_DENIED, _FAILED.
 */
Erspan *erspan_new(int fd_taken, const ErspanOptions *options, GError **error);
void erspan_free(Erspan *erspan); /* waits for its thread */
/* Whether the last copy could be sent; true before the first. */
bool erspan_reaches(const Erspan *erspan);

#define ERSPAN_HEADER_MAX 20
/*
 * The headers before a frame, from GRE on, as bytes at @ret_header; how many. @sequence: of the packet; @now_us: any
 * clock. Pure.
 */
gsize erspan_header(const ErspanOptions *options, const uint8_t *frame, gsize length, uint32_t sequence, int64_t now_us,
                    uint8_t ret_header[ERSPAN_HEADER_MAX]);
