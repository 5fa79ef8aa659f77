/*
 * Walks a value and its type together. See qmp-schema.h.
 */
#include "qmp-schema.h"

#include <stdbool.h>
#include <string.h>

static char *fault_of(const QmpSchema *schema, const char *type, const json_t *value, const char *path);

static const char *text(const json_t *object, const char *name)
{
        return json_string_value(json_object_get(object, name));
}

void qmp_schema_init(QmpSchema *schema, json_t *entities_taken)
{
        json_t *entity;
        size_t i;
        *schema = (QmpSchema){.entities = entities_taken, .by_name = g_hash_table_new(g_str_hash, g_str_equal)};
        json_array_foreach (entities_taken, i, entity)
                g_hash_table_insert(schema->by_name, (char *)text(entity, "name"), entity);
}

void qmp_schema_clear(QmpSchema *schema)
{
        g_clear_pointer(&schema->by_name, g_hash_table_unref);
        g_clear_pointer(&schema->entities, json_decref);
}

/* The element of @array whose @key is @wanted. */
static const json_t *find(const json_t *array, const char *key, const char *wanted)
{
        json_t *element;
        size_t i;
        json_array_foreach (array, i, element)
                if (g_strcmp0(text(element, key), wanted) == 0)
                        return element;
        return NULL;
}

static bool is_builtin(const char *json_type, const json_t *value)
{
        if (strcmp(json_type, "value") == 0)
                return true;
        switch (json_typeof(value)) {
        case JSON_STRING:
                return strcmp(json_type, "string") == 0;
        case JSON_INTEGER:
                return strcmp(json_type, "int") == 0 || strcmp(json_type, "number") == 0;
        case JSON_REAL:
                return strcmp(json_type, "number") == 0;
        case JSON_TRUE:
        case JSON_FALSE:
                return strcmp(json_type, "boolean") == 0;
        case JSON_NULL:
                return strcmp(json_type, "null") == 0;
        case JSON_OBJECT:
        case JSON_ARRAY:
                break;
        }
        return false;
}

static bool is_value_of(const json_t *entity, const json_t *value)
{
        json_t *known;
        size_t i;
        json_array_foreach (json_object_get(entity, "values"), i, known)
                if (json_equal(known, value))
                        return true;
        return false;
}

static char *fault_of_array(const QmpSchema *schema, const json_t *entity, const json_t *value, const char *path)
{
        json_t *element;
        size_t i;
        if (!json_is_array(value))
                return g_strdup_printf("%s: must be a list", path);
        json_array_foreach (value, i, element) {
                g_autofree char *here = g_strdup_printf("%s[%zu]", path, i);
                char *fault = fault_of(schema, text(entity, "element-type"), element, here);
                if (fault)
                        return fault;
        }
        return NULL;
}

static char *fault_of_alternate(const QmpSchema *schema, const json_t *entity, const json_t *value, const char *path)
{
        json_t *member;
        size_t i;
        json_array_foreach (json_object_get(entity, "members"), i, member) {
                g_autofree char *fault = fault_of(schema, text(member, "type"), value, path);
                if (!fault)
                        return NULL;
        }
        return g_strdup_printf("%s: is none of %s", path, text(entity, "name"));
}

/* The object type with the members that @value's tag adds; NULL: none. */
static const json_t *variant_of(const QmpSchema *schema, const json_t *entity, const json_t *value)
{
        const char *tag = text(entity, "tag");
        const json_t *variant = tag ? find(json_object_get(entity, "variants"), "case", text(value, tag)) : NULL;
        return variant ? g_hash_table_lookup(schema->by_name, text(variant, "type")) : NULL;
}

static char *missing_member(const json_t *entity, const json_t *value, const char *path)
{
        json_t *member;
        size_t i;
        json_array_foreach (json_object_get(entity, "members"), i, member)
                if (!json_object_get(member, "default") && !json_object_get(value, text(member, "name")))
                        return g_strdup_printf("%s: lacks %s", path, text(member, "name"));
        return NULL;
}

static char *fault_of_object(const QmpSchema *schema, const json_t *entity, const json_t *value, const char *path)
{
        const json_t *variant = variant_of(schema, entity, value);
        const char *name;
        json_t *inner;
        if (!json_is_object(value))
                return g_strdup_printf("%s: must be an object", path);
        char *fault = missing_member(entity, value, path);
        if (!fault && variant)
                fault = missing_member(variant, value, path);
        json_object_foreach ((json_t *)value, name, inner) {
                const json_t *member = find(json_object_get(entity, "members"), "name", name);
                g_autofree char *here = g_strdup_printf("%s.%s", path, name);
                if (!member && variant)
                        member = find(json_object_get(variant, "members"), "name", name);
                if (!fault)
                        fault = member ? fault_of(schema, text(member, "type"), inner, here)
                                       : g_strdup_printf("%s: is not known", here);
        }
        return fault;
}

static char *fault_of(const QmpSchema *schema, const char *type, const json_t *value, const char *path)
{
        const json_t *entity = g_hash_table_lookup(schema->by_name, type);
        const char *meta = text(entity, "meta-type");
        if (strcmp(meta, "object") == 0)
                return fault_of_object(schema, entity, value, path);
        if (strcmp(meta, "array") == 0)
                return fault_of_array(schema, entity, value, path);
        if (strcmp(meta, "alternate") == 0)
                return fault_of_alternate(schema, entity, value, path);
        bool good =
            strcmp(meta, "enum") == 0 ? is_value_of(entity, value) : is_builtin(text(entity, "json-type"), value);
        return good ? NULL : g_strdup_printf("%s: is no %s", path, type);
}

char *qmp_schema_fault(const QmpSchema *schema, const char *command, const json_t *arguments)
{
        const json_t *entity = g_hash_table_lookup(schema->by_name, command);
        if (!entity)
                return g_strdup_printf("%s: there is no such command", command);
        return fault_of(schema, text(entity, "arg-type"), arguments, command);
}
