/*
 * See state_sum.h. A thread reads what was just written out of the host's cache, where it still is; when the last byte
 * has been written there is little left to read.
 */
#include "vm/snapshot/state_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/file.h"

#define CHUNK (1024 * 1024)
#define STEP_US 2000
/* A disk that is slower than this is taken for one that does not answer. */
#define SYNC_MS 60000
#define SLOWEST_BYTES_A_MS 4000

/* The follower's and its starter's. */
struct StateSum {
        int fd; /* its own */
        GThread *thread;
        bool ended; /* atomic */
        unsigned char *chunk;
        int64_t bytes;
        uint32_t crc;
        int problem; /* an errno */
};

static StateSum *sum_new(int fd)
{
        StateSum *sum = g_atomic_rc_box_new0(StateSum);
        sum->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        sum->problem = sum->fd < 0 ? errno : 0;
        sum->chunk = g_malloc(CHUNK);
        return sum;
}

static void sum_clear(void *data)
{
        StateSum *sum = data;
        g_free(sum->chunk);
        fd_close(&sum->fd);
}

static void sum_unref(StateSum *sum)
{
        g_atomic_rc_box_release_full(sum, sum_clear);
}

/* False at the file's end, or when it cannot be read. */
static bool add_chunk(StateSum *sum)
{
        ssize_t length = pread(sum->fd, sum->chunk, CHUNK, sum->bytes);
        if (length <= 0) {
                sum->problem = length < 0 ? errno : 0;
                return false;
        }
        sum->crc = libdeflate_crc32(sum->crc, sum->chunk, (size_t)length);
        sum->bytes += length;
        return true;
}

/* Space may have been reserved behind the place of writing: only whole chunks before it are read. */
static gpointer follow(gpointer data)
{
        StateSum *sum = data;
        while (!sum->problem && !__atomic_load_n(&sum->ended, __ATOMIC_ACQUIRE)) {
                if (lseek(sum->fd, 0, SEEK_CUR) - sum->bytes < CHUNK)
                        g_usleep(STEP_US);
                else if (!add_chunk(sum))
                        break;
        }
        sum_unref(sum);
        return NULL;
}

StateSum *state_sum_follow(int fd)
{
        StateSum *sum = sum_new(fd);
        sum->thread = g_thread_new("state-sum", follow, g_atomic_rc_box_acquire(sum));
        return sum;
}

static void tell_end(StateSum *sum)
{
        __atomic_store_n(&sum->ended, true, __ATOMIC_RELEASE);
}

static bool finish(StateSum *sum, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        while (!sum->problem && add_chunk(sum))
                ;
        *ret_bytes = sum->bytes;
        *ret_crc = (int64_t)sum->crc;
        return !sum->problem || error_set_errno(error, sum->problem, NULL, "cannot read the saved state");
}

static bool end(void *data, GError **error)
{
        StateSum *sum = data;
        int64_t bytes, crc;
        g_thread_join(sum->thread);
        off_t length = lseek(sum->fd, 0, SEEK_CUR);
        if (length < 0 || ftruncate(sum->fd, length) < 0)
                return error_set_errno(error, errno, NULL, "cannot write the saved state");
        return finish(sum, &bytes, &crc, error) &&
               (fdatasync(sum->fd) == 0 || error_set_errno(error, errno, NULL, "cannot write the saved state"));
}

bool state_sum_end(StateSum *sum_taken, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        tell_end(sum_taken);
        int64_t limit_ms = SYNC_MS + lseek(sum_taken->fd, 0, SEEK_CUR) / SLOWEST_BYTES_A_MS;
        bool ok = aside_run(end, sum_taken, sum_clear, limit_ms, error);
        *ret_bytes = ok ? sum_taken->bytes : 0;
        *ret_crc = ok ? (int64_t)sum_taken->crc : 0;
        sum_unref(sum_taken);
        return ok;
}

void state_sum_drop(StateSum *sum_taken)
{
        tell_end(sum_taken);
        /* Where somebody waits to write the file, the kernel lets nobody so much as ask how far it is. */
        g_thread_unref(sum_taken->thread);
        sum_unref(sum_taken);
}

bool state_sum_whole(int fd, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        StateSum *sum = sum_new(fd);
        bool ok = finish(sum, ret_bytes, ret_crc, error);
        sum_unref(sum);
        return ok;
}
