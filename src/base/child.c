/*
 * posix_spawn with what Hostler always wants: clean signals, a clean environment, exact descriptors.
 *
 * Waits for nothing and reaps nothing. Called by process_run.c and keeper_launch.c.
 */
#include "base/child.h"

#include <signal.h>
#include <spawn.h>

#include "base/file.h"

typedef struct {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
} ChildSetup;

static void child_setup_clear(ChildSetup *setup)
{
        posix_spawn_file_actions_destroy(&setup->actions);
        posix_spawnattr_destroy(&setup->attributes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ChildSetup, child_setup_clear)

/* dup2 of a descriptor onto itself clears its close-on-exec flag: glibc does so as POSIX wants it. 0 or an errno. */
static int setup_files(posix_spawn_file_actions_t *actions, const ChildStart *start)
{
        int failed = posix_spawn_file_actions_addchdir_np(actions, start->directory);
        for (int i = 0; i < 3 && !failed; i++)
                failed = posix_spawn_file_actions_adddup2(actions, start->stdio[i], i);
        for (gsize i = 0; i < start->n_fds && !failed; i++)
                failed = posix_spawn_file_actions_adddup2(actions, start->fds[i], start->fds[i]);
        return failed;
}

static void setup_signals(posix_spawnattr_t *attributes)
{
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(attributes, &none);
        posix_spawnattr_setsigdefault(attributes, &all);
        posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static char **clean_environment(void)
{
        g_autofree char *search = child_search_path();
        char **environment = g_new0(char *, 4);
        environment[0] = g_strconcat("PATH=", search, NULL);
        environment[1] = g_strconcat("HOME=", g_get_home_dir(), NULL);
        environment[2] = g_strdup("LC_ALL=C.UTF-8");
        return environment;
}

bool child_start(const ChildStart *start, pid_t *ret_pid, GError **error)
{
        g_auto(ChildSetup) setup = {0};
        posix_spawn_file_actions_init(&setup.actions);
        posix_spawnattr_init(&setup.attributes);
        g_auto(GStrv) clean = start->environment ? NULL : clean_environment();
        char *const *environment = clean ? clean : (char *const *)start->environment;

        setup_signals(&setup.attributes);
        int failed = setup_files(&setup.actions, start);
        if (!failed)
                failed =
                    posix_spawn(ret_pid, start->argv[0], &setup.actions, &setup.attributes, start->argv, environment);
        return !failed || error_set_errno(error, failed, NULL, "Cannot run %s", start->argv[0]);
}

char *child_search_path(void)
{
        const char *path = g_getenv("PATH");
        return g_strconcat(path && *path ? path : "/usr/local/bin:/usr/bin:/bin", ":/usr/sbin:/sbin", NULL);
}
