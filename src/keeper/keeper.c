/*
 * hostler-keeper: stands between the daemon and a process that must outlive it (`vm`) or must not (`run`).
 *
 * Speaks no QMP, reads no configuration, decides nothing. Started by base/keeper_launch.c and base/process_run.c;
 * hostler-keeper(8) is its manual.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FAIL_GRACE_MS = 1000 };

void fail(int saved_errno, const char *format, ...)
{
        char text[1024];
        int length = snprintf(text, sizeof text, "error %d ", saved_errno);
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text + length, sizeof text - length - 1, format, arguments);
        va_end(arguments);
        strcat(text, "\n");
        ssize_t told = write(STDERR_FILENO, text, strlen(text));
        (void)told; /* if whoever started this is gone, nobody is left to tell */
        children_end(FAIL_GRACE_MS);
        _exit(1);
}

int main(int argc, char **argv)
{
        if (argc > 1 && strcmp(argv[1], "vm") == 0)
                return vm_main(argv + 2);
        if (argc > 1 && strcmp(argv[1], "run") == 0)
                return run_main(argv + 2);
        if (argc > 1 && strcmp(argv[1], "later") == 0)
                return later_main(argv + 2);
        fail(EINVAL, "hostler-keeper: the first argument is \"vm\", \"run\" or \"later\"; see hostler-keeper(8)");
}
