/*
 * Placement: which VM on which host, and why. One engine for initial packing, relief of hosts that are short,
 * rebalancing, consolidation, maintenance.
 *
 * Each round takes what every VM asks for now, adds it to the VM's forecast, and returns moves. What is minimised, in
 * watts: the idle power of the hosts that are on, plus a price for the shortage each host is expected to suffer in the
 * next interval, plus what moving costs, spread over a horizon. Shortage of a host with capacity C whose load has mean
 * M, variance V and third cumulant K (of independent VMs all three are sums):
 *     E[(X - C)+] = s (G(z) + g/6 z f(z) + g^2/72 (z^4 - 6 z^2 + 3) f(z)),  z = (C - M)/s,  s = tail sqrt(V), g =
 * K/V^1.5 with f the normal density and G(z) = f(z) - z Q(z) its loss function: Edgeworth's series (Cramer,
 * Mathematical Methods of Statistics, 17.6). A unit short costs what it would on its host, but rebalancing weighs it
 * alike wherever it is. Hard rules come first and are never broken by a move.
 *
 * Pure: no clock, no file, no socket. The result depends on the values alone, not on the order of the samples of a
 * round. One thread at a time per Placer. Units: processor in any unit that hosts and VMs share (MHz, MIPS),
 * memory likewise.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "sched/forecast.h"

#define SCHED_POWER_POINTS 11

typedef struct {
        double cpu;    /* all processors together; > 0 */
        double core;   /* one of them: what one virtual processor can get at most; 0: no such limit */
        double memory; /* 0: not counted */
        double watts[SCHED_POWER_POINTS]; /* at 0, 10, … 100 % of cpu */
        bool maintenance;                 /* takes no VM and is emptied */
} SchedHost;

typedef struct {
        double cpu;          /* the most it can ask for; > 0 */
        double core;         /* the most one of its virtual processors can ask for */
        double memory;       /* what it holds */
        double move_seconds; /* what a migration of it takes */
        int host;            /* where it is at first; -1: nowhere yet, to be placed */
} SchedVm;

typedef enum {
        RULE_TOGETHER, /* all on the same host */
        RULE_APART,    /* no two on the same host */
        RULE_ONLY_ON,  /* on one of the hosts */
        RULE_NEVER_ON, /* on none of the hosts */
} SchedRuleKind;

/* Borrowed for the call that takes it. */
typedef struct {
        SchedRuleKind kind;
        const char *name; /* for messages */
        const unsigned *vms;
        unsigned n_vms;
        const unsigned *hosts; /* of the last two kinds */
        unsigned n_hosts;
} SchedRule;

/* Tuned over three days of traces together; `hostler simulate --help` and docs/guide/scheduling.md list them. Watts and
 * capacity are a host's own, so nothing depends on units. */
typedef struct {
        ForecastPolicy forecast;
        double shortage_price; /* one unit short costs as much as keeping this many units of capacity on */
        double tail;           /* what the forecast's standard deviation is multiplied with */
        double fill_limit;     /* share of a host's capacity that today's load may take after a move */
        double packing_margin; /* first packing: M + margin sqrt(V) <= C */
        double move_overhead;  /* what a move costs beside its seconds of lost demand: seconds of a host's capacity */
        double relief_opening; /* what the first arrival of a round costs its host, in its idle power: to relieve, … */
        double empty_opening;  /* … to empty a host, … */
        double balance_opening;  /* … and to rebalance, in capacity short */
        double balance_gain;     /* least gain of a rebalancing move, in capacity short */
        double empty_horizon;    /* intervals over which emptying a host must pay, and the plan of hosts reaches */
        double balance_moves;    /* most rebalancing moves in a round for each 64 hosts that are on */
        double hold_rounds;      /* rounds a VM stays where it was put, unless that host is short */
        double interval_seconds; /* between two rounds */
        double move_loss;        /* share of its demand a VM loses while it moves */
        unsigned spare_hosts;    /* capacity of so many hosts is kept when hosts are emptied (HA reserve) */
} PlacePolicy;

typedef enum { PLACE_SAFE, PLACE_BALANCED, PLACE_ECO } PlaceStyle;
PlacePolicy place_policy(PlaceStyle style);

typedef enum { MOVE_RELIEF, MOVE_RULE, MOVE_MAINTENANCE, MOVE_PACK, MOVE_EMPTY, MOVE_BALANCE } MoveReason;
extern const char *const move_reasons[]; /* "relief", … */

typedef struct {
        unsigned vm;
        int from, to;
        MoveReason reason;
        /* Expected load and shortage of the next interval, of the host it leaves and the one it goes to. */
        double from_before, from_after, to_before, to_after;
        double short_before, short_after; /* of both hosts together */
} PlaceMove;

typedef struct Placer Placer;

/* HOSTLER_ERROR_INVALID names what is wrong: a value that is none, rules that contradict each other (both names).
 * Copies everything. */
Placer *placer_new(const PlacePolicy *policy, const SchedHost *hosts, unsigned n_hosts, const SchedVm *vms,
                   unsigned n_vms, const SchedRule *rules, unsigned n_rules, GError **error);
void placer_free(Placer *placer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Placer, placer_free)

/* One round: placer_begin(); placer_sample() for each VM there is; placer_decide(). A VM without a sample in a round is
 * gone until it has one again. */
void placer_begin(Placer *placer);
/* @host: where it is (-1: nowhere); @demand: what it asks for. False, and the sample is dropped and counted, when it is
 * not a number or negative, or names no such VM or host: the VM is then held where it is for this round. */
bool placer_sample(Placer *placer, unsigned vm, int host, double demand);
/* Instead of placer_decide(), of a round of the past: it is learnt from and nothing is decided. */
void placer_learn(Placer *placer);
/* The moves, at most one per VM; valid until the next placer_begin(). */
const GArray *placer_decide(Placer *placer); /* of PlaceMove */

void placer_set_maintenance(Placer *placer, unsigned host, bool maintenance);

typedef struct {
        unsigned hosts_on, short_now, dropped;
        double load, expected_load, expected_short;
        double cpu_price, memory_price; /* watts for one unit more, from the linear program of the first packing */
} PlaceState;
/* After placer_decide(), as it will be when the moves are done. */
PlaceState placer_state(const Placer *placer);
/* Of one host: mean and variance of its next load, expected shortage. */
void placer_host(const Placer *placer, unsigned host, double *ret_mean, double *ret_variance, double *ret_short);
const Forecast *placer_forecast(const Placer *placer, unsigned vm);
