/*
 * `hostler-keeper later SECONDS -- CMD ARG…`: waits, then becomes a command. What is to happen unless somebody says
 * otherwise in time, even when the daemon is no more: whoever says so ends this process before.
 *
 * Detaches from nobody; it is started under `hostler-keeper vm`, which does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"

enum { EXIT_NOT_RUN = 127 };

int later_main(char **argv)
{
        struct timespec end;

        if (!argv[0] || !argv[1] || strcmp(argv[1], "--") != 0 || !argv[2])
                fail(EINVAL, "hostler-keeper later SECONDS -- CMD ARG...");
        /* The time a host sleeps counts: nobody reached it meanwhile. */
        clock_gettime(CLOCK_BOOTTIME, &end);
        end.tv_sec += number_parse("later", argv[0]);
        while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &end, NULL) == EINTR)
                continue;
        execv(argv[2], argv + 2);
        dprintf(STDERR_FILENO, "Cannot run %s: %s\n", argv[2], strerror(errno));
        return EXIT_NOT_RUN;
}
