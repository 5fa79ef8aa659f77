/*
 * Records: declared structs that can be read from JSON, checked, compared, printed and freed.
 *
 * tools/declare.py turns the TOML declarations into plain C structs (no GLib types: they are shared with <hostler.h>)
 * and into the tables below. This one interpreter walks the tables; no per-type marshalling code exists anywhere.
 *
 * In memory: string, name, path, time, json, patch = `char *` (NULL: absent) · int, size (bytes), duration (ms) =
 * `int64_t` (HOSTLER_UNSET: absent) · real = `double` (NAN: absent) · bool = `bool` · enum = C enum, 0 = absent ·
 * record = pointer (NULL: absent) · list = `HostlerXList {X *items; size_t count;}` of records, `char **`
 * NULL-terminated of strings · spec = HostlerSpec (named parts, each of a declared device kind). All memory is
 * malloc'ed and owned by the struct.
 *
 * In JSON: size and duration are integers, but strings such as "4G", "500M", "90s", "2h" are accepted; time is RFC
 * 3339. null is the same as absent. What is absent is not printed, but bools, lists of records and specs always are.
 *
 * A spec is an object of parts. A part's kind is what its name implies ("disk0", "cpu"), or its member "kind". Kinds
 * that every VM has are there with their defaults when a document leaves them out.
 *
 * Everything here is pure and may be called from any thread.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostler-types.h" /* generated: the structs, HOSTLER_UNSET, HostlerSpec, HostlerPart */

typedef enum {
        FIELD_STRING,
        FIELD_NAME, /* [a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])? */
        FIELD_PATH, /* absolute host path, no "..", no control characters */
        FIELD_TIME, /* RFC 3339 text */
        FIELD_INT,
        FIELD_SIZE,     /* bytes */
        FIELD_DURATION, /* milliseconds */
        FIELD_REAL,
        FIELD_BOOL,
        FIELD_ENUM,
        FIELD_RECORD,
        FIELD_LIST_STRING,
        FIELD_LIST_RECORD,
        FIELD_SPEC,
        FIELD_PATCH, /* JSON merge patch of a spec, kept as text */
        FIELD_JSON   /* any JSON, kept as text */
} FieldType;

typedef enum {
        FIELD_REQUIRED = 1 << 0,
        FIELD_SECRET = 1 << 1,  /* never printed, logged or stored in events */
        FIELD_IN_PATH = 1 << 2, /* a verb's target: comes from the URL */
        FIELD_PERCENT = 1 << 3, /* a number that people read with a % behind it */
} FieldFlags;

/* When a changed property takes effect. */
typedef enum { LIVE_NO_SUCH, LIVE_NOW, LIVE_RESTART, LIVE_NEVER } FieldLive;

typedef struct RecordType RecordType;

typedef struct {
        const char *name;
        const char *const *values; /* values[0] is "" (absent), NULL-terminated */
        const char *const *docs;
} EnumType;

typedef struct {
        const char *name;
        FieldType type;
        FieldFlags flags;
        FieldLive live;
        size_t offset;
        int64_t min, max;          /* numbers: range; strings and lists: length. HOSTLER_UNSET: unlimited */
        int64_t multiple;          /* numbers must be a multiple of this; 0: any */
        const char *pattern;       /* strings: anchored regular expression or NULL */
        const char *default_value; /* JSON text or NULL */
        const EnumType *values;
        const RecordType *record;
        const char *doc;
} Field;

struct RecordType {
        const char *name;
        const char *doc;
        size_t size;
        const Field *fields;
        size_t n_fields;
};

/* Where a device sits. BUS_PCI: on a hot-pluggable root port of its own if its model is live, else on the board. */
typedef enum { BUS_NONE, BUS_PCI, BUS_ISA, BUS_USB, BUS_SCSI, BUS_IDE, BUS_SERIAL } Bus;

/* One row of a kind's models. */
typedef struct {
        const char *name;   /* the value of its part's property `model` */
        const char *doc;    /* a sentence for people */
        const char *driver; /* what QEMU calls it; "" when there is no one device */
        Bus bus;
        bool hot_plug;       /* can be plugged into, and taken from, a running VM */
        const char *blocks;  /* why a VM that has it can be neither saved nor migrated; NULL: it can */
        const char *package; /* the package that QEMU's module for it is in; NULL: it is built in */
        bool stays;          /* once plugged it can go only with QEMU, which would not survive the unplugging */
        /* QEMU keeps its memory when it was unplugged: its port is not used again, and the VM not saved, in that run */
        bool lingers;
} ModelDecl;

/* A declared device kind: what a part of a spec may be. */
typedef struct {
        const char *kind; /* "disk" */
        bool single;      /* one per VM, named like the kind ("cpu"); else disk0, disk1, … or a free name */
        bool always;      /* every VM has it */
        const RecordType *props;
        const char *const *aliases; /* other names people look for it by, NULL-terminated; NULL: none */
        const ModelDecl *models;    /* by the value of `model` (row 0: none), ends with name NULL; NULL: it has none */
} KindDecl;

