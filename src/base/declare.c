/*
 * Looks things up in the generated tables of verbs and kinds.
 *
 * Does not dispatch (src/api does) and does not know the daemon's functions (handlers.c). Called by both ends.
 */
#include "base/declare.h"

#include <string.h>

const VerbDecl *verb_find(const char *noun, const char *name)
{
        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++)
                if (g_str_equal(verb->noun, noun) && g_str_equal(verb->name, name))
                        return verb;
        return NULL;
}

static const char *text_argument(const VerbDecl *decl, const void *args, const char *name)
{
        const Field *field = record_field(decl->args, name);
        if (!field || (field->type != FIELD_STRING && field->type != FIELD_NAME))
                return NULL;
        return *(char *const *)((const char *)args + field->offset);
}

/* The outermost object in the path: "vm" of "/v1/vms/{vm}/disks/{disk}". Caller frees; NULL when there is none. */
static char *first_in_path(const char *path)
{
        const char *open = strchr(path, '{');
        const char *close = open ? strchr(open, '}') : NULL;
        return close ? g_strndup(open + 1, (gsize)(close - open - 1)) : NULL;
}

char *verb_object(const VerbDecl *decl, const void *args)
{
        g_autofree char *noun = first_in_path(decl->path);
        const char *name = text_argument(decl, args, noun ?: "name");
        return name ? g_strdup_printf("%s/%s", noun ?: decl->noun, name) : g_strdup("");
}
