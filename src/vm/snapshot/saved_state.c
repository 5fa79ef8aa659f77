/*
 * Saved states: QEMU writes its migration stream to a file descriptor and reads it back from one. See saved_state.h.
 *
 * The checksum is CRC-32 (gzip's polynomial): it tells damage from a full disk or a power cut, not malice; the file is
 * the daemon's own and nobody else can write it.
 */
#include "vm/snapshot/saved_state.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process_memory.h"
#include "base/units.h"

#define POLL_US 5000
#define FIRST_POLL_US 500
#define CANCEL_MS 50000
#define DEVICES_BYTES (64LL << 20)
#define CHUNK (1024 * 1024)

static int open_state(Vm *vm, const char *file, int flags, GError **error)
{
        g_autofree char *path = vm_path(vm, file);
        int fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd < 0)
                error_set_errno(error, errno, NULL, "cannot open the saved state %s", path);
        return fd;
}

/* CRC and length of a whole file. */
static bool checksum(int fd, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        g_autofree unsigned char *chunk = g_malloc(CHUNK);
        uint32_t crc = 0;
        *ret_bytes = 0;
        for (;;) {
                ssize_t length = pread(fd, chunk, CHUNK, *ret_bytes);
                if (length < 0)
                        return error_set_errno(error, errno, NULL, "cannot read the saved state");
                if (length == 0)
                        break;
                crc = libdeflate_crc32(crc, chunk, (size_t)length);
                *ret_bytes += length;
        }
        *ret_crc = (int64_t)crc;
        return true;
}

/* "completed", "failed", "active"…; NULL and error when QEMU does not say. Caller frees. */
static char *migration_status(Qmp *qmp, double *ret_percent, char **ret_detail, GError **error)
{
        json_t *info = NULL;
        if (!qmp_call(qmp, "query-migrate", NULL, &info, error))
                return NULL;
        json_t *ram = json_object_get(info, "ram");
        double total = (double)json_integer_value(json_object_get(ram, "total"));
        double left = (double)json_integer_value(json_object_get(ram, "remaining"));
        const char *status = json_string_value(json_object_get(info, "status"));
        *ret_percent = total > 0 ? 100.0 * (total - left) / total : -1;
        *ret_detail = g_strdup(json_string_value(json_object_get(info, "error-desc")));
        char *copy = g_strdup(status ? status : "none");
        json_decref(info);
        return copy;
}

/* @job NULL: no progress to tell. */
static bool wait_migration(Qmp *qmp, Job *job, GCancellable *cancellable, GError **error)
{
        for (gulong pause_us = FIRST_POLL_US;; pause_us = MIN(2 * pause_us, POLL_US)) {
                double percent;
                g_autofree char *detail = NULL;
                g_autofree char *status = migration_status(qmp, &percent, &detail, error);
                if (!status || g_cancellable_set_error_if_cancelled(cancellable, error))
                        return false;
                if (strcmp(status, "completed") == 0)
                        return true;
                if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0)
                        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "QEMU could not move the VM's memory: %s",
                                         detail ? detail : status);
                if (job)
                        job_progress(job, percent, "writing memory");
                g_usleep(pause_us);
        }
}

static bool set_speed(Qmp *qmp, GError **error)
{
        /* 0 is not "unlimited" in 7.2; the largest number it takes is. */
        return qmp_call(qmp, "migrate-set-parameters", json_pack("{s:I}", "max-bandwidth", (json_int_t)G_MAXINT64),
                        NULL, error);
}

static bool set_behind(Qmp *qmp, bool behind, GError **error)
{
        json_t *args =
            json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "background-snapshot", "state", behind);
        return qmp_call(qmp, "migrate-set-capabilities", args, NULL, error);
}

/* QEMU has said no, which it does as long as a migration is being cancelled; not: it is gone. */
static bool is_refused(Qmp *qmp)
{
        g_autoptr(GError) problem = NULL;
        return !set_behind(qmp, false, &problem) && qmp_error_class(problem);
}

static bool is_behind(Qmp *qmp)
{
        json_auto_t *capabilities = NULL;
        json_t *entry;
        size_t i;
        if (!qmp_call(qmp, "query-migrate-capabilities", NULL, &capabilities, NULL))
                return false;
        json_array_foreach (capabilities, i, entry)
                if (g_strcmp0(json_string_value(json_object_get(entry, "capability")), "background-snapshot") == 0)
                        return json_is_true(json_object_get(entry, "state"));
        return false;
}

static bool is_at_it(Qmp *qmp)
{
        double percent;
        g_autofree char *detail = NULL, *status = migration_status(qmp, &percent, &detail, NULL);
        return g_strcmp0(status, "setup") == 0 || g_strcmp0(status, "active") == 0 || g_strcmp0(status, "device") == 0;
}

