/*
 * From what each is to get to what the kernel is told: weights and ceilings, and which of them are worth changing.
 *
 * A weight is worth shares: who has enough counts with the shares it has; one whose reservation is more than its shares
 * would give counts with what the reservation is worth at today's price of a share (granted / level). Weights divide
 * only what is fought for on the same processors, so where VMs together may use less than the processors there are,
 * those who are short get a ceiling, too. Hysteresis: a change smaller than ENFORCE_STEP is not made. Pure; any thread.
 */
#pragma once

#include "sched/allocate.h"

#define ENFORCE_STEP 0.1

typedef struct {
        double weight;  /* in shares */
        double ceiling; /* never more than so much; ALLOCATE_UNLIMITED: none */
} Enforced;

/* @claimant after allocate(). @limited: all together may use less than there is. */
Enforced enforce_wanted(const Claimant *claimant, bool limited);
/* Whether @wanted is far enough from what is in force; @now all zero: nothing is. */
bool enforce_differs(const Enforced *now, const Enforced *wanted);
/* Demand that a VM shows, from what it used and waited for: the average moves half-way up with each round and a
 * quarter down, and leaves room to grow (a tenth and a bit), so that nobody is held at what it happened to use. */
double enforce_demand(double *average, double used, double waited);
/* The same of a disk, where nobody counts who waits: one that does nearly what it is let do, @ceiling
 * (ALLOCATE_UNLIMITED: none), would take twice as much; others have half as much again to grow into. @least: room for
 * one that did nothing. */
double enforce_demand_throttled(double *average, double used, double ceiling, double least);
