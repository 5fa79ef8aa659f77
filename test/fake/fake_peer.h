/*
 * A scripted other end of a JSON socket, on a thread of its own: what fake_qmp.h and fake_agent.h are made of.
 *
 * The script is a static table that ends with FAKE_END. A client may disconnect and come back: the script goes on where
 * it was. Commands under way stay answerable until the script ends, so answers can come late or out of order.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

typedef enum {
        FAKE_END,
        FAKE_EXPECT, /* waits for the command @name; its arguments must equal @json (NULL: any) */
        FAKE_REPLY,  /* answers @name (NULL: the command expected last) with the result @json (NULL: {}) */
        FAKE_REFUSE, /* answers likewise with an error of class @json */
        FAKE_EVENT,  /* sends the event @name with the data @json */
        FAKE_RAW,    /* sends the bytes of @json as they are */
        FAKE_FLOOD,  /* sends the bytes of @json @number times, as long as somebody takes them */
        FAKE_PAUSE,  /* does nothing for @number ms */
        FAKE_CLOSE,  /* closes the connection; the next step waits for another */
        FAKE_SILENCE /* the end too, but anything may come: it is read and not answered, save what the protocol answers
                        by itself */
} FakeAction;

typedef struct {
        FakeAction action;
        const char *name;
        const char *json;
        int number;
} FakeStep;

typedef struct FakePeer FakePeer;

typedef struct {
        const char *greeting;                     /* sent to each connection, or NULL */
        json_t *(*answer)(const json_t *command); /* answers what the script does not expect by name; NULL: it cannot */
        const char *prefix_of;                    /* a command whose answers are preceded by 0xFF, or NULL */
} FakeProtocol;

/* Listens on the Unix socket @path at once. */
FakePeer *fake_peer_new(const FakeProtocol *protocol, const char *path, const FakeStep *script);
/* Waits up to 5 s for the script to be played, stops, and fails the test if something unexpected came or never came. */
void fake_peer_free(FakePeer *peer);
