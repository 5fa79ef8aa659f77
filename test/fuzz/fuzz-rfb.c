/*
 * Fuzzes wire/rfb.c: the input is all that a hostile screen says before it hangs up. Whatever it says, there is an
 * answer or an error, and nothing is waited for.
 */
#include <glib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "wire/rfb.h"

#define PATIENCE_MS 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int ends[2];
        g_autoptr(GError) error = NULL;
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
        int64_t start_ms = clock_monotonic_ms();
        if (size > 0 && send(ends[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                size = 0;
        shutdown(ends[1], SHUT_WR);
        bool done = rfb_set_size_on(ends[0], 1024, 768, PATIENCE_MS, &error);
        g_assert_true(done == (error == NULL));
        g_assert_cmpint(clock_monotonic_ms() - start_ms, <, PATIENCE_MS);
        close(ends[0]);
        close(ends[1]);
        return 0;
}
