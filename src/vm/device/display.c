/*
 * Looking at screens: pictures of them, and the way to QEMU's viewer end. Which screens there are is the device
 * layer's (display.h); a viewer's bytes are nobody's here.
 */
#include "device/display.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "vm/manager.h"

#define PICTURE_LIMIT (48LL * 1024 * 1024)
#define DUMP_MS 30000

/* A screen of the run: what of it a caller may need after the run was looked at. */
typedef struct {
        char *part; /* NULL: not found */
        char *card;
        char *socket;
        int head;
} Screen;

static void screen_clear(Screen *screen)
{
        g_free(screen->part);
        g_free(screen->card);
        g_free(screen->socket);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Screen, screen_clear)

static Screen screen_of_run(Vm *vm, const char *output)
{
        g_auto(VmContext) context = {0};
        HostlerVmRuntime runtime;
        Screen screen = {0};
        DisplayHead head;
        vm_runtime(vm, &runtime);
        vm_context_init(&context, vm_manager(vm), vm, &runtime.launched, &runtime);
        const HostlerPart *part = output ? spec_part(&runtime.launched, output) : display_first(&runtime.launched);
        if (part && display_head(&context.context, part, &head))
                screen = (Screen){g_strdup(part->name), g_strdup(head.card), display_socket(&head), head.head};
        vm_context_clear(&context);
        context = (VmContext){0};
        record_clear(&hostler_vm_runtime_type, &runtime);
        return screen;
}

static bool refuse_screen(Vm *vm, const char *output, GError **error)
{
        g_autofree char *object = vm_object(vm);
        const char *name = object + strlen("vm/");
        if (!output) {
                error_set(error, HOSTLER_ERROR_NOT_FOUND, object, "it has no screen");
                return error_hint(error, "hostler device add %s video; then stop and start it", name);
        }
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerPart *part = spec_part(&spec->value, output);
        bool comes = part && (strcmp(part->kind, "video") == 0 || strcmp(part->kind, "output") == 0);
        error_set(error, HOSTLER_ERROR_NOT_FOUND, object,
                  comes ? "%s comes at the next start of the VM" : "it has no screen called %s", output);
        return error_hint(error, "hostler device ls %s", name);
}

static bool find_screen(Vm *vm, const char *output, Screen *ret_screen, GError **error)
{
        *ret_screen = vm_is_live(vm) ? screen_of_run(vm, output) : (Screen){0};
        if (ret_screen->part)
                return true;
        if (vm_is_live(vm))
                return refuse_screen(vm, output, error);
        g_autofree char *object = vm_object(vm);
        return error_set(error, HOSTLER_ERROR_WRONG_STATE, object, "the VM is %s and shows nothing",
                         hostler_power_enum.values[vm_power(vm)]);
}

/* ---- pictures ---- */

/* QEMU writes the file, so it may be anything: only a plain file of a bearable size is read. */
static char *read_picture(Vm *vm, const char *name, gsize *ret_length, GError **error)
{
        g_autofree char *run = vm_path(vm, "run");
        autoclose int fd = file_open_beneath(run, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, error);
        struct stat info;
        if (fd < 0)
                return NULL;
        if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "what QEMU wrote is no file");
                return NULL;
        }
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        return file_read(path, PICTURE_LIMIT, ret_length, error);
}

static guint32 number32(const char *bytes)
{
        guint32 number;
        memcpy(&number, bytes, sizeof number);
        return GUINT32_FROM_BE(number);
}

/* A PNG begins with eight bytes of its own and the header chunk, which begins with width and height (RFC 2083). */
static bool fill_in(const Screen *screen, const char *bytes, gsize length, HostlerScreenshot *ret_result,
                    GError **error)
{
        static const char signature[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        gsize head = sizeof signature - 1;
        if (length < head + 8 || memcmp(bytes, signature, head) != 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "what QEMU wrote is no picture");
        record_init(&hostler_screenshot_type, ret_result);
        ret_result->output = g_strdup(screen->part);
        ret_result->width = number32(bytes + head);
        ret_result->height = number32(bytes + head + 4);
        ret_result->data = g_base64_encode((const guchar *)bytes, length);
        return true;
}

/* Several may be made at a time, so each has a file of its own; what a crash leaves goes with the run. */
static bool take_picture(Vm *vm, Qmp *qmp, const Screen *screen, HostlerScreenshot *ret_result, GError **error)
{
        static gint counter;
        g_autofree char *name = g_strdup_printf("screen-%d.png", g_atomic_int_add(&counter, 1));
        g_autofree char *relative = g_build_filename("run", name, NULL), *path = vm_path(vm, relative);
        gsize length = 0;
        unlink(path);
        bool ok = qmp_call_full(qmp, "screendump",
                                json_pack("{s:s, s:s, s:s, s:i}", "filename", name, "format", "png", "device",
                                          screen->card, "head", screen->head),
                                DUMP_MS, NULL, NULL, error);
        g_autofree char *bytes = ok ? read_picture(vm, name, &length, error) : NULL;
        unlink(path);
        return bytes && fill_in(screen, bytes, length, ret_result, error);
}

bool vm_screenshot(const Call *call, const HostlerVmScreenshotArgs *args, HostlerScreenshot *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_auto(Screen) screen = {0};
        if (!vm || !find_screen(vm, args->output, &screen, error))
                return false;
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp && take_picture(vm, qmp, &screen, ret_result, error);
}

/* ---- viewers ---- */

bool viewer_attach(Vm *vm, const char *output, const ByteSink *sink, ByteStream **ret_stream, GError **error)
{
        g_autoptr(GError) local = NULL;
        g_auto(Screen) screen = {0};
        if (!find_screen(vm, output, &screen, error))
                return false;
        g_autofree char *relative = g_build_filename("run", screen.socket, NULL), *path = vm_path(vm, relative);
        if (byte_stream_connect(path, sink, ret_stream, &local))
                return true;
        if (!error_is(local, HOSTLER_ERROR_NOT_FOUND)) {
                g_propagate_error(error, g_steal_pointer(&local));
                return false;
        }
        g_autofree char *object = vm_object(vm);
        error_set(error, HOSTLER_ERROR_WRONG_STATE, object,
                  "%s came while the VM ran, and QEMU shows it to viewers from its next start on", screen.part);
        return error_hint(error, "hostler screenshot %s FILE --output %s", object + strlen("vm/"), screen.part);
}
