/*
 * The host's ends of devices: `device read` gives what is in a ring, a log or a file, piece by piece, and says of the
 * others where people find them. See output.h; the list of devices is info.c's.
 */
#include "vm/device/output.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "device/wav.h"
#include "hostler-handlers.h"
#include "vm/device/info.h"

#define OPEN_TRIES 10

/* ---- where ---- */

/* "/dev/pts/3"; NULL when QEMU does not say. */
static char *terminal_path(Vm *vm, const char *id)
{
        static const char scheme[] = "pty:";
        g_autoptr(Qmp) qmp = vm_qmp(vm);
        json_auto_t *chardevs = NULL;
        json_t *chardev;
        size_t i;
        if (!qmp || !qmp_call(qmp, "query-chardev", NULL, &chardevs, NULL))
                return NULL;
        json_array_foreach (chardevs, i, chardev) {
                const char *label = json_string_value(json_object_get(chardev, "label"));
                const char *name = json_string_value(json_object_get(chardev, "filename"));
                if (g_strcmp0(label, id) == 0 && name && g_str_has_prefix(name, scheme))
                        return g_strdup(name + strlen(scheme));
        }
        return NULL;
}

char *device_output_text(Vm *vm, const HostEnd *end, bool attached)
{
        char *path = NULL;
        switch (end->kind) {
        case HOST_END_NONE:
                return NULL;
        case HOST_END_RING:
                return g_strdup("ring");
        case HOST_END_FILE:
        case HOST_END_LOG:
                return vm_path(vm, end->name);
        case HOST_END_SOUND:
                return g_strdup("recording");
        case HOST_END_SOCKET:
                return g_build_filename(vm_dir(vm), "run", end->name, NULL);
        case HOST_END_PTY:
                path = attached ? terminal_path(vm, end->name) : NULL;
                break;
        }
        return path ? path : g_strdup("pty");
}

/* ---- a ring ---- */

static bool read_ring(Vm *vm, const char *id, bool attached, int64_t bytes, HostlerDevicePiece *piece, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        json_auto_t *answer = NULL;
        gsize length = 0;
        if (qmp && !attached)
                return error_set(error, HOSTLER_ERROR_WRONG_STATE, NULL, "%s comes at the next start of the VM", id);
        if (!qmp || !qmp_call(qmp, "ringbuf-read",
                              json_pack("{s:s, s:I, s:s}", "device", id, "size", (json_int_t)bytes, "format", "base64"),
                              &answer, error))
                return false;
        piece->data = g_strdup(json_is_string(answer) ? json_string_value(answer) : "");
        g_autofree guchar *decoded = *piece->data ? g_base64_decode(piece->data, &length) : NULL;
        piece->eof = (int64_t)length < bytes;
        return true;
}

/* ---- a file, or a log and what came before it ---- */

typedef struct {
        int fd; /* -1: there is none */
        int64_t size;
} Half;

typedef struct {
        Half old, new;
        char *version; /* of a log: changes when what is in it becomes the old half */
} Halves;

static void halves_clear(Halves *halves)
{
        fd_close(&halves->old.fd);
        fd_close(&halves->new.fd);
        g_free(halves->version);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Halves, halves_clear)

