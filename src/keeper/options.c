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

static int parse_fd(const char *name, const char *text)
{
        int fd = number_parse(name, text);
        if (fd <= 2 || fcntl(fd, F_GETFD) < 0)
                fail(EBADF, "%s %d", name, fd);
        return fd;
}

/* Which no child inherits. */
static int own_fd(const char *text)
{
        int fd = parse_fd("--tie", text);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        return fd;
}

static void add_fd(FdList *list, const char *text)
{
        int fd = parse_fd("--pass-fd", text);
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

static bool is_file_name(const char *name)
{
        return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* "SET:BYTES:NAME", for --pipe "LINK:BYTES:NAME" */
static void add_log(const char *option, char *text, VmOptions *options)
{
        bool by_link = strcmp(option, "--pipe") == 0;
        char *bytes = strchr(text, ':'), *name = bytes ? strchr(bytes + 1, ':') : NULL;

        if (options->n_logs == LOGS_MAX)
                fail(E2BIG, "more than %d logs", LOGS_MAX);
        if (!name || !is_file_name(name + 1))
                fail(EINVAL, "%s %s: a set or file, a size and a file name without folders are wanted", option, text);
        *bytes++ = *name++ = '\0';
        if (by_link && !is_file_name(text))
                fail(EINVAL, "%s %s: a file name without folders is wanted", option, text);
        LogOption *log = &options->logs[options->n_logs++];
        *log = (LogOption){.name = name,
                           .link = by_link ? text : NULL,
                           .set = by_link ? -1 : number_parse(option, text),
                           .max_bytes = number_parse(option, bytes)};
        if (log->max_bytes < LOG_CHUNK_BYTES)
                fail(EINVAL, "%s %s: less than %d bytes", option, name, LOG_CHUNK_BYTES);
}

static void parse_option(const char *name, char *value, VmOptions *options)
{
        if (strcmp(name, "--dir") == 0)
                options->dir = value;
        else if (strcmp(name, "--pass-fd") == 0)
                add_fd(&options->fds, value);
        else if (strcmp(name, "--tie") == 0)
                options->tie_fd = own_fd(value);
        else if (strcmp(name, "--log") == 0 || strcmp(name, "--pipe") == 0)
                add_log(name, value, options);
        else if (strcmp(name, "--uid") == 0)
                options->uid = number_parse(name, value);
        else if (strcmp(name, "--gid") == 0)
                options->gid = number_parse(name, value);
        else
                fail(EINVAL, "%s: unknown option", name);
}

void options_parse(char **argv, VmOptions *ret_options)
{
        ret_options->tie_fd = -1;
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
        ret_options->argv = argv + 1;
}
