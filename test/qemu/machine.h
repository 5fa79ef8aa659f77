/* A real QEMU for a test: started, connected to, and gone again with its folder. */
#pragma once

#include <gio/gio.h>

#include "fake/loop_thread.h"
#include "wire/qmp.h"

#define MACHINE_TIMEOUT_MS 20000
/* A descriptor that QEMU is given, for options that need one; what is written there is lost. */
#define MACHINE_SINK_FD 3

typedef struct {
        char *folder; /* QEMU's working directory */
        LoopThread *loop;
        GPid pid;
        Qmp *qmp;
        gint closed; /* atomic: the closed callback has run */
        gint events; /* atomic: how many SHUTDOWN */
} Machine;

/* A new folder, and nothing in it. */
void machine_init(Machine *machine, LoopThread *loop);
/* Starts QEMU with @arguments (NULL-terminated) and speaks QMP on @socket, a name in the folder. */
void machine_start(Machine *machine, const char *const *arguments, const char *socket);
/* Whether QEMU does as asked; @ret_result as in qmp_call(). */
bool machine_call(Machine *machine, const char *command, json_t *arguments_taken, json_t **ret_result, GError **error);
/* The same; the test fails when it refuses. */
json_t *machine_ask(Machine *machine, const char *command, json_t *arguments_taken);
/* Kills it and removes the folder. */
void machine_clear(Machine *machine);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Machine, machine_clear)
