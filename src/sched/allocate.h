/*
 * Allocation: what each of those who share something gets of it. Processor, memory, disk and network alike.
 *
 * Shares mean weighted max-min fairness: maximise lambda subject to x_i >= min(u_i, max(R_i, lambda s_i)), u_i =
 * min(L_i, d_i), sum x <= C, and again for those not yet satisfied. For one capacity the solution of that lexicographic
 * linear program is water-filling, x_i = clamp(lambda s_i, min(R_i, u_i), u_i) with sum x = min(C, sum u), found here
 * exactly in O(n log n): lambda is a root of a sum of clamps, which is linear between breakpoints. Pools form a tree: a
 * pool is one claimant among its siblings, and what it gets is shared among its own. (Weights of a plain weighted sum
 * would starve everyone but the largest share.)
 *
 * Pure, any thread; the result does not depend on the order of claimants beyond rounding. Units are the caller's.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define ALLOCATE_UNLIMITED 1e300

typedef struct {
        double reservation; /* what it gets if it wants it; >= 0 */
        double limit;       /* never more; ALLOCATE_UNLIMITED: none */
        double shares;      /* > 0 */
        double demand;      /* what it would take; of pools filled in: what their members would */
} Claim;

typedef struct {
        Claim claim;
        int pool; /* index of the pool it is in; -1: at the top. A pool stands before its members */
        bool is_pool;
        bool expandable;  /* pool: members' reservations beyond its own are taken from above */
        const char *name; /* for messages; NULL: none */
        /* Filled in. */
        double granted;
        double level; /* lambda of the pool that it is in: what one share got; infinite when nobody there was short */
        const char *bound; /* why not more or less: "demand", "limit", "reservation", "shares" */
} Claimant;

/* Flat water-filling. @ret_granted: n numbers. Returns lambda, infinite when all get what they want. Reservations that
 * exceed @capacity together are cut in proportion. */
double allocate_fill(double capacity, const Claim *claims, unsigned n, double *ret_granted);

/* The whole tree. HOSTLER_ERROR_INVALID names a claimant whose numbers contradict each other (limit under reservation,
 * shares not positive, not a number), HOSTLER_ERROR_NO_CAPACITY says which pool's reservations exceed what it has and
 * who holds them. */
bool allocate(double capacity, Claimant *claimants, unsigned n, GError **error);

/* The same where it has to go on: reservations that cannot be kept (each was admitted, but there is less now than there
 * was) keep nobody from getting its part by shares. False: the numbers contradict each other. */
bool allocate_anyway(double capacity, Claimant *claimants, unsigned n);

/* Where reservations exceed what there is for them. */
typedef struct {
        int pool; /* -1: at the top */
        double has, needed;
        int holder; /* who in it holds most; -1: nobody is in it */
} Shortage;

/* Admission: whether all reservations can be kept at once. Demand is left out of account. */
bool allocate_keeps(double capacity, const Claimant *claimants, unsigned n, Shortage *ret_shortage);

/* What the members of @pool (-1: those at the top) have reserved, with all below them. */
double allocate_reserved(const Claimant *claimants, unsigned n, int pool);

/* Why the claimant got what it got, in a sentence, with the pools that it is in: "1.5 of 2.0 wanted: 1000 of 3500
 * shares in web; web 4 of 8 wanted: its limit". Caller frees. */
char *allocate_explain(const Claimant *claimants, unsigned n, unsigned which);
/* The pools that the claimant is in: "shop/web"; NULL: none. Caller frees. */
char *allocate_path(const Claimant *claimants, unsigned which);

/* Largest violation of the optimality (Karush-Kuhn-Tucker) conditions of allocate_fill()'s program, relative to
 * @capacity. */
double allocate_residual(double capacity, const Claim *claims, unsigned n, double level, const double *granted);

/* Memory that is idle counts less (Waldspurger, "Memory Resource Management in VMware ESX Server", OSDI 2002): shares
 * per page divided by f + k (1 - f), k = 1 / (1 - tax), @active the share f of pages in use, 0..1, @tax 0..<1 (0.75 is
 * usual). */
double allocate_idle_tax(double shares, double active, double tax);

/* vSphere's scale: low, normal, high are 500, 1000, 2000 for each virtual processor and 5, 10, 20 for each MB. */
typedef enum { SHARES_LOW, SHARES_NORMAL, SHARES_HIGH } ShareLevel;
double shares_cpu(ShareLevel level, unsigned cpus);
double shares_memory(ShareLevel level, double megabytes);
/* Of a pool: as much as of four processors, and of 16 GB. */
double shares_pool_cpu(ShareLevel level);
double shares_pool_memory(ShareLevel level);
/* "low", "normal", "high", or a number of shares, as people say it; NULL: normal. On each scale low is half of @normal,
 * and high twice as much. */
double shares_read(const char *text, double normal);
