/*
 * `hostler capture`: frames of an adapter as they pass, as a pcap file or in lines, until Ctrl-C or the end that was
 * asked for. What the daemon sends is the file; lines are made of it here. How many frames were lost it says when it
 * closes, so Ctrl-C asks it to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/bytes.h"
#include "cli/capture_text.h"
#include "cli/cli.h"
#include "cli/text.h"

enum { PIECE_BYTES = 65536, FILE_HEAD = 24, FRAME_HEAD = 16, FRAME_MAX = 262144, FINISH_MS = 3000 };

typedef struct {
        int fd, out; /* out -1: lines */
        GByteArray *pending;
        bool begun; /* the file's head has come */
        guint64 frames;
} Capture;

static guint32 number_at(const Capture *capture, gsize at)
{
        guint32 number;
        memcpy(&number, capture->pending->data + at, sizeof number);
        return number;
}

static bool print_frame(Capture *capture, guint32 kept, GError **error)
{
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(number_at(capture, 0));
        g_autofree char *clock = g_date_time_format(time, "%H:%M:%S");
        g_autofree char *text = capture_text(capture->pending->data + FRAME_HEAD, kept, number_at(capture, 12));
        g_autoptr(GString) line = g_string_new(NULL);
        g_string_printf(line, "%s.%06u %s\n", clock, number_at(capture, 4), text);
        return bytes_write(STDOUT_FILENO, line->str, line->len, error);
}

/* Whole frames out of what has come; the rest waits. */
static bool take_frames(Capture *capture, GError **error)
{
        bool ok = true;
        if (!capture->begun && capture->pending->len >= FILE_HEAD) {
                g_byte_array_remove_range(capture->pending, 0, FILE_HEAD);
                capture->begun = true;
        }
        while (ok && capture->begun && capture->pending->len >= FRAME_HEAD) {
                guint32 kept = number_at(capture, 8);
                if (kept > FRAME_MAX)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "what the daemon sends is no capture");
                if (capture->pending->len < FRAME_HEAD + kept)
                        break;
                ok = capture->out >= 0 || print_frame(capture, kept, error);
                capture->frames++;
                g_byte_array_remove_range(capture->pending, 0, FRAME_HEAD + kept);
        }
        return ok;
}

static bool take(Capture *capture, bool *ret_ended, GError **error)
{
        char piece[PIECE_BYTES];
        ssize_t got = recv(capture->fd, piece, sizeof piece, MSG_DONTWAIT);
        *ret_ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
        if (got <= 0)
                return true;
        g_byte_array_append(capture->pending, (const guint8 *)piece, (guint)got);
        return (capture->out < 0 || bytes_write(capture->out, piece, (gsize)got, error)) && take_frames(capture, error);
}

/* Until the daemon has closed or @give_up can be read. *@ret_ended: it has closed. */
static bool carry(Capture *capture, int give_up, int timeout_ms, bool *ret_ended, GError **error)
{
        struct pollfd fds[] = {{.fd = capture->fd, .events = POLLIN}, {.fd = give_up, .events = POLLIN}};
        bool ok = true;
        *ret_ended = false;
        while (ok && !*ret_ended) {
                int ready = poll(fds, G_N_ELEMENTS(fds), timeout_ms);
                if (ready < 0 && errno != EINTR)
                        return error_set_errno(error, errno, NULL, "wait for frames");
                if (ready == 0 || (ready > 0 && fds[1].revents))
                        return true;
                ok = take(capture, ret_ended, error);
        }
        return ok;
}

/* What is on its way still comes, and then how many were lost. One that takes nothing more is not waited for. */
static bool finish(Capture *capture, GError **error)
{
        bool ended;
        return send(capture->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1 ||
               carry(capture, -1, FINISH_MS, &ended, error);
}

static bool open_file(const char *path, int *ret_fd, GError **error)
{
        *ret_fd = -1;
        if (path && strcmp(path, "-") == 0)
                *ret_fd = dup(STDOUT_FILENO);
        else if (path)
                *ret_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        return !path || *ret_fd >= 0 || error_set_errno(error, errno, NULL, "cannot write %s", path);
}

/* It is complete, or was ended by the user; everything else is a failure. */
static bool check_end(const Capture *capture, bool interrupted, const char *reason, GError **error)
{
        static const char complete[] = "complete";
        bool whole = reason && g_str_has_prefix(reason, complete);
        fprintf(stderr, "%" G_GUINT64_FORMAT " frame%s%s\n", capture->frames, capture->frames == 1 ? "" : "s",
                whole ? reason + strlen(complete) : "");
        if (interrupted || whole)
                return true;
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s",
                         reason ? reason : "the connection to the daemon broke");
}

bool command_capture(Cli *cli, const Invocation *invocation, GError **error)
{
        g_autoptr(GByteArray) pending = g_byte_array_new();
        g_autofree char *reason = NULL;
        Capture capture = {.pending = pending};
        if (!cli_client(cli, error))
                return false;
        HostlerStream *stream =
            client_stream_attach(cli->client, verb_find("vm", "capture"), invocation->args, &capture.fd, error);
        if (!stream)
                return false;
        bool ok = open_file(json_string_value(json_object_get(invocation->local, "write")), &capture.out, error);
        GCancellable *cancellable = interrupt_arm(cli->interrupt);
        bool ended = false;
        ok = ok && carry(&capture, g_cancellable_get_fd(cancellable), -1, &ended, error);
        bool interrupted = interrupt_signal(cli->interrupt) != 0;
        ok = ok && (ended || finish(&capture, error));
        interrupt_disarm(cli->interrupt);
        close(capture.fd);
        client_stream_close(stream, &reason);
        fd_close(&capture.out);
        return ok && check_end(&capture, interrupted, reason, error);
}
