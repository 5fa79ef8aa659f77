/*
 * The identity of a copied guest: what its disks and memory have from the VM it was made from, until its agent has
 * given it what must not be in two machines. Whether that is still to be done is in its history (`identity_of`).
 */
#pragma once

#include "vm/manager.h"

/* Renews identities that identity_renew_soon() asks for, few at a time. g_thread_pool_free(). */
GThreadPool *identity_renewals_new(Manager *manager);
/* Main loop: the agent has answered. True when it is to be done and will be, or a job has the turn. */
bool identity_renew_soon(Vm *vm);
