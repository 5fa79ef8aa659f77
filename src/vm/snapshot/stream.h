/*
 * QEMU's stream of memory and devices (its "migration"), to a file's descriptor and from one. Jobs' threads only.
 */
#pragma once

#include "job/job.h"
#include "wire/qmp.h"

/*
 * Who waits for what is written waits for as long as anything is: HOSTLER_ERROR_FAILED with a hint when the file has
 * taken nothing for a while, which no write says by itself whose file system is frozen, or on a server that is gone.
 */

/* How memory gets into the stream. */
typedef enum {
        STREAM_AT_ONCE, /* all of it, of a VM that stands still */
        STREAM_AHEAD,   /* while the guest goes on, what it changes once more; waits before the devices are written */
        STREAM_BEHIND,  /* of one moment, kept apart from a guest that goes on */
} StreamMode;

/* False and error where QEMU or the host cannot; then as STREAM_AT_ONCE. */
bool stream_set_mode(Qmp *qmp, StreamMode mode, GError **error);
/* From where @fd (borrowed) stands on, as fast as can be; ends with stream_wait(). */
bool stream_begin(Qmp *qmp, int fd, GError **error);
/* The other way. The VM stands still afterwards. */
bool stream_load(Qmp *qmp, int fd, GCancellable *cancellable, GError **error);
/* Until all is written. @job: told of its progress, and whose end is looked at. */
bool stream_wait(Qmp *qmp, Job *job, GError **error);
/*
 * Of STREAM_AHEAD: until so little is left that the guest may stand still for it; @ret_near false when it writes faster
 * than the file is written.
 */
bool stream_wait_near_end(Qmp *qmp, Job *job, bool *ret_near, GError **error);
/* Of STREAM_AHEAD, the guest having been stopped: until only the devices are missing. stream_go_on() writes them. */
bool stream_wait_devices(Qmp *qmp, Job *job, GError **error);
bool stream_go_on(Qmp *qmp, GError **error);
/* Has QEMU end a stream, if it is at one, and be ready for another. Of STREAM_BEHIND that takes as
 * long as writing. One whose file takes nothing any more is left behind; it ends by itself when the file does. */
void stream_cancel(Qmp *qmp);
/*
 * A QEMU 7.2 that has failed to write behind its guest remembers pages as kept apart, and fails at the first of them
 * whenever memory is to be written in another way. Writing behind it to the end, to nowhere, puts that right. Of a VM
 * that runs only: it goes on afterwards. HOSTLER_ERROR_BUSY while what failed is not over.
 */
bool stream_mend(Qmp *qmp, GError **error);
