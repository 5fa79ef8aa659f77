/*
 * The only SQL in the tree: one SQLite database in WAL mode, one connection, a mutex inside. Rows go in and out as
 * values.
 *
 * Durable writes (specs, names, trash, settings, that a VM runs or is suspended, that a job is not to be
 * undone) are on the disk when the call returns
 * (synchronous=FULL); the rest survives a crash of the process but may lose the last moments at a power cut
 * (synchronous=NORMAL). A full disk answers
 * HOSTLER_ERROR_READ_ONLY and leaves the database as it was. Text members of rows are owned by the row; free with the
 * type's _clear. Any thread.
 *
 * The _each functions call back without the lock: the callback may use the store, and keeps nothing of what it is
 * given.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Store Store;
/* STORE_DURABLE waits for the disk at the end of the transaction, and with it all that was written before is on the
 * disk. store.c says what each costs. */
typedef enum { STORE_PLAIN, STORE_DURABLE } StoreDurability;

/*
 * Opens or creates @path (0600) and migrates the schema forward. HOSTLER_ERROR_UNSUPPORTED for the database of a newer
 * Hostler, HOSTLER_ERROR_BUSY while another process has it open.
 */
Store *store_open(const char *path, GError **error);
void store_close(Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)
/* NULL when writable; else why not (static text). Tries again by itself at each write. */
const char *store_read_only_reason(Store *store);

typedef struct {
        char *id, *name;
        char *spec;    /* JSON */
        char *runtime; /* JSON: what must outlive the daemon while the VM runs or is suspended; "{}" when off */
        int64_t generation, created_ms, trashed_ms; /* trashed_ms 0: not in the trash */
        char *history;                              /* JSON: snapshots and disk layers; NULL: none */
} VmRow;
void vm_row_clear(VmRow *row);
/* HOSTLER_ERROR_EXISTS when the name is taken by a VM that is not in the trash. Durable. */
bool store_vm_insert(Store *store, const VmRow *row, GError **error);
/*
 * Replaces name, spec, generation, trashed_ms where the stored generation is @expected (-1: any): else
 * HOSTLER_ERROR_PRECONDITION. HOSTLER_ERROR_NOT_FOUND, HOSTLER_ERROR_EXISTS (name). Durable.
 */
bool store_vm_update(Store *store, const VmRow *row, int64_t expected, GError **error);
bool store_vm_set_runtime(Store *store, StoreDurability durability, const char *id, const char *runtime,
                          GError **error);
/* Replaces spec, runtime, history and generation. Durable. */
bool store_vm_replace(Store *store, const VmRow *row, GError **error);
/* Durable. */
bool store_vm_set_history(Store *store, const char *id, const char *history, GError **error);
bool store_vm_delete(Store *store, const char *id, GError **error); /* durable; absent is success */
bool store_vm_each(Store *store, void (*each)(const VmRow *row, void *data), void *data, GError **error);

typedef struct {
        char *id, *verb, *object; /* object "vm/web1" or "" */
        char *args;               /* JSON as validated; secrets left out once it has ended */
        char *state;              /* queued running done failed cancelled */
        char *steps;              /* JSON [{name, detail, started}] */
        char *journal;            /* JSON, see src/job/journal.c; {} once it has ended */
        char *error, *result;     /* JSON or NULL */
        char *key, *request_hash; /* idempotency, NULL: none */
        int64_t uid, created_ms, started_ms, ended_ms;
        double progress; /* 0–100, -1 unknown */
} JobRow;
void job_row_clear(JobRow *row);
/* HOSTLER_ERROR_EXISTS when (uid, key) is there already. */
bool store_job_insert(Store *store, const JobRow *row, GError **error);
/* Writes what changes in a job: not verb, object, uid, key, created_ms; args only where not NULL. */
bool store_job_update(Store *store, StoreDurability durability, const JobRow *row, GError **error);
/* HOSTLER_ERROR_NOT_FOUND. */
bool store_job_by_key(Store *store, int64_t uid, const char *key, JobRow *ret_row, GError **error);
bool store_job_get(Store *store, const char *id, JobRow *ret_row, GError **error);
/* Newest first; @state NULL: all; @object NULL: all; @before_id NULL: from the newest. */
bool store_job_each(Store *store, const char *state, const char *object, const char *before_id, int limit,
                    void (*each)(const JobRow *row, void *data), void *data, GError **error);
