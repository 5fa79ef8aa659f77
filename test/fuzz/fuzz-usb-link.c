/*
 * Any bytes as what QEMU says to hostler-usb, which holds a MIDI device or a camera: control requests, transfers in and
 * out, and what is no packet at all. The first byte chooses the device; the connection is a real one.
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "usb/device.h"
#include "usb/link.h"

static char *folder, *source, *cable;

static void remove_folder(void)
{
        g_unlink(source);
        g_unlink(cable);
        g_rmdir(folder);
}

static const UsbDevice *make(bool camera)
{
        static const char picture[] = "\xff\xd8\xff\xc0\0\x0b\x08\0\xf0\1\x40\1\1\x11\0\xff\xda\0\x02 data \xff\xd9";
        DeviceOptions options = {.name = "0", .queue_bytes = 4096};

        if (!folder) {
                folder = g_dir_make_tmp("hostler-fuzz-usb-XXXXXX", NULL);
                source = g_build_filename(folder, "source", NULL);
                cable = g_build_filename(folder, "cable", NULL);
                g_assert_true(g_file_set_contents(source, picture, sizeof picture - 1, NULL));
                atexit(remove_folder);
        }
        options.socket = cable;
        options.source = source;
        return camera ? video_new(&options) : midi_new(&options);
}

/* One turn of the loop of hostler-usb, without waiting. */
static void turn(Link *link)
{
        struct pollfd polls[1 + USB_POLLS_MAX];
        int timeout_ms = -1;

        link_prepare(link, &polls[0], &timeout_ms);
        link->device->type->prepare(link->device->self, &polls[1], &timeout_ms);
        poll(polls, G_N_ELEMENTS(polls), 0);
        link->device->type->work(link->device->self, &polls[1]);
        link_work(link, &polls[0]);
        if (link->n_requests < 0 || link->n_requests > LINK_REQUESTS_MAX)
                abort();
}

/* Reads as QEMU would, or the answers would pile up. */
static void swallow(int qemu)
{
        char answer[4096];
        while (recv(qemu, answer, sizeof answer, MSG_DONTWAIT) > 0)
                continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const UsbDevice *devices[2];
        static Link link;

        if (size < 1)
                return 0;
        bool camera = data[0] & 1;
        if (!devices[camera])
                devices[camera] = make(camera);
        link_init(&link, devices[camera], fuzz_socket_path());
        turn(&link);
        int qemu = fuzz_accept();
        for (size_t at = 1; at < size && link.fd >= 0;) {
                ssize_t sent = send(qemu, data + at, MIN(size - at, 1000), MSG_DONTWAIT | MSG_NOSIGNAL);
                at += sent > 0 ? (size_t)sent : 0;
                turn(&link);
                swallow(qemu);
        }
        if (link.fd >= 0)
                turn(&link);
        link_close(&link);
        close(qemu);
        while (fuzz_connection_waits())
                close(fuzz_accept());
        return 0;
}
