/*
 * Saved states: QEMU's stream (stream.h) in files with a length and a checksum (state_sum.h). See saved_state.h.
 *
 * A guest that runs has its memory written ahead: what it changes meanwhile is written once more, so that it has to
 * stand still for the last of it only. That takes hardly longer than writing memory once. Where memory changes faster
 * than a file can be written, QEMU keeps one moment apart and writes that behind the guest, for which each page costs
 * it two calls into the kernel.
 */
#include "vm/snapshot/saved_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process_memory.h"
#include "base/units.h"
#include "vm/snapshot/state_sum.h"
#include "vm/snapshot/stream.h"

#define DEVICES_BYTES (64LL << 20)
#define OPEN_MS 20000

/* What is done with a file for the first time, by which it is seen whether its file system takes anything. */
typedef struct {
        char *path;
        int flags, fd;
        int64_t reserve; /* bytes; HOSTLER_UNSET: none */
} Opening;

static void opening_clear(void *data)
{
        Opening *opening = data;
        g_free(opening->path);
        fd_close(&opening->fd);
}

static bool open_it(void *data, GError **error)
{
        Opening *opening = data;
        if (aside_is_removing(opening->path))
                return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL,
                                 "the file system of %s does not answer: an earlier one is still to be removed there",
                                 opening->path);
        opening->fd = open(opening->path, opening->flags | O_CLOEXEC, 0600);
        if (opening->fd < 0)
                return error_set_errno(error, errno, NULL, "cannot open the saved state %s", opening->path);
        if (opening->reserve == HOSTLER_UNSET || fallocate(opening->fd, 0, 0, opening->reserve) == 0 ||
            errno == EOPNOTSUPP)
                return true;
        return errno == ENOSPC ? error_set(error, HOSTLER_ERROR_NO_CAPACITY, NULL,
                                           "the VM's memory does not find room: No space left on device")
                               : error_set_errno(error, errno, NULL, "cannot reserve space for the VM's memory");
}

static int open_and_reserve(Vm *vm, const char *file, int flags, int64_t reserve, GError **error)
{
        Opening *opening = g_atomic_rc_box_new(Opening);
        *opening = (Opening){.path = vm_path(vm, file), .flags = flags, .fd = -1, .reserve = reserve};
        int fd = aside_run(open_it, opening, opening_clear, OPEN_MS, error) ? fd_steal(&opening->fd) : -1;
        g_atomic_rc_box_release_full(opening, opening_clear);
        return fd;
}

static int open_state(Vm *vm, const char *file, int flags, GError **error)
{
        return open_and_reserve(vm, file, flags, HOSTLER_UNSET, error);
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
        autoclose int fd = open_and_reserve(vm, file, O_RDWR | O_CREAT | O_TRUNC, room_wanted(vm), error);
        return fd >= 0;
}

/* It has been, and the host's file system can. */
static bool is_reserved(Vm *vm, int fd)
{
        struct stat info;
        int64_t wanted = room_wanted(vm);
        return wanted != HOSTLER_UNSET && fstat(fd, &info) == 0 && (int64_t)info.st_blocks * 512 >= wanted;
}

/* @sum is freed; its file is the caller's. */
static bool describe(StateSum *sum_taken, const char *file, HostlerSavedState *ret_saved, GError **error)
{
        record_init(&hostler_saved_state_type, ret_saved);
        if (!state_sum_end(sum_taken, &ret_saved->bytes, &ret_saved->crc, error))
                return false;
        ret_saved->file = g_strdup(file);
        return true;
}

static bool write_still(Qmp *qmp, Job *job, int fd, const char *file, HostlerSavedState *ret_saved, GError **error)
{
        StateSum *sum = state_sum_follow(fd);
        if (stream_begin(qmp, fd, error) && stream_wait(qmp, job, error))
                return describe(sum, file, ret_saved, error);
        /* What has begun is ended by the undo of who asked. */
        state_sum_drop(sum);
        return false;
}

