/*
 * What is declared of the network (switches, port groups, mirrors), as it is stored and changed. For the files of
 * vm/network.
 */
#pragma once

#include "vm/network/ports.h"

typedef struct Declared Declared;

/* What a kind of thing differs in. */
typedef struct {
        const char *words; /* "port group" */
        const char *noun;  /* "portgroup" */
        const RecordType *spec;
        const char *event;
        /* Adds what is wrong with @spec beyond its declaration; may change it into the form that is stored. */
        void (*check)(Manager *manager, const Declared *declared, json_t *spec, GPtrArray *faults);
        void (*declare)(Network *network, const Declared *declared, json_t *spec_taken);
} DeclaredKind;

struct Declared {
        const DeclaredKind *kind;
        const char *switch_name, *row; /* the row's name (NetworkRow.group) */
        const char *name;              /* its name on its switch; "": the switch itself */
        const char *object;            /* "switch/lan", "portgroup/lan/web" */
        json_t *spec;                  /* NULL: there is none; owned by who loaded it */
        int64_t created_ms;
};

/* Fills in spec and time; @rows (NULL: not wanted): rows of the switch but its own. */
bool declared_find(Manager *manager, Declared *declared, GStrvBuilder *rows, GError **error);
/* @words: PROP=VALUE. In force when they return true; what cannot be put in force is taken back. */
bool declared_make(Job *job, Declared *declared, char *const *words, GError **error);
bool declared_set(Job *job, Declared *declared, char *const *words, GError **error);
/* @users (taken): who keeps it from being removed. Gone already because of this job: true. */
bool declared_remove(Job *job, Declared *declared, char **users_taken, GError **error);
/* {"name", "created", "spec"}; a new reference. */
json_t *declared_picture(const Declared *declared);
json_t *declared_list(char *const *words);
/* Names of the rows of a switch whose row names begin with @prefix, without it; of port groups "". g_strfreev; NULL and
 * error. */
char **declared_names(Manager *manager, const char *switch_name, const char *prefix, GError **error);

/* ---- switch.c, mirror.c: what is declared at daemon start ---- */
extern const DeclaredKind mirror_kind;
#define MIRROR_PREFIX "mirror/"