/*
 * A QEMU 7.2 that is made to give up writing behind its guest hangs for ever: what it has protected against writing
 * stays so, and its main loop waits for one of those pages. So it is left to come to its end, which takes no longer
 * than the writing.
 */
void saved_state_cancel(Qmp *qmp)
{
        int64_t end = clock_monotonic_ms() + CANCEL_MS;
        if (!is_behind(qmp))
                qmp_call(qmp, "migrate_cancel", NULL, NULL, NULL);
        while (is_at_it(qmp) && clock_monotonic_ms() < end)
                g_usleep(POLL_US);
        while (is_refused(qmp) && clock_monotonic_ms() < end)
                g_usleep(POLL_US);
}

/* At most: its memory, what says which page is which, its devices and their memory. */
static int64_t room_wanted(Vm *vm)
{
        HostlerVm info;
        vm_info(vm, &info);
        int64_t memory = info.status->memory;
        record_clear(&hostler_vm_type, &info);
        return memory == HOSTLER_UNSET ? HOSTLER_UNSET : memory + memory / 256 + DEVICES_BYTES;
}

bool saved_state_check_room(Vm *vm, GError **error)
{
        int64_t wanted = room_wanted(vm), have = dir_free_bytes(vm_dir(vm));
        if (wanted == HOSTLER_UNSET || have < 0 || have > wanted)
                return true;
        g_autofree char *object = vm_object(vm), *need = size_format(wanted), *free_text = size_format(have);
        return error_set(error, HOSTLER_ERROR_NO_CAPACITY, object, "its memory may need %s on disk and %s are free",
                         need, free_text);
}

bool saved_state_reserve(Vm *vm, const char *file, GError **error)
{
        int64_t wanted = room_wanted(vm);
        autoclose int fd = open_state(vm, file, O_RDWR | O_CREAT | O_TRUNC, error);
        if (fd < 0)
                return false;
        if (wanted == HOSTLER_UNSET || fallocate(fd, 0, 0, wanted) == 0 || errno == EOPNOTSUPP)
                return true;
        return errno == ENOSPC ? error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL,
                                           "the VM's memory does not find room: No space left on device")
                               : error_set_errno(error, errno, NULL, "cannot reserve space for the VM's memory");
}

/* It has been, and the host's file system can. */
static bool is_reserved(Vm *vm, int fd)
{
        struct stat info;
        int64_t wanted = room_wanted(vm);
        return wanted != HOSTLER_UNSET && fstat(fd, &info) == 0 && (int64_t)info.st_blocks * 512 >= wanted;
}

/* QEMU and we have one file, and one place in it. */
static bool cut_to_length(int fd, GError **error)
{
        off_t length = lseek(fd, 0, SEEK_CUR);
        return (length >= 0 && ftruncate(fd, length) == 0) ||
               error_set_errno(error, errno, NULL, "cannot write the saved state");
}

static bool feed(Qmp *qmp, Job *job, int fd, GError **error)
{
        return set_speed(qmp, error) &&
               qmp_call_with_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), fd, NULL, error) &&
               qmp_call(qmp, "migrate", json_pack("{s:s}", "uri", "fd:state"), NULL, error) &&
               wait_migration(qmp, job, job_cancellable(job), error);
}

static bool write_state(Vm *vm, Job *job, const char *file, bool behind, HostlerSavedState *ret_saved, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        autoclose int fd = qmp ? open_state(vm, file, O_RDWR | O_CREAT | (behind ? 0 : O_TRUNC), error) : -1;
        if (fd < 0)
                return false;
        int64_t bytes = 0, crc = 0;
        /* A QEMU that cannot go on in the middle of it hangs, and has to be helped (process_memory.h). */
        ProcessId process = vm_process(vm);
        behind = behind && is_reserved(vm, fd) && process_memory_can_unprotect(&process);
        set_behind(qmp, behind, NULL);
        bool ok = feed(qmp, job, fd, error);
        /* A failed one is ended by the undo of who asked. */
        if (ok && behind)
                set_behind(qmp, false, NULL);
        ok = ok && cut_to_length(fd, error) && checksum(fd, &bytes, &crc, error);
        if (ok && fdatasync(fd) < 0)
                ok = error_set_errno(error, errno, NULL, "cannot write the saved state");
        record_init(&hostler_saved_state_type, ret_saved);
        ret_saved->file = ok ? g_strdup(file) : NULL;
        ret_saved->bytes = bytes;
        ret_saved->crc = crc;
        return ok;
}

bool saved_state_write(Vm *vm, Job *job, const char *file, HostlerSavedState *ret_saved, GError **error)
{
        return write_state(vm, job, file, false, ret_saved, error);
}

bool saved_state_write_behind(Vm *vm, Job *job, const char *file, HostlerSavedState *ret_saved, GError **error)
{
        return write_state(vm, job, file, true, ret_saved, error);
}

