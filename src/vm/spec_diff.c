/*
 * What differs between two specs, property by property; used for `pending` and by `set`. Compares the JSON of parts, so
 * every kind of property is compared by the one marshaller there is.
 */
#include "vm/spec_diff.h"

#include "base/declare.h"

static json_t *part_json(const HostlerPart *part)
{
        const KindDecl *kind = kind_find(part->kind);
        return record_to_json(kind->props, part->props, RECORD_STORED);
}

static void differences_of_part(const HostlerPart *a, const HostlerPart *b, GStrvBuilder *builder)
{
        const RecordType *props = kind_find(a->kind)->props;
        json_t *ja = part_json(a), *jb = part_json(b);
        for (size_t i = 0; i < props->n_fields; i++) {
                const char *name = props->fields[i].name;
                json_t *va = json_object_get(ja, name), *vb = json_object_get(jb, name);
                if (va == vb || (va && vb && json_equal(va, vb)))
                        continue;
                g_autofree char *path = g_strdup_printf("%s.%s", a->name, name);
                g_strv_builder_add(builder, path);
        }
        json_decref(ja);
        json_decref(jb);
}

/* Parts of @a that @b lacks. */
static void missing(const HostlerSpec *a, const HostlerSpec *b, GStrvBuilder *builder)
{
        for (size_t i = 0; i < a->count; i++)
                if (!spec_part(b, a->items[i].name))
                        g_strv_builder_add(builder, a->items[i].name);
}

char **spec_differences(const HostlerSpec *a, const HostlerSpec *b)
{
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (size_t i = 0; i < a->count; i++) {
                const HostlerPart *mine = &a->items[i], *other = spec_part(b, mine->name);
                if (other && g_str_equal(mine->kind, other->kind))
                        differences_of_part(mine, other, builder);
                else if (other)
                        g_strv_builder_add(builder, mine->name);
        }
        missing(a, b, builder);
        missing(b, a, builder);
        return g_strv_builder_end(builder);
}
