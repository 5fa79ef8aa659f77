/*
 * File systems of a guest, frozen and thawed. See freeze.h. Used by snapshot.c and, for what was left behind, by
 * watch.c.
 */
#include "vm/snapshot/freeze.h"

#include "base/error.h"
#include "vm/vm_internal.h"

#define FREEZE_MS 20000

/* True while a job, or the thread that does it instead, will thaw the guest. */
static bool set_freezing(Vm *vm, bool freezing)
{
        g_mutex_lock(&vm->lock);
        bool before = vm->freezing;
        vm->freezing = freezing;
        g_mutex_unlock(&vm->lock);
        return before;
}

static bool is_frozen(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        bool frozen = vm->runtime.frozen;
        g_mutex_unlock(&vm->lock);
        return frozen;
}

static void note(HostlerVmRuntime *runtime, void *data)
{
        runtime->frozen = *(const bool *)data;
}

static bool write_down(Vm *vm, bool frozen)
{
        return vm_update_runtime(vm, note, &frozen, NULL);
}

bool guest_freeze(Vm *vm, GCancellable *cancellable)
{
        g_autoptr(GError) local = NULL;
        g_autoptr(GuestAgent) agent = vm_agent(vm);
        if (!agent)
                return false;
        set_freezing(vm, true);
        if (write_down(vm, true) &&
            guest_agent_call(agent, "guest-fsfreeze-freeze", NULL, FREEZE_MS, cancellable, NULL, &local))
                return true;
        /* One that has not answered may have frozen them all the same. */
        guest_thaw(vm);
        return false;
}

void guest_thaw(Vm *vm)
{
        g_autoptr(GuestAgent) agent = is_frozen(vm) ? vm_agent(vm) : NULL;
        if (agent && guest_agent_call(agent, "guest-fsfreeze-thaw", NULL, FREEZE_MS, NULL, NULL, NULL))
                write_down(vm, false);
        set_freezing(vm, false);
}

void guest_thaw_if_left(Vm *vm)
{
        if (is_frozen(vm) && !set_freezing(vm, true))
                vm_in_background(vm, "thaw", guest_thaw);
}