static bool say_damaged(Vm *vm, const char *how, GError **error)
{
        g_autofree char *object = vm_object(vm);
        error_set(error, HOSTLER_ERROR_FAILED, object, "the saved state is %s and cannot be resumed", how);
        return error_hint(
            error, "boot it from its disks instead, losing what was in memory: hostler stop %s --hard, then start",
            object + strlen("vm/"));
}

bool saved_state_let_go(Qmp *qmp, GError **error)
{
        json_auto_t *status = NULL;
        if (!qmp_call(qmp, "query-status", NULL, &status, error))
                return false;
        return g_strcmp0(json_string_value(json_object_get(status, "status")), "postmigrate") != 0 ||
               (qmp_call(qmp, "cont", NULL, NULL, error) && qmp_call(qmp, "stop", NULL, NULL, error));
}

bool saved_state_is_whole(Vm *vm, const HostlerSavedState *saved)
{
        int64_t bytes = 0, crc = 0;
        int fd = open_state(vm, saved->file, O_RDONLY, NULL);
        if (fd < 0)
                return false;
        bool read = checksum(fd, &bytes, &crc, NULL);
        close(fd);
        return read && bytes == saved->bytes && crc == saved->crc;
}

bool saved_state_check(Vm *vm, GError **error)
{
        HostlerVmRuntime runtime;
        int64_t bytes = 0, crc = 0, want_bytes, want_crc;
        vm_runtime(vm, &runtime);
        want_bytes = runtime.saved ? runtime.saved->bytes : -1;
        want_crc = runtime.saved ? runtime.saved->crc : -1;
        record_clear(&hostler_vm_runtime_type, &runtime);
        int fd = open_state(vm, SAVED_STATE_FILE, O_RDONLY, NULL);
        if (fd < 0)
                return say_damaged(vm, "missing", error);
        bool read = checksum(fd, &bytes, &crc, NULL);
        close(fd);
        if (!read || bytes != want_bytes)
                return say_damaged(vm, "cut short", error);
        return crc == want_crc || say_damaged(vm, "damaged", error);
}

bool saved_state_load_file(Vm *vm, GCancellable *cancellable, const char *path, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        autoclose int fd = qmp ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0)
                return qmp && error_set_errno(error, errno, NULL, "cannot open the saved state %s", path);
        return qmp_call_with_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), fd, NULL, error) &&
               qmp_call(qmp, "migrate-incoming", json_pack("{s:s}", "uri", "fd:state"), NULL, error) &&
               wait_migration(qmp, NULL, cancellable, error);
}

bool saved_state_load(Vm *vm, GCancellable *cancellable, GError **error)
{
        g_autofree char *path = vm_path(vm, SAVED_STATE_FILE);
        return saved_state_load_file(vm, cancellable, path, error);
}

/* ---- devices without memory ---- */

static bool leave_memory(Vm *vm, bool leave, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        return qmp &&
               qmp_call(qmp, "migrate-set-capabilities",
                        json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "x-ignore-shared", "state", leave),
                        NULL, error);
}

bool saved_state_load_devices(Vm *vm, GCancellable *cancellable, const char *path, GError **error)
{
        return leave_memory(vm, true, error) && saved_state_load_file(vm, cancellable, path, error) &&
               leave_memory(vm, false, error);
}

bool saved_state_write_devices(Vm *vm, Job *job, const char *path, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        autoclose int fd = qmp ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
        if (fd < 0)
                return qmp && error_set_errno(error, errno, NULL, "cannot write %s", path);
        return leave_memory(vm, true, error) && feed(qmp, job, fd, error);
}

bool saved_state_is_there(Vm *vm)
{
        HostlerVmRuntime runtime;
        vm_runtime(vm, &runtime);
        bool there = runtime.saved && !runtime.saved->spent;
        record_clear(&hostler_vm_runtime_type, &runtime);
        return there;
}

static void mark_spent(HostlerVmRuntime *runtime, void *data)
{
        if (runtime->saved)
                runtime->saved->spent = *(const bool *)data;
}

bool saved_state_set_spent(Vm *vm, bool spent, GError **error)
{
        return vm_update_runtime(vm, mark_spent, &spent, error);
}

static void drop_record(HostlerVmRuntime *runtime, void *data)
{
        if (runtime->saved)
                record_clear(&hostler_saved_state_type, runtime->saved);
        g_clear_pointer(&runtime->saved, g_free);
}

bool saved_state_forget(Vm *vm, GError **error)
{
        g_autofree char *path = vm_path(vm, SAVED_STATE_FILE);
        if (unlink(path) < 0 && errno != ENOENT)
                return error_set_errno(error, errno, NULL, "cannot remove %s", path);
        return vm_update_runtime(vm, drop_record, NULL, error);
}
