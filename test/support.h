/* What tests with real processes share: waiting without guessing how long, and a VM's folder. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "base/file.h"
#include "base/keeper_launch.h"
#include "base/process.h"

enum { SUPPORT_WAIT_MS = 20 * 1000, SUPPORT_ROUND_MS = 5 };

/* Until CONDITION holds; the test fails when it never does. */
#define wait_until(condition)                                                                                          \
        do {                                                                                                           \
                int rounds_left = SUPPORT_WAIT_MS / SUPPORT_ROUND_MS;                                                  \
                while (!(condition) && rounds_left-- > 0)                                                              \
                        g_usleep(SUPPORT_ROUND_MS * 1000);                                                             \
                g_assert_true(condition);                                                                              \
        } while (0)

static inline bool pid_lives(pid_t pid)
{
        ProcessId id;
        return process_id_of(pid, &id);
}

/* The number in a file that some process writes sooner or later; 0: not yet. */
static inline pid_t pid_in_file(const char *path)
{
        g_autofree char *text = file_read(path, 64, NULL, NULL);
        return text && g_str_has_suffix(text, "\n") ? atoi(text) : 0;
}

static inline char *vm_folder_new(void)
{
        char *dir = g_dir_make_tmp("hostler-vm\n,XXXXXX", NULL);
        g_autofree char *run = g_build_filename(dir, "run", NULL);
        g_assert_true(dir_ensure(run, NULL));
        return dir;
}

static inline KeeperExit wait_exit(const char *dir)
{
        KeeperExit result;
        wait_until(keeper_exit_read(dir, &result, NULL));
        return result;
}
