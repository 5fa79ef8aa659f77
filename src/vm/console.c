/*
 * The serial console: one connection to QEMU per VM, shared by all who are attached. Main loop only, nothing blocks.
 *
 * QEMU's socket takes one client; the hub is that client for as long as the daemon runs, hands what the guest writes to
 * every sink and to the boot phases, and passes on what sinks write. The log is not kept here: the keeper keeps it,
 * daemon or no daemon.
 */
#include <errno.h>
#include <glib-unix.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/vm_internal.h"
#include "wire/json_stream.h"

/* Typed ahead while the guest does not read; more is dropped, as a serial line would. */
#define TYPED_LIMIT 65536
#define CHUNK 4096

typedef struct ConsoleHub {
        Vm *vm;
        int fd;
        guint readable, writable;
        GString *typed;
        GPtrArray *consoles; /* of Console, owned by those attached */
} ConsoleHub;

typedef struct {
        ByteStream stream;
        ConsoleHub *hub; /* NULL once the hub has gone */
        ByteSink sink;
} Console;

static void close_sink(Console *console, const char *reason)
{
        console->hub = NULL;
        if (console->sink.closed)
                console->sink.closed(reason, console->sink.data);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
        ConsoleHub *hub = data;
        char bytes[CHUNK];
        ssize_t length = read(fd, bytes, sizeof bytes);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
                return G_SOURCE_CONTINUE;
        if (length <= 0) {
                hub->readable = 0;
                return G_SOURCE_REMOVE;
        }
        vm_watch_console(hub->vm, bytes, (gsize)length);
        for (guint i = 0; i < hub->consoles->len; i++) {
                Console *console = g_ptr_array_index(hub->consoles, i);
                console->sink.bytes(bytes, (gsize)length, console->sink.data);
        }
        return G_SOURCE_CONTINUE;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer data)
{
        ConsoleHub *hub = data;
        ssize_t length = write(fd, hub->typed->str, hub->typed->len);
        if (length > 0)
                g_string_erase(hub->typed, 0, length);
        if (hub->typed->len > 0 && (length >= 0 || errno == EAGAIN || errno == EINTR))
                return G_SOURCE_CONTINUE;
        hub->writable = 0;
        return G_SOURCE_REMOVE;
}

void console_hub_start(Vm *vm)
{
        g_autofree char *path = g_build_filename(vm->dir, "run", CHASSIS_CONSOLE_SOCKET, NULL);
        int fd = unix_connect(path, NULL);
        if (fd < 0)
                return;
        g_unix_set_fd_nonblocking(fd, TRUE, NULL);
        ConsoleHub *hub = g_new0(ConsoleHub, 1);
        hub->vm = vm;
        hub->fd = fd;
        hub->typed = g_string_new(NULL);
        hub->consoles = g_ptr_array_new();
        hub->readable = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, hub);
        vm->console = hub;
}

void console_hub_stop(Vm *vm, const char *reason)
{
        ConsoleHub *hub = g_steal_pointer(&vm->console);
        if (!hub)
                return;
        for (guint i = 0; i < hub->consoles->len; i++)
                close_sink(g_ptr_array_index(hub->consoles, i), reason);
        g_clear_handle_id(&hub->readable, g_source_remove);
        g_clear_handle_id(&hub->writable, g_source_remove);
        close(hub->fd);
        g_ptr_array_unref(hub->consoles);
        g_string_free(hub->typed, TRUE);
        g_free(hub);
}

static void console_write(ByteStream *stream, const void *bytes, gsize length)
{
        ConsoleHub *hub = ((Console *)stream)->hub;
        if (!hub || hub->typed->len + length > TYPED_LIMIT)
                return;
        g_string_append_len(hub->typed, bytes, (gssize)length);
        if (!hub->writable)
                hub->writable = g_unix_fd_add(hub->fd, G_IO_OUT, on_writable, hub);
}

static void console_detach(ByteStream *stream)
{
        Console *console = (Console *)stream;
        if (console->hub)
                g_ptr_array_remove(console->hub->consoles, console);
        g_free(console);
}

bool console_attach(Vm *vm, const ByteSink *sink, ByteStream **ret_stream, GError **error)
{
        static const ByteStreamOps ops = {.write = console_write, .detach = console_detach};
        g_autofree char *object = vm_object(vm);
        if (!vm->console) {
                error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is %s and has no console",
                          hostler_power_enum.values[vm_power(vm)]);
                return error_hint(error, "hostler console %s --log shows what it said before", object + strlen("vm/"));
        }
        Console *console = g_new0(Console, 1);
        console->stream.ops = &ops;
        console->hub = vm->console;
        console->sink = *sink;
        g_ptr_array_add(vm->console->consoles, console);
        *ret_stream = &console->stream;
        return true;
}
