/*
 * The mode of balancing, and what is recommended in it: in `manual` a plan (balance.h) is made again and again, and its
 * moves are kept, each with the time since when it was recommended. Nothing is moved; that is whoever reads them.
 *
 * recommend_round() on the monitor's thread, the verbs on any.
 */
#pragma once

#include "vm/manager.h"

typedef struct Recommender Recommender;
Recommender *recommender_new(Manager *manager);
void recommender_free(Recommender *recommender);
/* Makes a plan when it is time for one. */
void recommend_round(Recommender *recommender);
