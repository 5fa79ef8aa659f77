/*
 * Packing memory: sizes that fill a host exactly are what best-fit misses. A pattern says how many VMs of each class go
 * on one host; the linear program over all patterns, with new ones found by a knapsack over (processor, memory) cells
 * (column generation: Gilmore and Gomory, "A linear programming approach to the cutting-stock problem", Operations
 * Research 9, 1961), gives a price for each class and a bound on the number of hosts. Pure; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
        double memory, cpu; /* of each VM: what it holds, and what it takes with its margin */
        unsigned count;
        double price; /* filled in: hosts that one more VM of the class costs */
} PatternClass;

/* @classes are sorted by memory, all distinct. @ret_hosts: no packing into hosts of this size has fewer. False (prices
 * are 0) when one does not fit an empty host. */
bool pattern_prices(PatternClass *classes, unsigned n, double memory, double cpu, double *ret_hosts);
/* How many of each class to put into @memory for the highest sum of prices, at most @count of each. */
void pattern_fill(const PatternClass *classes, unsigned n, double memory, unsigned *ret_counts);
