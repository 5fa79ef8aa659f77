/*
 * A viewer that never looks: it shakes hands, says what size it would like and waits for the answer. See rfb.h.
 * Numbers are big-endian. Called by src/device.
 */
#include "wire/rfb.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "wire/json_stream.h"

enum {
        SECURITY_NONE = 1,
        SET_ENCODINGS = 2,
        SET_DESKTOP_SIZE = 251,
        FRAMEBUFFER_UPDATE = 0,
        BELL = 2,
        SERVER_CUT_TEXT = 3,
        EXTENDED_DESKTOP_SIZE = -308,
        REASON_THIS_CLIENT = 1,
        STATUS_DONE = 0,
        STATUS_FORWARDED = 4, /* QEMU's: the guest has been told */
        SCREEN_BYTES = 16,
        TEXT_LIMIT = 65536, /* of a name or a clipboard */
};

typedef struct {
        int fd;
        int64_t end_ms;
} Rfb;

/* Waits until the socket is ready or the time is over. */
static bool wait_ready(const Rfb *rfb, short events, GError **error)
{
        int64_t left_ms = rfb->end_ms - clock_monotonic_ms();
        struct pollfd poll_fd = {.fd = rfb->fd, .events = events};
        if (left_ms > 0 && poll(&poll_fd, 1, (int)MIN(left_ms, G_MAXINT)) > 0)
                return true;
        return (left_ms > 0 && errno == EINTR) ||
               error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "the screen does not answer");
}

static bool broken(const char *what, GError **error)
{
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the screen's viewer end %s", what);
}

static bool get(const Rfb *rfb, void *bytes, size_t length, GError **error)
{
        for (char *at = bytes; length > 0;) {
                ssize_t got = recv(rfb->fd, at, length, MSG_DONTWAIT);
                if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
                        return broken("hung up", error);
                if (got < 0 && !wait_ready(rfb, POLLIN, error))
                        return false;
                at += MAX(got, 0);
                length -= (size_t)MAX(got, 0);
        }
        return true;
}

/* What is said here is shorter than any socket's buffer. */
static bool put(const Rfb *rfb, const void *bytes, size_t length, GError **error)
{
        return send(rfb->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length || broken("hung up", error);
}

static uint32_t number32(const uint8_t *bytes)
{
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static unsigned number16(const uint8_t *bytes)
{
        return (unsigned)bytes[0] << 8 | bytes[1];
}

static bool skip(const Rfb *rfb, size_t length, GError **error)
{
        char waste[1024];
        if (length > TEXT_LIMIT)
                return broken("says too much", error);
        for (size_t piece; length > 0; length -= piece) {
                piece = MIN(length, sizeof waste);
                if (!get(rfb, waste, piece, error))
                        return false;
        }
        return true;
}

/* ---- the handshake ---- */

static bool offers_no_security(const Rfb *rfb, GError **error)
{
        uint8_t count, types[255];
        if (!get(rfb, &count, 1, error) || !get(rfb, types, count, error))
                return false;
        return memchr(types, SECURITY_NONE, count) || broken("wants a password", error);
}

static bool shake_hands(const Rfb *rfb, GError **error)
{
        static const char version[] = "RFB 003.008\n";
        static const uint8_t none = SECURITY_NONE, shared = 1;
        char theirs[sizeof version - 1];
        uint8_t result[4], screen[24];
        if (!get(rfb, theirs, sizeof theirs, error))
                return false;
        if (memcmp(theirs, version, sizeof theirs) != 0)
                return broken("speaks another version of RFB", error);
        if (!put(rfb, version, sizeof theirs, error) || !offers_no_security(rfb, error) || !put(rfb, &none, 1, error) ||
            !get(rfb, result, sizeof result, error))
                return false;
        if (number32(result) != 0)
                return broken("refuses", error);
        return put(rfb, &shared, 1, error) && get(rfb, screen, sizeof screen, error) &&
               skip(rfb, number32(screen + sizeof screen - 4), error);
}

/* ---- the size ---- */

static void store16(uint8_t *bytes, int number)
{
        bytes[0] = (uint8_t)(number >> 8);
        bytes[1] = (uint8_t)number;
}

static bool ask_for_size(const Rfb *rfb, int width, int height, GError **error)
{
        static const uint8_t encodings[] = {SET_ENCODINGS, 0, 0, 1, 0xff, 0xff, 0xfe, 0xcc}; /* one: -308 */
        uint8_t request[24] = {SET_DESKTOP_SIZE};
        store16(request + 2, width);
        store16(request + 4, height);
        request[6] = 1; /* one screen: id, x and y, each 0, */
        store16(request + 16, width);
        store16(request + 18, height);
        return put(rfb, encodings, sizeof encodings, error) && put(rfb, request, sizeof request, error);
}

/* One rectangle; without a picture asked for there are only announcements of the size. */
static bool read_rectangle(const Rfb *rfb, bool *ret_answered, unsigned *ret_status, GError **error)
{
        uint8_t head[12], screens[4];
        if (!get(rfb, head, sizeof head, error))
                return false;
        if ((int32_t)number32(head + 8) != EXTENDED_DESKTOP_SIZE)
                return broken("sends what was not asked for", error);
        if (number16(head) == REASON_THIS_CLIENT) {
                *ret_answered = true;
                *ret_status = number16(head + 2);
        }
        return get(rfb, screens, sizeof screens, error) && skip(rfb, (size_t)screens[0] * SCREEN_BYTES, error);
}

static bool read_update(const Rfb *rfb, bool *ret_answered, unsigned *ret_status, GError **error)
{
        uint8_t head[3];
        if (!get(rfb, head, sizeof head, error))
                return false;
        for (unsigned left = number16(head + 1); left > 0; left--)
                if (!read_rectangle(rfb, ret_answered, ret_status, error))
                        return false;
        return true;
}

static bool read_message(const Rfb *rfb, bool *ret_answered, unsigned *ret_status, GError **error)
{
        uint8_t type, text[7];
        if (!get(rfb, &type, 1, error))
                return false;
        switch (type) {
        case FRAMEBUFFER_UPDATE:
                return read_update(rfb, ret_answered, ret_status, error);
        case BELL:
                return true;
        case SERVER_CUT_TEXT:
                return get(rfb, text, sizeof text, error) && skip(rfb, number32(text + 3), error);
        default:
                return broken("says what nobody understands", error);
        }
}

bool rfb_set_size_on(int fd, int width, int height, int64_t timeout_ms, GError **error)
{
        Rfb rfb = {.fd = fd, .end_ms = clock_monotonic_ms() + timeout_ms};
        bool answered = false;
        unsigned status = 0;
        if (!shake_hands(&rfb, error) || !ask_for_size(&rfb, width, height, error))
                return false;
        while (!answered)
                if (!read_message(&rfb, &answered, &status, error))
                        return false;
        return status == STATUS_DONE || status == STATUS_FORWARDED ||
               error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "this screen cannot be given another size");
}

bool rfb_set_size(const char *path, int width, int height, int64_t timeout_ms, GError **error)
{
        autoclose int fd = unix_connect(path, error);
        return fd >= 0 && rfb_set_size_on(fd, width, height, timeout_ms, error);
}