/* Forgets jobs that ended before @before_ms, but for the @keep newest; of those that stay, the keys. */
bool store_job_prune(Store *store, int64_t before_ms, int64_t keep, GError **error);

typedef struct {
        int64_t seq, time_ms;
        char *kind, *object, *data; /* data: JSON object */
} EventRow;
void event_row_clear(EventRow *row);
/* Gives the event its sequence number: never reused, without gaps. A number other than 0 was given before: it stays. */
bool store_event_append(Store *store, EventRow *row, GError **error);
bool store_event_each(Store *store, int64_t since_seq, const char *object, int limit,
                      void (*each)(const EventRow *row, void *data), void *data, GError **error);
int64_t store_event_last(Store *store);
int64_t store_event_first(Store *store);
bool store_event_prune(Store *store, int64_t keep, GError **error);

/* Measured values of one VM (its id) or "host", a chunk of time in each row; src/monitor/series.h says what is in it.
 */
typedef struct {
        char *object;
        int64_t level, start_ms;
        int64_t width; /* numbers in each slot */
        GBytes *slots; /* of float, this machine's byte order */
} SampleRow;
void sample_row_clear(SampleRow *row);
/* All in one transaction; a row that is there is replaced. */
bool store_samples_write(Store *store, const SampleRow *rows, unsigned n, GError **error);
/* Chunks that begin within [since_ms, until_ms), in order of time. */
bool store_samples_each(Store *store, const char *object, int64_t level, int64_t since_ms, int64_t until_ms,
                        void (*each)(const SampleRow *row, void *data), void *data, GError **error);
/* Forgets what began before @before_ms or after @after_ms (a clock that was wrong), and whatever is of no VM any more.
 */
bool store_samples_prune(Store *store, int64_t level, int64_t before_ms, int64_t after_ms, GError **error);

typedef struct {
        char *switch_name, *group; /* group "": the switch itself; "mirror/NAME": a mirror on it */
        char *spec;                /* JSON */
        int64_t created_ms;
} NetworkRow;
void network_row_clear(NetworkRow *row);
/* One that is there keeps the time it was made. Durable. */
bool store_network_put(Store *store, const NetworkRow *row, GError **error);
/* @group "": the switch with all its port groups. Durable; absent is success. */
bool store_network_delete(Store *store, const char *switch_name, const char *group, GError **error);
/* By name, each switch before its port groups; @switch_name NULL: all. */
bool store_network_each(Store *store, const char *switch_name, void (*each)(const NetworkRow *row, void *data),
                        void *data, GError **error);

/* Which address an adapter was given out of a network's. */
typedef struct {
        char *vm, *part; /* id, name */
        char *network, *address;
} AddressRow;
void address_row_clear(AddressRow *row);
/* The adapter's, in place of what it had. HOSTLER_ERROR_EXISTS: another has this address. Durable. */
bool store_address_put(Store *store, const AddressRow *row, GError **error);
/* @part NULL: of all its adapters. Durable; absent is success. */
bool store_address_delete(Store *store, const char *vm, const char *part, GError **error);
/* By network and address; @network NULL: all. */
bool store_address_each(Store *store, const char *network, void (*each)(const AddressRow *row, void *data), void *data,
                        GError **error);

/* Pools. @config: JSON. Durable; deleting one that is absent is success. */
bool store_pool_put(Store *store, const char *name, const char *config, GError **error);
bool store_pool_delete(Store *store, const char *name, GError **error);
/* By name. */
bool store_pool_each(Store *store, void (*each)(const char *config, void *data), void *data, GError **error);

/* Small named values (schema-free settings, the probe's verdict). NULL when absent. Caller frees. */
char *store_get(Store *store, const char *key);
bool store_set(Store *store, const char *key, const char *value, GError **error);