extern const KindDecl hostler_kinds[]; /* generated, ends with kind == NULL */
const KindDecl *kind_find(const char *kind);
/* By kind or alias: "nic" and "network"; NULL when it is neither. */
const KindDecl *kind_by_word(const char *word);
/* The model a part has chosen; NULL for a kind without models. */
const ModelDecl *part_model(const HostlerPart *part);
/* The kind that a part's name implies: "disk12" → disk; NULL when none does. */
const KindDecl *kind_of_name(const char *part_name);

/*
 * Reads @json into the zeroed or uninitialised struct @ret_value of @type. Unknown members, wrong types, ranges,
 * patterns and missing required fields are all collected, not just the first: HOSTLER_ERROR_INVALID with one cause per
 * fault, each with its JSON pointer under @pointer ("" for a whole document). Defaults are filled in. On error
 * @ret_value holds nothing to free.
 */
bool record_from_json(const RecordType *type, const json_t *json, const char *pointer, void *ret_value, GError **error);

/* The same, for several documents sharing one list of faults. @faults: GPtrArray of Fault, appended to. Always clears
 * on fault. */
typedef struct {
        char *pointer;
        char *detail;
} Fault;
GPtrArray *faults_new(void);
void faults_add(GPtrArray *faults, const char *pointer, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* True when there is none; else sets HOSTLER_ERROR_INVALID about @object with a cause for each. */
bool faults_check(GPtrArray *faults, const char *object, GError **error);
bool record_read(const RecordType *type, const json_t *json, const char *pointer, void *ret_value, GPtrArray *faults);

/* Fills @ret_value with every declared default. */
void record_init(const RecordType *type, void *ret_value);
/* Frees what @value owns and zeroes it; @value itself is the caller's. */
void record_clear(const RecordType *type, void *value);
void record_copy(const RecordType *type, const void *value, void *ret_value);
bool record_equal(const RecordType *type, const void *a, const void *b);
/* Absent fields are left out, defaults printed. Secret fields are printed only for RECORD_STORED (what goes into the
 * database). */
typedef enum { RECORD_SHOWN, RECORD_STORED } RecordAudience;
json_t *record_to_json(const RecordType *type, const void *value, RecordAudience audience);
/* Appends compact JSON (RECORD_SHOWN) straight to @out, without a json_t tree (lists of 10,000 VMs). */
void record_print(const RecordType *type, const void *value, GString *out);
const Field *record_field(const RecordType *type, const char *name);

/* The same for a HostlerXList of @type's records: a JSON array. */
bool record_list_from_json(const RecordType *type, const json_t *json, const char *pointer, void *ret_list,
                           GError **error);
json_t *record_list_to_json(const RecordType *type, const void *list, RecordAudience audience);
void record_list_print(const RecordType *type, const void *list, GString *out);
void record_list_clear(const RecordType *type, void *list);

/*
 * One scalar from its command-line or query text ("4G", "on", "q35", "tcp:2222:22,udp:53:53") to JSON of the field's
 * type. NULL and HOSTLER_ERROR_INVALID ("`4x` must be a whole number": callers say of what) if it cannot be one.
 */
json_t *field_parse_text(const Field *field, const char *text, GError **error);
/* The text a person reads: sizes as 4G, durations as 90s, bools as on/off. Caller frees. */
char *field_format(const Field *field, const void *value_struct);

/*
 * Specs. A spec is an immutable value: never changed in place, only swapped whole.
 */
/* Lets specs use the calls above. Its one field has no name: its JSON is the object of parts itself. */
extern const RecordType hostler_spec_type;
const HostlerPart *spec_part(const HostlerSpec *spec, const char *name);
/* @ret_spec = @spec with RFC 7396 @patch merged and then checked whole. A new member's kind is its "kind" or what its
 * name implies. */
bool spec_merge(const HostlerSpec *spec, const json_t *patch, const char *pointer, HostlerSpec *ret_spec,
                GError **error);
/* {"disk0":{"size":…}} from "disk0.size" and "20G". NULL with HOSTLER_ERROR_INVALID naming near properties. */
json_t *spec_patch_from_assignment(const char *assignment, GError **error);
/* The value of a kind's property from its text; an empty one is null, which takes it back to its default. NULL with
 * HOSTLER_ERROR_INVALID naming near properties. */
json_t *kind_parse_property(const KindDecl *kind, const char *property, const char *text, GError **error);
/* The same of a record from "mtu=9000"; *@ret_name (owned by the caller) is the field's. */
json_t *record_parse_assignment(const RecordType *type, const char *assignment, char **ret_name, GError **error);
bool name_is_valid(const char *name);
/* Up to three of @candidates nearest to @name, for "did you mean"; NULL-terminated, g_strfreev. */
char **names_near(const char *name, const char *const *candidates);
/* The same as "; did you mean a or b?", or "". Caller frees. */
char *names_near_text(const char *name, const char *const *candidates);
