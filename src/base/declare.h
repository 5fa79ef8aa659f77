/*
 * Declared verbs and events: tables that tools/declare.py makes out of the TOML files beside the code.
 *
 * VerbDecl is what both ends know (routes, arguments, texts); Verb adds the daemon's function. Static data, any thread.
 */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

#include "base/record.h"

typedef enum { VERB_CALL, VERB_JOB } VerbKind;
typedef enum { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN } Role;
typedef enum { RECOVER_UNDO, RECOVER_RERUN } VerbRecover;
typedef enum { RESULT_NONE, RESULT_ONE, RESULT_LIST } ResultShape;

typedef struct {
        const char *id;   /* "vm.start" */
        const char *noun; /* "vm" */
        const char *name; /* "start" */
        VerbKind kind;
        const char *method; /* "POST" */
        const char *path;   /* "/v1/vms/{vm}/start"; each {x} is the FIELD_IN_PATH field x of args */
        Role role;
        bool streams; /* answered by a hand-written route (events, console, exec) */
        VerbRecover recover;
        bool urgent;           /* takes the turn from a running job; a field named in urgent_if may make it so */
        const char *urgent_if; /* name of a bool argument or NULL */
        const RecordType *args;
        const RecordType *result; /* NULL: none */
        ResultShape result_shape;
        const char *summary, *doc;
} VerbDecl;
extern const VerbDecl hostler_verbs[]; /* ends with id NULL */
const VerbDecl *verb_find(const char *noun, const char *name);

typedef struct {
        const char *kind; /* "vm-started" */
        const char *doc;
        const RecordType *fields;
} EventDecl;
extern const EventDecl hostler_event_decls[]; /* ends with kind NULL */

/* ---- the daemon's side ---- */
typedef struct Manager Manager; /* vm/manager.h: everything a verb may reach; opaque below src/vm */
typedef struct Job Job;

typedef struct {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        Role role;
} Caller;

/* What a call handler (answers at once, no job) is called with. */
typedef struct {
        Manager *manager;
        Caller caller;
        GCancellable *cancellable;
} Call;

/*
 * Handlers as verbs are written (prototypes generated into hostler-handlers.h):
 *   call: bool vm_show(const Call *call, const HostlerVmShowArgs *args, HostlerVm *ret_result, GError **error);
 *   job:  bool vm_start(Job *job, const HostlerVmStartArgs *args, GError **error);
 *   job with a result: bool vm_set(Job *job, const HostlerVmSetArgs *args, HostlerPropertyChangeList *ret_result,
 * GError **error);
 */
typedef struct {
        const VerbDecl *decl;
        bool (*call)(const Call *call, const void *args, void *ret_result, GError **error);
        bool (*job)(Job *job, const void *args, void *ret_result, GError **error);
} Verb;
extern const Verb verb_handlers[]; /* generated; same order as hostler_verbs; streams have neither */
const Verb *verb_handler(const VerbDecl *decl);
/* "vm/web1" for a verb with a {vm} in its path, else "noun/name" of what it makes, else "". Caller frees. */
char *verb_object(const VerbDecl *decl, const void *args);