/* Absent is fine: nothing has come out yet. */
static bool half_open(Vm *vm, const char *name, Half *ret_half, GError **error)
{
        g_autoptr(GError) local = NULL;
        struct stat st;
        ret_half->fd = file_open_beneath(vm_dir(vm), name, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, &local);
        if (ret_half->fd < 0 && error_is(local, HOSTLER_ERROR_NOT_FOUND))
                return true;
        if (ret_half->fd < 0) {
                g_propagate_error(error, g_steal_pointer(&local));
                return false;
        }
        if (fstat(ret_half->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(error, HOSTLER_ERROR_DENIED, NULL, "%s is no file", name);
        ret_half->size = st.st_size;
        return true;
}

/* Nothing is written to the old half any more, so when that happened last says which one it is. */
static char *version_of(Vm *vm, const char *old_name)
{
        g_autofree char *path = vm_path(vm, old_name);
        struct stat st;
        if (lstat(path, &st) < 0)
                return g_strdup("0");
        return g_strdup_printf("%" G_GINT64_FORMAT ".%09ld", (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* Both halves as they are at one moment: the keeper may rename one while they are opened. */
static bool log_open(Vm *vm, const char *name, Halves *ret_halves, GError **error)
{
        g_autofree char *old_name = g_strdup_printf("%s.1", name);
        for (int i = 0; i < OPEN_TRIES; i++) {
                *ret_halves = (Halves){.old.fd = -1, .new.fd = -1, .version = version_of(vm, old_name)};
                if (!half_open(vm, old_name, &ret_halves->old, error) || !half_open(vm, name, &ret_halves->new, error))
                        return false;
                g_autofree char *now = version_of(vm, old_name);
                if (strcmp(now, ret_halves->version) == 0)
                        return true;
                halves_clear(ret_halves);
        }
        *ret_halves = (Halves){.old.fd = -1, .new.fd = -1};
        return error_set(error, HOSTLER_ERROR_BUSY, NULL, "%s is written too fast to be read", name);
}

static bool halves_open(Vm *vm, const HostEnd *end, Halves *ret_halves, GError **error)
{
        if (end->kind == HOST_END_LOG || end->kind == HOST_END_SOUND)
                return log_open(vm, end->name, ret_halves, error);
        *ret_halves = (Halves){.old.fd = -1, .new.fd = -1, .version = g_strdup("0")};
        return half_open(vm, end->name, &ret_halves->new, error);
}

/* What there is of @half between @offset and @offset + @limit, appended to @out. */
static bool half_read(const Half *half, int64_t offset, gsize limit, GByteArray *out, GError **error)
{
        gsize wanted = offset < half->size ? (gsize)MIN((int64_t)limit, half->size - offset) : 0;
        guint start = out->len;
        if (!wanted)
                return true;
        g_byte_array_set_size(out, start + wanted);
        ssize_t length = pread(half->fd, out->data + start, wanted, offset);
        g_byte_array_set_size(out, start + (guint)MAX(length, 0));
        return length >= 0 || error_set_errno(error, errno, NULL, "cannot read what the device has put out");
}

static bool begun_anew(const HostlerDeviceReadArgs *args, GError **error)
{
        return error_set(error, HOSTLER_ERROR_PRECONDITION, NULL, "%s has begun anew while it was read; read it again",
                         args->device);
}

static bool check_version(const HostlerDeviceReadArgs *args, const Halves *halves, GError **error)
{
        return ((!args->version || strcmp(args->version, halves->version) == 0) &&
                args->offset <= halves->old.size + halves->new.size) ||
               begun_anew(args, error);
}

static bool read_halves(const HostlerDeviceReadArgs *args, Halves *halves, HostlerDevicePiece *piece, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        int64_t in_new = MAX(args->offset - halves->old.size, 0);
        if (!check_version(args, halves, error) ||
            !half_read(&halves->old, args->offset, (gsize)args->bytes, out, error) ||
            !half_read(&halves->new, in_new, (gsize)args->bytes - out->len, out, error))
                return false;
        piece->data = out->len ? g_base64_encode(out->data, out->len) : g_strdup("");
        piece->eof = args->offset + out->len >= halves->old.size + halves->new.size;
        piece->version = g_steal_pointer(&halves->version);
        return true;
}

/* ---- sound: a log of frames, as a WAV file ---- */

/*
 * The length stands in the first piece already, so it is that of the first request; the version carries it on to the
 * others. False: the version is none of ours.
 */
static bool sound_bytes(const char *version, const Halves *halves, gint64 *ret_bytes)
{
        const char *slash = version ? strchr(version, '/') : NULL;
        gint64 bytes = MIN(halves->old.size + halves->new.size, (gint64)WAV_DATA_MAX_BYTES);
        *ret_bytes = bytes - bytes % WAV_FRAME_BYTES;
        return !version || (slash && g_ascii_string_to_signed(slash + 1, 10, 0, *ret_bytes, ret_bytes, NULL));
}

/* Frames @from to @end, with QEMU's headers among them made silence: one may stand across either end. */
static bool read_frames(Halves *halves, gint64 from, gint64 end, gint64 total, GByteArray *out, GError **error)
{
        gint64 first = MAX(from - from % WAV_FRAME_BYTES - WAV_HEADER_BYTES, 0);
        gint64 last = MIN(end + WAV_HEADER_BYTES, total);
        g_autoptr(GByteArray) frames = g_byte_array_new();
        if (!half_read(&halves->old, first, (gsize)(last - first), frames, error) ||
            !half_read(&halves->new, MAX(first - halves->old.size, 0), (gsize)(last - first) - frames->len, frames,
                       error))
                return false;
        if (frames->len < last - first)
                return error_set(error, HOSTLER_ERROR_BUSY, NULL, "what was recorded is being removed");
        wav_quiet_headers(frames->data, frames->len);
        g_byte_array_append(out, frames->data + (from - first), (guint)(end - from));
        return true;
}

static bool read_sound(const HostlerDeviceReadArgs *args, Halves *halves, HostlerDevicePiece *piece, GError **error)
{
        g_autoptr(GByteArray) out = g_byte_array_new();
        g_autofree char *log = g_strdup_printf("%s/", halves->version);
        guint8 header[WAV_HEADER_BYTES];
        gint64 total, at = args->offset;
        if ((args->version && !g_str_has_prefix(args->version, log)) || !sound_bytes(args->version, halves, &total) ||
            at > total + WAV_HEADER_BYTES)
                return begun_anew(args, error);
        wav_header((guint32)total, header);
        gint64 end = MIN(at + args->bytes, total + WAV_HEADER_BYTES);
        if (at < WAV_HEADER_BYTES)
                g_byte_array_append(out, header + at, (guint)(MIN(end, WAV_HEADER_BYTES) - at));
        at += out->len;
        if (at < end && !read_frames(halves, at - WAV_HEADER_BYTES, end - WAV_HEADER_BYTES, total, out, error))
                return false;
        piece->data = out->len ? g_base64_encode(out->data, out->len) : g_strdup("");
        piece->eof = end == total + WAV_HEADER_BYTES;
        piece->version = g_strdup_printf("%s%" G_GINT64_FORMAT, log, total);
        return true;
}

/* ---- the verb ---- */

static bool refuse(Vm *vm, const HostEnd *end, bool attached, const char *name, GError **error)
{
        g_autofree char *where = device_output_text(vm, end, attached);
        if (!where)
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "nothing that %s puts out is kept", name);
        return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                         "%s keeps nothing to be read later: who wants its bytes opens %s", name, where);
}

static bool read_end(Vm *vm, const HostEnd *end, bool attached, const HostlerDeviceReadArgs *args,
                     HostlerDevicePiece *piece, GError **error)
{
        g_auto(Halves) halves = {.old.fd = -1, .new.fd = -1};
        switch (end->kind) {
        case HOST_END_RING:
                return read_ring(vm, end->name, attached, args->bytes, piece, error);
        case HOST_END_FILE:
        case HOST_END_LOG:
                return halves_open(vm, end, &halves, error) && read_halves(args, &halves, piece, error);
        case HOST_END_SOUND:
                return halves_open(vm, end, &halves, error) && read_sound(args, &halves, piece, error);
        case HOST_END_NONE:
        case HOST_END_SOCKET:
        case HOST_END_PTY:
                break;
        }
        return refuse(vm, end, attached, args->device, error);
}

bool device_read(const Call *call, const HostlerDeviceReadArgs *args, HostlerDevicePiece *ret_result, GError **error)
{
        HostlerVmRuntime runtime;
        g_auto(VmContext) context = {0};
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm)
                return false;
        g_autoptr(Spec) spec = vm_spec(vm);
        vm_runtime(vm, &runtime);
        /* As it runs, else as it is to be: what a log has of earlier runs is there either way. */
        bool attached = vm_is_live(vm) && spec_part(&runtime.launched, args->device);
        const HostlerSpec *known = attached ? &runtime.launched : &spec->value;
        const HostlerPart *part = device_part(vm, known, args->device, error);
        bool ok = part != NULL;
        record_init(&hostler_device_piece_type, ret_result);
        vm_context_init(&context, call->manager, vm, known, attached ? &runtime : NULL);
        if (ok) {
                g_auto(HostEnd) end = device_host_end(&context.context, part);
                ok = read_end(vm, &end, attached, args, ret_result, error);
        }
        if (!ok)
                record_clear(&hostler_device_piece_type, ret_result);
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}
