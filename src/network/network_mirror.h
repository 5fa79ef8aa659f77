/* Mirrors and captures, for the files of the network. */
#pragma once

#include "network/network_private.h"

/* Copies of frames of some ports for another one, or for a VLAN. */
typedef struct {
        char *name;
        GHashTable *senders,
            *receivers; /* devices whose frames are copied, as they send and as they receive; borrowed */
        char *device;   /* who gets them; NULL: VLAN `rspan` */
        uint16_t rspan;
        int snaplen;   /* 0: whole */
        GArray *vlans; /* of uint16_t; empty: all */
} TargetMirror;

/*
 * The mirrors of a switch that copy something now (of TargetMirror; g_ptr_array_unref), from what is declared and who
 * is attached. @adapters: of Attached, those of the switch; their strings are borrowed. @deaf: keys (borrowed) of those
 * that get copies only are added. Lock held.
 */
GPtrArray *mirrors_make(Network *network, const char *switch_name, const GPtrArray *adapters, GHashTable *deaf);
void mirror_free(gpointer mirror);
/*
 * The device of a mirror whose copies go to another host is attached, or the one that was is not any more, as @spec
 * says (NULL: the mirror is gone). Lock held.
 */
void mirror_set_erspan(Network *network, const char *switch_name, const char *mirror, const json_t *spec);
/* Begins to send the copies of those whose devices were made. The calling thread is in the host's namespace. */
bool mirrors_send(Network *network, GError **error);
/*
 * Makes the database's mirrors those of @targets, whose ports are there. @are_some: it may have some; afterwards,
 * whether it has.
 */
bool mirrors_change(Ovs *ovs, const GPtrArray *targets, bool *are_some, GError **error);
