/*
 * Entropy from the host, which every VM has (virtio-rng): from the kernel's generator, or from a hardware one where it
 * can be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#define HARDWARE "/dev/hwrng"
#define DEFAULT_PERIOD_MS 1000

static bool is_hardware(const HostlerPart *part)
{
        return ((const HostlerRngProps *)part->props)->source == HOSTLER_RNG_SOURCE_HWRNG;
}

static void rng_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerRngProps *props = part->props;
        if (props->period != HOSTLER_UNSET && props->rate == HOSTLER_UNSET)
                faults_add(faults, "/spec/rng/period", "a period goes with a rate");
}

/* A host without such hardware has the file all the same; only reading tells. */
static bool rng_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        char byte;
        if (!is_hardware(part))
                return true;
        autoclose int fd = open(HARDWARE, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && (read(fd, &byte, 1) == 1 || errno == EAGAIN))
                return true;
        error_set_errno(error, errno, NULL, "cannot read this host's hardware random number generator, " HARDWARE);
        return error_hint(error, "hostler set %s rng.source=urandom", context->vm_name);
}

static void rng_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        const HostlerRngProps *props = part->props;
        json_t *args = chassis_device(part, "virtio-rng-pci", CHASSIS_SLOT_RNG);
        plan_add(plan, STEP_OBJECT,
                 json_pack("{s:s, s:s, s:s}", "qom-type", "rng-random", "id", "entropy", "filename",
                           is_hardware(part) ? HARDWARE : "/dev/urandom"));
        json_object_set_new(args, "rng", json_string("entropy"));
        if (props->rate != HOSTLER_UNSET) {
                int64_t period_ms = props->period != HOSTLER_UNSET ? props->period : DEFAULT_PERIOD_MS;
                json_object_set_new(args, "max-bytes", json_integer(props->rate));
                json_object_set_new(args, "period", json_integer(period_ms));
        }
        plan_add(plan, STEP_DEVICE, args);
}

const DeviceType rng_device = {
    .kind = "rng",
    .check = rng_check,
    .acquire = rng_acquire,
    .plan = rng_plan,
    .guest = "cat /sys/class/misc/hw_random/rng_current",
};
