/*
 * What will become of a host's or a VM's load: a Gauss-Markov forecast (forecast.h) and the chain of states (chain.h),
 * both learnt from a course of samples, and what the constrained decision problem (control.h) would do about it. Pure;
 * any thread.
 */
#pragma once

#include "sched/stay.h"

#define OUTLOOK_AHEAD 4
extern const unsigned outlook_ahead[OUTLOOK_AHEAD]; /* steps */
#define OUTLOOK_LEAST_SAMPLES 5
/* Part of the time that may be overload, for relief to be worth while. */
#define OUTLOOK_GOAL 0.1
/* What a move costs, in steps of overload. */
#define OUTLOOK_MOVE_COST 2

typedef struct {
        double load; /* now: share of what there is; above 1 there is not enough */
        HostState state;
        double mean, deviation; /* of the load, lately */
        double memory;          /* correlation of neighbouring samples, 0..1 */
        double ahead_mean[OUTLOOK_AHEAD], ahead_deviation[OUTLOOK_AHEAD];
        double share[HOST_STATES]; /* part of the time in each state, in the long run */
        double overload_within;    /* probability, in the largest of outlook_ahead */
        double steps_to_overload;  /* expected; 0: now, infinite: never seen */
        double overload_steps;     /* expected length of an overload; 0: never seen */
        double relieve;            /* probability with which relief is worth a move now, in the long run */
        Stay stay;                 /* whether it is, in the largest of outlook_ahead */
} Outlook;

/* @loads: in order of time, one for each step; those that are no number are left out. False for fewer than
 * OUTLOOK_LEAST_SAMPLES. */
bool outlook_of(const double *loads, unsigned n, Outlook *ret_outlook);

/* What is worth telling. */
typedef enum { OUTLOOK_CALM, OUTLOOK_EXPECTED, OUTLOOK_OVERLOADED } OutlookStage;
extern const char *const outlook_stage_names[];

/* Overload is expected when it is more likely than not. A stage must be seen OUTLOOK_LOOKS times running before it is
 * told. All zero at first. */
#define OUTLOOK_LOOKS 3
typedef struct {
        OutlookStage told, seen;
        unsigned looks;
} OutlookWatch;
/* True when @ret_stage is news. */
bool outlook_watch(OutlookWatch *watch, const Outlook *outlook, OutlookStage *ret_stage);
