/*
 * hostler-usb: a USB device of our own behind QEMU's `usb-redir`, one per process: `midi` or `video`.
 *
 * Reads no configuration and knows nothing of VMs: it connects to the socket it is told, again and again, until it is
 * told to end or nobody has been there for a while. hostler-keeper(8) starts it again when it was killed;
 * hostler-usb(8) is its manual.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/un.h>

#include "usb/device.h"
#include "usb/link.h"

enum { POLL_SIGNAL, POLL_LINK, POLL_DEVICE, N_POLLS = POLL_DEVICE + USB_POLLS_MAX };
enum { EXIT_USAGE = 2, GIVE_UP_MS = 10 * 1000 };

static const long long queue_min_bytes = 256, queue_max_bytes = 256 * 1024 * 1024;

typedef struct {
        const char *name;
        const UsbDevice *(*make)(const DeviceOptions *options);
        void (*end)(const UsbDevice *device);
} Mode;

static const Mode modes[] = {{"midi", midi_new, midi_end}, {"video", video_new, video_end}};

_Noreturn static void usage(void)
{
        fputs("hostler-usb midi  --qemu SOCKET --socket SOCKET --queue BYTES [--name NAME]\n"
              "hostler-usb video --qemu SOCKET --source FILE   --queue BYTES [--name NAME]\n",
              stderr);
        exit(EXIT_USAGE);
}

static size_t parse_bytes(const char *text)
{
        char *end;
        long long number;

        errno = 0;
        number = strtoll(text, &end, 10);
        if (errno || end == text || *end || number < queue_min_bytes || number > queue_max_bytes) {
                fprintf(stderr, "hostler-usb: --queue %s: %lld to %lld bytes are possible\n", text, queue_min_bytes,
                        queue_max_bytes);
                exit(EXIT_USAGE);
        }
        return (size_t)number;
}

/* Returns the path of QEMU's socket. */
static const char *parse_options(int argc, char **argv, DeviceOptions *ret_options)
{
        static const struct option known[] = {
            {"qemu", required_argument, NULL, 'q'},   {"socket", required_argument, NULL, 's'},
            {"source", required_argument, NULL, 'f'}, {"queue", required_argument, NULL, 'b'},
            {"name", required_argument, NULL, 'n'},   {0}};
        const char *qemu = NULL;

        for (int option; (option = getopt_long(argc, argv, "", known, NULL)) >= 0;) {
                switch (option) {
                case 'q':
                        qemu = optarg;
                        break;
                case 's':
                        ret_options->socket = optarg;
                        break;
                case 'f':
                        ret_options->source = optarg;
                        break;
                case 'b':
                        ret_options->queue_bytes = parse_bytes(optarg);
                        break;
                case 'n':
                        ret_options->name = optarg;
                        break;
                default:
                        usage();
                }
        }
        if (optind != argc || !qemu || strlen(qemu) >= sizeof((struct sockaddr_un *)0)->sun_path ||
            !ret_options->queue_bytes)
                usage();
        return qemu;
}

static int open_signals(void)
{
        sigset_t ends;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        sigaddset(&ends, SIGINT);
        sigprocmask(SIG_BLOCK, &ends, NULL);
        return signalfd(-1, &ends, SFD_CLOEXEC);
}

/* Until a signal says that it is enough, or QEMU has gone: whoever was to send the signal may have gone too. */
static void run(Link *link, const UsbDevice *device, int signal_fd)
{
        struct pollfd polls[N_POLLS] = {{.fd = signal_fd, .events = POLLIN}};

        while (!polls[POLL_SIGNAL].revents && link_missing_ms(link) < GIVE_UP_MS) {
                int timeout_ms = -1;

                link_prepare(link, &polls[POLL_LINK], &timeout_ms);
                device->type->prepare(device->self, &polls[POLL_DEVICE], &timeout_ms);
                if (poll(polls, N_POLLS, timeout_ms) < 0)
                        continue;
                device->type->work(device->self, &polls[POLL_DEVICE]);
                link_work(link, &polls[POLL_LINK]);
        }
}

int main(int argc, char **argv)
{
        DeviceOptions options = {.name = "0"};
        const Mode *mode = NULL;
        static Link link;

        for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
                if (strcmp(argv[1], modes[i].name) == 0)
                        mode = &modes[i];
        if (!mode)
                usage();
        const char *qemu = parse_options(argc - 1, argv + 1, &options);
        if (mode->make == midi_new ? !options.socket : !options.source)
                usage();
        int signal_fd = open_signals();
        const UsbDevice *device = mode->make(&options);
        if (!device)
                return EXIT_FAILURE;
        link_init(&link, device, qemu);
        run(&link, device, signal_fd);
        link_close(&link);
        mode->end(device);
        return EXIT_SUCCESS;
}
