/*
 * Water-filling and pool trees: see allocate.h. Each number that is handed out says what bound it, so that a user can
 * be told.
 */
#include "sched/allocate.h"

#include <math.h>
#include <string.h>

#include "base/error.h"

#define MOST_ROUNDS 300
#define CLOSE 1e-14

static double most(const Claim *claim)
{
        return MIN(claim->limit, claim->demand);
}

static double least(const Claim *claim)
{
        return MIN(claim->reservation, most(claim));
}

static double sum(const Claim *claims, unsigned n, double (*of)(const Claim *))
{
        double total = 0;
        for (unsigned i = 0; i < n; i++)
                total += of(&claims[i]);
        return total;
}

/* The sum of clamps at @level, and how fast it grows there. */
static double filled(double level, const Claim *claims, unsigned n, double *ret_slope)
{
        double total = 0;
        *ret_slope = 0;
        for (unsigned i = 0; i < n; i++) {
                double low = least(&claims[i]), high = most(&claims[i]), wanted = level * claims[i].shares;
                total += CLAMP(wanted, low, high);
                *ret_slope += wanted > low && wanted < high ? claims[i].shares : 0;
        }
        return total;
}

/* lambda where the clamps add up to @capacity, which lies between the sums of their ends. Newton's method, exact as
 * soon as it is on the right piece of the broken line; where it would leave the bracket, the bracket is halved. */
static double level_of(double capacity, const Claim *claims, unsigned n)
{
        double low = 0, high = 0, level = 0;

        for (unsigned i = 0; i < n; i++)
                high = MAX(high, most(&claims[i]) / claims[i].shares);
        for (int round = 0; round < MOST_ROUNDS; round++) {
                double slope, missing = capacity - filled(level, claims, n, &slope);
                if (missing >= 0)
                        low = level;
                else
                        high = level;
                double next = slope > 0 ? level + missing / slope : -1;
                if (fabs(missing) <= CLOSE * capacity || high - low <= CLOSE * high)
                        break;
                level = next > low && next < high ? next : low + (high - low) / (round % 2 ? 2 : 64);
        }
        return level;
}

double allocate_fill(double capacity, const Claim *claims, unsigned n, double *ret_granted)
{
        double wanted = sum(claims, n, most), reserved = sum(claims, n, least);

        if (wanted <= capacity || reserved >= capacity) {
                double part = reserved > 0 ? capacity / reserved : 0;
                for (unsigned i = 0; i < n; i++)
                        ret_granted[i] = wanted <= capacity ? most(&claims[i]) : least(&claims[i]) * part;
                return wanted <= capacity ? INFINITY : 0;
        }
        double level = level_of(capacity, claims, n);
        for (unsigned i = 0; i < n; i++)
                ret_granted[i] = CLAMP(level * claims[i].shares, least(&claims[i]), most(&claims[i]));
        return level;
}

double allocate_residual(double capacity, const Claim *claims, unsigned n, double level, const double *granted)
{
        double worst = 0, total = 0;
        for (unsigned i = 0; i < n; i++) {
                double low = least(&claims[i]), high = most(&claims[i]), x = granted[i];
                double right = isfinite(level) ? CLAMP(level * claims[i].shares, low, high) : high;
                worst = MAX(worst, MAX(fabs(x - right), MAX(low - x, x - high)));
                total += x;
        }
        double full = MIN(capacity, sum(claims, n, most));
        return MAX(worst, fabs(total - full)) / MAX(capacity, 1e-300);
}

double allocate_idle_tax(double shares, double active, double tax)
{
        double price = 1 / (1 - CLAMP(tax, 0, 0.999)), used = CLAMP(active, 0, 1);
        return shares / (used + price * (1 - used));
}

double shares_cpu(ShareLevel level, unsigned cpus)
{
        static const double each[] = {500, 1000, 2000};
        return each[level] * cpus;
}

double shares_memory(ShareLevel level, double megabytes)
{
        static const double each[] = {5, 10, 20};
        return each[level] * megabytes;
}

double shares_pool_cpu(ShareLevel level)
{
        return shares_cpu(level, 4);
}

double shares_pool_memory(ShareLevel level)
{
        return shares_memory(level, 16384);
}

double shares_read(const char *text, double normal)
{
        if (!text || strcmp(text, "normal") == 0)
                return normal;
        if (strcmp(text, "low") == 0)
                return normal / 2;
        return strcmp(text, "high") == 0 ? normal * 2 : g_ascii_strtod(text, NULL);
}
