/*
 * Specs: named parts, each of a declared kind; read, merged, compared and printed as a whole.
 *
 * Knows kinds only by their declarations, never what a device does. Called by the record interpreter, the VM verbs and
 * the command line (assignments).
 */
#include <string.h>

#include "base/error.h"
#include "base/record_private.h"

#define PARTS_MAX 256
/* A name goes into QEMU's node names, which end at 31 characters, with ".base.file"; a disk's serial number has 20. */
#define PART_NAME_MAX 20

static const Field spec_fields[] = {{
    .name = "",
    .type = FIELD_SPEC,
    .min = HOSTLER_UNSET,
    .max = HOSTLER_UNSET,
    .doc = "Named parts.",
}};
const RecordType hostler_spec_type = {
    .name = "spec",
    .doc = "What is wanted of a VM: named parts, each of a kind.",
    .size = sizeof(HostlerSpec),
    .fields = spec_fields,
    .n_fields = 1,
};

const KindDecl *kind_find(const char *kind)
{
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                if (g_str_equal(decl->kind, kind))
                        return decl;
        return NULL;
}

const KindDecl *kind_by_word(const char *word)
{
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                if (g_str_equal(decl->kind, word) || (decl->aliases && g_strv_contains(decl->aliases, word)))
                        return decl;
        return NULL;
}

const ModelDecl *part_model(const HostlerPart *part)
{
        const KindDecl *kind = kind_find(part->kind);
        if (!kind->models)
                return NULL;
        const Field *field = record_field(kind->props, "model");
        return &kind->models[*(const int *)((const char *)part->props + field->offset)];
}

const KindDecl *kind_of_name(const char *part_name)
{
        size_t letters = strcspn(part_name, "0123456789");
        const char *digits = part_name + letters;
        bool numbered = *digits && digits[strspn(digits, "0123456789")] == '\0' && (digits[0] != '0' || !digits[1]);
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++) {
                if (strlen(decl->kind) != letters || strncmp(decl->kind, part_name, letters) != 0)
                        continue;
                if (decl->single ? *digits == '\0' : numbered)
                        return decl;
        }
        return NULL;
}

/* Part names become QEMU ids and property paths: no dots, a letter first. */
static bool part_name_is_valid(const char *name)
{
        return name_is_valid(name) && strlen(name) <= PART_NAME_MAX && !strchr(name, '.') && g_ascii_isalpha(name[0]);
}

/* "boot, cpu, disk, …": of all kinds, or of those that there may be several of. Caller frees. */
static char *kind_list(bool with_single)
{
        GString *list = g_string_new(NULL);
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                if (with_single || !decl->single)
                        g_string_append_printf(list, "%s%s", list->len > 0 ? ", " : "", decl->kind);
        return g_string_free(list, FALSE);
}

/* ---- reading ---- */

static const KindDecl *kind_from_member(const char *name, const json_t *member, const Path *path, GPtrArray *faults)
{
        const KindDecl *implied = kind_of_name(name);
        const KindDecl *kind = json_is_string(member) ? kind_find(json_string_value(member)) : NULL;
        Path here = {path, "kind", 0};
        if (!kind) {
                g_autofree char *all = kind_list(true);
                path_fault(&here, faults, "must be one of: %s", all);
        } else if (implied && implied != kind)
                path_fault(&here, faults, "the name says that it is a %s", implied->kind);
        else if (!implied && kind->single)
                path_fault(&here, faults, "there is one %s, and its name is %s", kind->kind, kind->kind);
        else
                return kind;
        return NULL;
}

static const KindDecl *kind_of_part(const char *name, const json_t *json, const Path *path, GPtrArray *faults)
{
        if (!part_name_is_valid(name)) {
                path_fault(path, faults, "a part's name is 1 to %d of a-z 0-9 and -, a letter first", PART_NAME_MAX);
                return NULL;
        }
        if (!json_is_object(json)) {
                path_fault(path, faults, "must be an object of properties");
                return NULL;
        }
        const json_t *member = json_object_get(json, "kind");
        if (member)
                return kind_from_member(name, member, path, faults);

        const KindDecl *implied = kind_of_name(name);
        if (!implied) {
                g_autofree char *kinds = kind_list(false);
                path_fault(path, faults, "the name does not say what it is: number it (%s and a number), or add `kind`",
                           kinds);
        }
        return implied;
}

static bool part_read(const char *name, const json_t *json, const Path *path, HostlerPart *ret_part, GPtrArray *faults)
{
        const KindDecl *kind = kind_of_part(name, json, path, faults);
        if (!kind)
                return false;
        g_autofree void *props = g_malloc(kind->props->size);
        if (!record_read_members(kind->props, json, "kind", path, props, faults))
                return false;
        *ret_part = (HostlerPart){g_strdup(name), kind->kind, g_steal_pointer(&props)};
        return true;
}

