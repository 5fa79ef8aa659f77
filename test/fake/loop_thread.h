/* A main context that runs on a thread of its own, so that a test can block like a worker while callbacks run like the
 * daemon's. */
#pragma once

#include <glib.h>

typedef struct LoopThread LoopThread;

LoopThread *loop_thread_new(void);
GMainContext *loop_thread_context(LoopThread *loop);
/* Runs @func on the loop's thread and waits until it has returned. */
void loop_thread_run(LoopThread *loop, void (*func)(void *data), void *data);
void loop_thread_free(LoopThread *loop);
