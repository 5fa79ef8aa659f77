/*
 * The terminal: raw mode for the console and questions for `rm`. Called by console.c, run.c and, for the way back,
 * interrupt.c.
 *
 * The one static variable of the command line is here: a signal handler has no other way to know what to restore.
 */
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

static struct {
        struct termios cooked;
        atomic_bool raw;
} terminal;

static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGQUIT};

static void on_crash(int signal_number)
{
        terminal_restore();
        raise(signal_number);
}

bool terminal_raw(void)
{
        struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &terminal.cooked) < 0)
                return false;
        for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
                sigaction(crashes[i], &action, NULL);
        /* Stopped in raw mode, it would leave the shell without echo. */
        signal(SIGTSTP, SIG_IGN);
        raw = terminal.cooked;
        cfmakeraw(&raw);
        atomic_store(&terminal.raw, true);
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
                return true;
        atomic_store(&terminal.raw, false);
        return false;
}

void terminal_restore(void)
{
        int saved_errno = errno;

        if (atomic_exchange(&terminal.raw, false))
                tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.cooked);
        errno = saved_errno;
}

bool terminal_confirm(const char *question)
{
        char answer[16] = "";

        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
                return false;
        fprintf(stderr, "%s [y/N] ", question);
        fflush(stderr);
        if (!fgets(answer, sizeof(answer), stdin))
                return false;
        answer[strcspn(answer, "\n")] = 0;
        return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}