/* Kinds in declared order; of one kind the numbered parts by number, then the others by name. */
static int part_compare(const void *a, const void *b)
{
        const HostlerPart *left = a, *right = b;
        if (!g_str_equal(left->kind, right->kind))
                return kind_find(left->kind) < kind_find(right->kind) ? -1 : 1;
        bool left_free = !kind_of_name(left->name), right_free = !kind_of_name(right->name);
        if (left_free != right_free)
                return left_free ? 1 : -1;
        size_t left_length = strlen(left->name), right_length = strlen(right->name);
        if (!left_free && left_length != right_length)
                return left_length < right_length ? -1 : 1;
        return strcmp(left->name, right->name);
}

static void add_missing_parts(HostlerSpec *spec)
{
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++) {
                if (!kind->always || spec_part(spec, kind->kind))
                        continue;
                void *props = g_malloc(kind->props->size);
                record_init(kind->props, props);
                spec->items[spec->count++] = (HostlerPart){g_strdup(kind->kind), kind->kind, props};
        }
}

static size_t kind_count(void)
{
        size_t count = 0;
        while (hostler_kinds[count].kind)
                count++;
        return count;
}

bool spec_read(const json_t *json, const Path *path, HostlerSpec *ret_spec, GPtrArray *faults)
{
        if (!json_is_object(json) || json_object_size(json) > PARTS_MAX) {
                path_fault(path, faults, "must be an object of at most %d parts", PARTS_MAX);
                return false;
        }

        HostlerSpec spec = {g_new0(HostlerPart, json_object_size(json) + kind_count()), 0};
        bool good = true;
        const char *name;
        json_t *member;
        json_object_foreach ((json_t *)json, name, member) {
                bool read = part_read(name, member, &(Path){path, name, 0}, &spec.items[spec.count], faults);
                spec.count += read ? 1 : 0;
                good &= read;
        }
        add_missing_parts(&spec);
        qsort(spec.items, spec.count, sizeof *spec.items, part_compare);
        if (!good)
                spec_clear(&spec);
        *ret_spec = spec;
        return good;
}

/* ---- in memory ---- */

static const RecordType *props_type(const HostlerPart *part)
{
        return kind_find(part->kind)->props;
}

const HostlerPart *spec_part(const HostlerSpec *spec, const char *name)
{
        for (size_t i = 0; i < spec->count; i++)
                if (g_str_equal(spec->items[i].name, name))
                        return &spec->items[i];
        return NULL;
}

void spec_clear(HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++) {
                record_clear(props_type(&spec->items[i]), spec->items[i].props);
                g_free(spec->items[i].props);
                g_free(spec->items[i].name);
        }
        g_free(spec->items);
        *spec = (HostlerSpec){0};
}

void spec_copy(const HostlerSpec *spec, HostlerSpec *ret_spec)
{
        HostlerSpec copy = {g_new(HostlerPart, spec->count), spec->count};
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                const RecordType *type = props_type(part);
                copy.items[i] = (HostlerPart){g_strdup(part->name), part->kind, g_malloc(type->size)};
                record_copy(type, part->props, copy.items[i].props);
        }
        *ret_spec = copy;
}

bool spec_equal(const HostlerSpec *a, const HostlerSpec *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++) {
                const HostlerPart *left = &a->items[i], *right = spec_part(b, left->name);
                if (!right || !g_str_equal(left->kind, right->kind) ||
                    !record_equal(props_type(left), left->props, right->props))
                        return false;
        }
        return true;
}

/* ---- printing ---- */

json_t *spec_to_json(const HostlerSpec *spec, RecordAudience audience)
{
        json_t *object = json_object();
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                json_t *member = json_object();
                if (!kind_of_name(part->name))
                        json_object_set_new(member, "kind", json_string(part->kind));
                record_members_to_json(props_type(part), part->props, audience, member);
                json_object_set_new(object, part->name, member);
        }
        return object;
}

void spec_print(const HostlerSpec *spec, GString *out)
{
        g_string_append_c(out, '{');
        for (size_t i = 0; i < spec->count; i++) {
                const HostlerPart *part = &spec->items[i];
                bool implied = kind_of_name(part->name);
                if (i > 0)
                        g_string_append_c(out, ',');
                print_text(part->name, out);
                g_string_append(out, ":{");
                if (!implied) {
                        g_string_append(out, "\"kind\":");
                        print_text(part->kind, out);
                }
                record_members_print(props_type(part), part->props, implied, out);
                g_string_append_c(out, '}');
        }
        g_string_append_c(out, '}');
}

/* ---- changing ---- */