bool saved_state_check_free(Vm *vm, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        ProcessId process = vm_process(vm);
        g_autofree char *object = vm_object(vm);
        if (!qmp)
                return false;
        if (vm_power(vm) != HOSTLER_POWER_RUNNING || !process_memory_may_be_protected(&process) ||
            stream_mend(qmp, error))
                return true;
        return error_wrap(error, HOSTLER_ERROR_BUSY, object, "its memory cannot be written now");
}

bool saved_state_write(Vm *vm, Job *job, const char *file, HostlerSavedState *ret_saved, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        autoclose int fd = qmp ? open_state(vm, file, O_RDWR | O_CREAT | O_TRUNC, error) : -1;
        if (fd < 0)
                return false;
        stream_set_mode(qmp, STREAM_AT_ONCE, NULL);
        if (write_still(qmp, job, fd, file, ret_saved, error))
                return true;
        aside_close(fd_steal(&fd));
        return false;
}

/* ---- of a guest that runs ---- */

/* The guest stands still until QEMU keeps the moment apart; where it cannot, until all is written. */
static bool write_behind(Vm *vm, Qmp *qmp, Job *job, int fd, const char *file, const SavedMoment *moment,
                         HostlerSavedState *ret_saved, GError **error)
{
        if (lseek(fd, 0, SEEK_SET) < 0)
                return error_set_errno(error, errno, NULL, "cannot write the saved state");
        if (!moment->stop(moment->data, error) || !moment->hold(moment->data, error))
                return false;
        /* A QEMU that cannot go on in the middle of it hangs, and has to be helped (process_memory.h). */
        ProcessId process = vm_process(vm);
        bool behind = is_reserved(vm, fd) && process_memory_can_unprotect(&process);
        stream_set_mode(qmp, behind ? STREAM_BEHIND : STREAM_AT_ONCE, NULL);
        if (!write_still(qmp, job, fd, file, ret_saved, error))
                return false;
        stream_set_mode(qmp, STREAM_AT_ONCE, NULL);
        return true;
}

static bool hold_and_end(Qmp *qmp, Job *job, const SavedMoment *moment, GError **error)
{
        bool ok = moment->stop(moment->data, error) && stream_wait_devices(qmp, job, error) &&
                  moment->hold(moment->data, error) && stream_go_on(qmp, error) && stream_wait(qmp, job, error) &&
                  qmp_call(qmp, "cont", NULL, NULL, error);
        if (ok)
                stream_set_mode(qmp, STREAM_AT_ONCE, NULL);
        return ok;
}

static bool write_running(Vm *vm, Qmp *qmp, Job *job, int fd, const char *file, const SavedMoment *moment,
                          HostlerSavedState *ret_saved, GError **error)
{
        bool near = false;
        if (!stream_set_mode(qmp, STREAM_AHEAD, error))
                return false;
        StateSum *sum = state_sum_follow(fd);
        bool ok = stream_begin(qmp, fd, error) && stream_wait_near_end(qmp, job, &near, error);
        if (ok && near && hold_and_end(qmp, job, moment, error))
                return describe(sum, file, ret_saved, error);
        state_sum_drop(sum);
        if (!ok || near)
                return false;
        stream_cancel(qmp);
        return write_behind(vm, qmp, job, fd, file, moment, ret_saved, error);
}

bool saved_state_write_running(Vm *vm, Job *job, const char *file, const SavedMoment *moment,
                               HostlerSavedState *ret_saved, GError **error)
{
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        autoclose int fd = qmp ? open_state(vm, file, O_RDWR | O_CREAT, error) : -1;
        if (fd < 0)
                return false;
        if (write_running(vm, qmp, job, fd, file, moment, ret_saved, error))
                return true;
        aside_close(fd_steal(&fd));
        return false;
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
        bool read = state_sum_whole(fd, &bytes, &crc, NULL);
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
        bool read = state_sum_whole(fd, &bytes, &crc, NULL);
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
        return stream_load(qmp, fd, cancellable, error);
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
        return leave_memory(vm, true, error) && stream_begin(qmp, fd, error) && stream_wait(qmp, job, error);
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
        return dir_remove_durably(path, error) && vm_update_runtime(vm, drop_record, NULL, error);
}
