/*
 * The arguments of `hostler-keeper vm`. By hand, not by getopt: a helper's arguments are a list inside the list.
 *
 * Opens nothing and checks no paths. Called by vm.c (and number_parse by run.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/keeper.h"

int number_parse(const char *name, const char *text)
{
        char *end;
        errno = 0;
        long number = strtol(text, &end, 10);
        if (errno || end == text || *end || number < 0 || number > INT_MAX)
                fail(EINVAL, "%s %s: not a number", name, text);
        return number;
}

static void add_fd(FdList *list, const char *text)
{
        int fd = number_parse("--pass-fd", text);
        if (fd <= 2 || fcntl(fd, F_GETFD) < 0)
                fail(EBADF, "--pass-fd %d", fd);
        if (list->count == FD_LIST_MAX)
                fail(E2BIG, "more than %d descriptors", FD_LIST_MAX);
        list->fds[list->count++] = fd;
}

/* `--helper [--pass-fd N]… CMD ARG… --`: returns what follows it. Its closing "--" becomes the NULL that ends its argv.
 */
static char **parse_helper(char **argv, VmOptions *options)
{
        if (options->n_helpers == HELPERS_MAX)
                fail(E2BIG, "more than %d helpers", HELPERS_MAX);
        Helper *helper = &options->helpers[options->n_helpers++];

        for (; argv[0] && argv[1] && strcmp(argv[0], "--pass-fd") == 0; argv += 2)
                add_fd(&helper->fds, argv[1]);
        helper->argv = argv;
        while (*argv && strcmp(*argv, "--") != 0)
                argv++;
        if (!*argv || argv == helper->argv)
                fail(EINVAL, "--helper: a command and \"--\" are missing");
        *argv = NULL;
        return argv + 1;
}

static void parse_option(const char *name, const char *value, VmOptions *options)
{
        if (strcmp(name, "--dir") == 0)
                options->dir = value;
        else if (strcmp(name, "--pass-fd") == 0)
                add_fd(&options->fds, value);
        else if (strcmp(name, "--console-log") == 0)
                options->console_log = value;
        else if (strcmp(name, "--console-fd-set") == 0)
                options->console_fd_set = number_parse(name, value);
        else if (strcmp(name, "--uid") == 0)
                options->uid = number_parse(name, value);
        else if (strcmp(name, "--gid") == 0)
                options->gid = number_parse(name, value);
        else
                fail(EINVAL, "%s: unknown option", name);
}

void options_parse(char **argv, VmOptions *ret_options)
{
        while (*argv && strcmp(*argv, "--") != 0) {
                if (strcmp(*argv, "--again") == 0) {
                        ret_options->again = true;
                        argv++;
                        continue;
                }
                if (!argv[1])
                        fail(EINVAL, "%s: a value is missing", *argv);
                if (strcmp(*argv, "--helper") == 0) {
                        argv = parse_helper(argv + 1, ret_options);
                        continue;
                }
                parse_option(argv[0], argv[1], ret_options);
                argv += 2;
        }
        if (!*argv || !argv[1])
                fail(EINVAL, "\"--\" and QEMU's command are missing");
        if (!ret_options->dir)
                fail(EINVAL, "--dir is missing");
        if (ret_options->console_log && (strchr(ret_options->console_log, '/') || !*ret_options->console_log))
                fail(EINVAL, "--console-log %s: a file name without folders is wanted", ret_options->console_log);
        ret_options->argv = argv + 1;
}
