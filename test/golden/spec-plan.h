/*
 * Plans of the specs in specs/, without a daemon: what the vm layer would say of a new VM stands here by hand. Used to
 * compare them with what is committed (test-plans), and to ask a real QEMU about them (test-plans-qemu).
 */
#pragma once

#include "device/device.h"

typedef struct {
        DeviceContext context;
        HostlerSpec spec;
        HostlerSlotList slots;        /* owned; in the order of the parts, as a new VM gets them */
        char *disk, *kernel, *initrd; /* of the one image there is, "tiny" */
} SpecPlan;

/* @json: a spec as people write it. Paths are borrowed. Cleared with spec_plan_clear(). */
void spec_plan_read(SpecPlan *ret_plan, const json_t *json, const char *vm_dir, const char *image_dir);
/* The same of specs/@name.json; of a VM under KVM where the name begins with "kvm". */
void spec_plan_load(SpecPlan *ret_plan, const char *name, const char *vm_dir, const char *image_dir);
void spec_plan_clear(SpecPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpecPlan, spec_plan_clear)

/* Names of all files in specs/, in order; g_strfreev. */
char **spec_plan_names(void);
