/*
 * See state_sum.h. A thread reads what was just written out of the host's cache, where it still is; when the last byte
 * has been written there is little left to read.
 */
#include "vm/snapshot/state_sum.h"

#include <errno.h>
#include <libdeflate.h>
#include <unistd.h>

#include "base/file.h"

#define CHUNK (1024 * 1024)
#define STEP_US 2000

struct StateSum {
        int fd;
        GThread *thread;
        bool ended; /* atomic */
        unsigned char *chunk;
        int64_t bytes;
        uint32_t crc;
        int problem; /* an errno */
};

static StateSum *sum_new(int fd)
{
        StateSum *sum = g_new0(StateSum, 1);
        sum->fd = fd;
        sum->chunk = g_malloc(CHUNK);
        return sum;
}

static void sum_free(StateSum *sum)
{
        g_free(sum->chunk);
        g_free(sum);
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
        while (!__atomic_load_n(&sum->ended, __ATOMIC_ACQUIRE)) {
                if (lseek(sum->fd, 0, SEEK_CUR) - sum->bytes < CHUNK)
                        g_usleep(STEP_US);
                else if (!add_chunk(sum))
                        break;
        }
        return NULL;
}

StateSum *state_sum_follow(int fd)
{
        StateSum *sum = sum_new(fd);
        sum->thread = g_thread_new("state-sum", follow, sum);
        return sum;
}

static void join(StateSum *sum)
{
        __atomic_store_n(&sum->ended, true, __ATOMIC_RELEASE);
        g_thread_join(sum->thread);
}

static bool finish(StateSum *sum, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        while (!sum->problem && add_chunk(sum))
                ;
        *ret_bytes = sum->bytes;
        *ret_crc = (int64_t)sum->crc;
        return !sum->problem || error_set_errno(error, sum->problem, NULL, "cannot read the saved state");
}

bool state_sum_end(StateSum *sum_taken, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        join(sum_taken);
        off_t length = lseek(sum_taken->fd, 0, SEEK_CUR);
        bool ok = (length >= 0 && ftruncate(sum_taken->fd, length) == 0) ||
                  error_set_errno(error, errno, NULL, "cannot write the saved state");
        ok = ok && finish(sum_taken, ret_bytes, ret_crc, error);
        if (ok && fdatasync(sum_taken->fd) < 0)
                ok = error_set_errno(error, errno, NULL, "cannot write the saved state");
        sum_free(sum_taken);
        return ok;
}

void state_sum_drop(StateSum *sum_taken)
{
        join(sum_taken);
        sum_free(sum_taken);
}

bool state_sum_whole(int fd, int64_t *ret_bytes, int64_t *ret_crc, GError **error)
{
        StateSum *sum = sum_new(fd);
        bool ok = finish(sum, ret_bytes, ret_crc, error);
        sum_free(sum);
        return ok;
}
