/*
 * Whether KVM can be used: found out by running guest code under it, because an openable /dev/kvm proves nothing.
 *
 * The probe lets QEMU run a payload of a few hundred bytes (accel_payload.S) in place of a firmware, with a time limit
 * of 5 s. It goes through what every kernel needs first: real mode, protected mode, 64-bit mode with paging, an invalid
 * instruction and a page fault that are handled, 100 million turns of a loop, ten timer interrupts while halted. It
 * says on QEMU's debug port what it has done, so a verdict names what did not work. Hardware needs about 0.2 s for all
 * of it.
 *
 * The loop is there because of hosts that are guests themselves and whose KVM emulates what runs in a guest's kernel:
 * everything up to the loop works there, at some 2 million turns a second instead of billions, and a Linux kernel is
 * not seen to get anywhere. The verdict must not depend on a kernel image being there, so none is booted.
 *
 * HOSTLER_ACCEL=tcg or =kvm in the daemon's environment decides without a probe.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

typedef struct {
        bool kvm;        /* guests may use KVM; else TCG */
        char *reason;    /* one sentence, without a full stop */
        char *hint;      /* the command that mends it; NULL when there is none or nothing to mend */
        int64_t took_ms; /* of the probe itself, also when it is remembered; 0: it was not needed */
} AccelVerdict;
void accel_verdict_clear(AccelVerdict *verdict);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AccelVerdict, accel_verdict_clear)

/*
 * The verdict of this boot of the host: from @store (may be NULL: nothing is remembered) unless @force, else by probing
 * with the QEMU binary @qemu (NULL: there is none). Blocks for up to 6 s. Returns ret_verdict->kvm. Cancelled
 * (@cancellable may be NULL), it says TCG and remembers nothing. Any thread; two at once probe twice, harmlessly.
 */
bool accel_probe(const char *qemu, Store *store, bool force, GCancellable *cancellable, AccelVerdict *ret_verdict);

/*
 * Runs the payload under @accel ("kvm", "tcg") within @timeout_ms, remembering nothing. True if all of it worked.
 * @ret_reason (owned by the caller) says how it ended either way.
 */
bool accel_run_payload(const char *qemu, const char *accel, int64_t timeout_ms, GCancellable *cancellable,
                       char **ret_reason);