/* RFC 7396. @target is changed in place; @patch is an object. */
static void merge_patch(json_t *target, const json_t *patch)
{
        const char *name;
        json_t *value;
        json_object_foreach ((json_t *)patch, name, value) {
                json_t *member = json_object_get(target, name);
                if (json_is_null(value)) {
                        json_object_del(target, name);
                } else if (!json_is_object(value)) {
                        json_object_set(target, name, value);
                } else {
                        if (!json_is_object(member))
                                json_object_set_new(target, name, json_object());
                        merge_patch(json_object_get(target, name), value);
                }
        }
}

bool spec_merge(const HostlerSpec *spec, const json_t *patch, const char *pointer, HostlerSpec *ret_spec,
                GError **error)
{
        if (!json_is_object(patch)) {
                g_autoptr(GPtrArray) faults = faults_new();
                faults_add(faults, pointer, "must be an object of parts");
                return faults_check(faults, NULL, error);
        }
        json_auto_t *merged = spec_to_json(spec, RECORD_STORED);
        merge_patch(merged, patch);
        return record_from_json(&hostler_spec_type, merged, pointer, ret_spec, error);
}

/* Refuses @property, naming what there is; @kind NULL: any kind that there may be several of. */
static json_t *unknown_property(const KindDecl *kind, const char *property, GError **error)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (const KindDecl *decl = hostler_kinds; decl->kind; decl++)
                for (size_t i = 0; (kind ? decl == kind : !decl->single) && i < decl->props->n_fields; i++)
                        g_ptr_array_add(names, (char *)decl->props->fields[i].name);
        g_ptr_array_add(names, NULL);
        g_autofree char *near = names_near_text(property, (const char *const *)names->pdata);
        if (kind && strcmp(property, "memory") == 0)
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s has no memory that could be set", kind->kind);
        else
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no such property%s", near);
        error_hint(error, "hostler help properties");
        return NULL;
}

/* A part with a name of its own may be of any kind: the value is of the first whose property can take it. */
static json_t *parse_of_any_kind(const char *property, const char *text, GError **error)
{
        g_autoptr(GError) problem = NULL;
        for (const KindDecl *kind = hostler_kinds; kind->kind; kind++) {
                const Field *field = kind->single ? NULL : record_field(kind->props, property);
                if (!field)
                        continue;
                g_clear_error(&problem);
                json_t *value = field_parse_text(field, text, &problem);
                if (value)
                        return value;
        }
        if (!problem)
                return unknown_property(NULL, property, error);
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
}

json_t *record_parse_assignment(const RecordType *type, const char *assignment, char **ret_name, GError **error)
{
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        const char *equals = strchr(assignment, '=');
        g_autofree char *name = equals ? g_strndup(assignment, (gsize)(equals - assignment)) : NULL;
        const Field *field = name ? record_field(type, name) : NULL;
        for (size_t i = 0; i < type->n_fields; i++)
                g_ptr_array_add(names, (char *)type->fields[i].name);
        g_ptr_array_add(names, NULL);
        g_auto(GStrv) near = names_near(name ? name : assignment, (const char *const *)names->pdata);
        g_autofree char *list = g_strjoinv(", ", near);
        if (!equals)
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not PROPERTY=VALUE", assignment);
        else if (!field)
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no property %s%s%s", name,
                          *list ? "; did you mean: " : "", list);
        if (!field)
                return NULL;
        json_t *value = equals[1] == '\0' ? json_null() : field_parse_text(field, equals + 1, error);
        if (value)
                *ret_name = g_steal_pointer(&name);
        else
                error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s", name);
        return value;
}

json_t *kind_parse_property(const KindDecl *kind, const char *property, const char *text, GError **error)
{
        const Field *field = record_field(kind->props, property);
        if (!field)
                return unknown_property(kind, property, error);
        return *text == '\0' ? json_null() : field_parse_text(field, text, error);
}

/* The value of @part.@property. */
static json_t *parse_property(const char *part, const char *property, const char *text, GError **error)
{
        const KindDecl *kind = kind_of_name(part);
        if (g_str_equal(property, "kind"))
                return json_string(text);
        if (kind)
                return kind_parse_property(kind, property, text, error);
        return *text == '\0' ? json_null() : parse_of_any_kind(property, text, error);
}

json_t *spec_patch_from_assignment(const char *assignment, GError **error)
{
        const char *equals = strchr(assignment, '=');
        const char *dot = strchr(assignment, '.');
        if (!equals || !dot || dot > equals) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not PART.PROPERTY=VALUE", assignment);
                error_hint(error, "hostler help properties");
                return NULL;
        }
        g_autofree char *part = g_strndup(assignment, (gsize)(dot - assignment));
        g_autofree char *property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
        if (!part_name_is_valid(part)) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s cannot be the name of a part", part);
                return NULL;
        }
        json_t *value = parse_property(part, property, equals + 1, error);
        if (value)
                return json_pack("{s:{s:o}}", part, property, value);
        error_wrap(error, HOSTLER_ERROR_INVALID, NULL, "%s.%s", part, property);
        return NULL;
}
