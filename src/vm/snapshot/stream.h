/*
 * QEMU's stream of memory and devices (its "migration"), to a file's descriptor and from one. Jobs' threads only.
 */
#pragma once

#include "job/job.h"
#include "wire/qmp.h"

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
/* Has QEMU end a stream, if it is at one, and be ready for another. Of STREAM_BEHIND that takes as long as writing. */
void stream_cancel(Qmp *qmp);
