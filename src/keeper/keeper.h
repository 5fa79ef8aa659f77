/*
 * What the files of hostler-keeper share. It links libc alone, has one thread, and allocates next to nothing: one lives
 * beside every VM, and what is not here cannot break while nobody looks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FD_LIST_MAX = 256, HELPERS_MAX = 16, LOGS_MAX = 64, LOG_CHUNK_BYTES = 8192 };

/* Descriptors that a child gets under the same numbers. */
typedef struct {
        int fds[FD_LIST_MAX];
        int count;
} FdList;

/* ---- keeper.c ---- */
/* Says "error ERRNO TEXT" on stderr, ends all children and the keeper. */
_Noreturn void fail(int saved_errno, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- child.c: starting and ending processes ---- */
/* The writing end of a pipe, told to QEMU as `-add-fd set=SET,fd=FD`. */
typedef struct {
        int set, fd;
} FdSet;

typedef struct {
        char *const *argv;
        const FdList *fds;
        int out_fd;     /* its stdout and stderr, its stdin is /dev/null; -1: it shares all three with the keeper */
        bool own_group; /* leads a process group, and dies when the keeper is killed */
        const FdSet *sets;
        int n_sets;
        uid_t uid; /* 0: stays */
        gid_t gid;
} Child;

/* Forks a child that does nothing yet but wait at its gate (a descriptor for child_execute()). Fails the keeper on
 * error. */
pid_t child_prepare(const Child *child, int *ret_gate);
/* Lets it execute its program. 0 when that has happened, else why not; the child is gone then. Takes the gate. */
int child_execute(int gate_taken);
/* Blocks the signals that the keeper waits for instead of being interrupted by them. */
void signals_block(void);
/* Ends everything below this process, grandchildren too: SIGTERM and up to @grace_ms (0: not even asked), then SIGKILL.
 */
void children_end(int grace_ms);
void subreaper_become(void);

/* ---- log.c: files that cannot grow without bound ---- */
typedef struct {
        const char *name;
        int dir_fd;
        int fd; /* -1: not open (full disk); tried again at the next write */
        off_t size, max_bytes;
} Log;

void log_open(Log *log, int dir_fd, const char *name, off_t max_bytes);
void log_write(Log *log, const char *data, size_t length);
void log_printf(Log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Copies what the pipe holds now, one buffer full. False when there was nothing; at its end also closes it and makes it
 * -1. */
bool log_pump(Log *log, int *pipe_fd);

/* ---- record.c: keeper.json and exit.json ---- */
/* Field 22 of /proc/PID/stat; 0 if it cannot be read. */
unsigned long long start_ticks_of(pid_t pid);
/* Writes keeper.json into the working directory, whole or not at all. 0 or an errno. */
int record_running(pid_t qemu);
void record_not_running(void);
/* Reserves the space of exit.json in @dir_fd now, so that a disk that fills up meanwhile cannot lose it. */
int exit_reserve(int dir_fd);
/* Removes the record of the end before. */
void exit_forget(int dir_fd);
/* Fills the reserved file in and gives it its name. @status as from waitpid(). */
void exit_record(int dir_fd, int reserved_fd, int status);
/* Gives the reserved space back. */
void exit_release(int dir_fd);

/* ---- options.c ---- */
typedef struct {
        char **argv;
        FdList fds;
        pid_t pid;
} Helper;

/* What QEMU writes to a descriptor set or to a file of its working directory, kept in a file of at least
 * LOG_CHUNK_BYTES. */
typedef struct {
        const char *name;
        const char *link; /* name of QEMU's file; NULL: a set */
        int set, max_bytes;
} LogOption;

typedef struct {
        const char *dir;
        bool again;  /* what fails is started again */
        int tie_fd;  /* all ends when this pipe does, unless a byte came before; -1: there is none */
        char **argv; /* QEMU's */
        FdList fds;
        Helper helpers[HELPERS_MAX];
        int n_helpers;
        LogOption logs[LOGS_MAX];
        int n_logs;
        uid_t uid;
        gid_t gid;
} VmOptions;

/* @argv: what follows `hostler-keeper vm`; cut into pieces in place and pointed into. Fails the keeper on bad ones. */
void options_parse(char **argv, VmOptions *ret_options);
/* A number of 0 to INT_MAX, or the keeper fails. */
int number_parse(const char *name, const char *text);

/* ---- vm.c, run.c: the two modes; @argv is what follows the mode's name ---- */
int vm_main(char **argv);
int run_main(char **argv);

/* ---- later.c ---- */

int later_main(char **argv);
