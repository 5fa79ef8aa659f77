/*
 * The host's side of a spec that is to be: who may name its files, and whether they will do. See host_check.h. Called
 * before anything is done, by create.c and change.c.
 */
#include "vm/host_check.h"

#include "base/error.h"

static bool is_same(const HostlerPart *old, const HostlerPart *new)
{
        return old && g_str_equal(old->kind, new->kind) &&
               record_equal(kind_find(new->kind)->props, old->props, new->props);
}

static const char *path_of(const HostlerPart *part, const Field *field)
{
        bool same_kind = part && record_field(kind_find(part->kind)->props, field->name) == field;
        return same_kind ? *(char *const *)((const char *)part->props + field->offset) : NULL;
}

/* The property with which @new names another file than @old; NULL: none. */
static const char *names_file(const HostlerPart *old, const HostlerPart *new)
{
        const RecordType *props = kind_find(new->kind)->props;
        for (size_t i = 0; i < props->n_fields; i++) {
                const Field *field = &props->fields[i];
                const char *path = field->type == FIELD_PATH ? path_of(new, field) : NULL;
                if (path && g_strcmp0(path_of(old, field), path) != 0)
                        return field->name;
        }
        return NULL;
}

/* Who asked is known as long as this daemon lives: for a run after that it is written down that it was in order. */
static bool check_role(Job *job, const HostlerPart *part, const char *property, const char *object, GError **error)
{
        if (job_recall(job, "may-name-files"))
                return true;
        if (job_caller(job)->role < ROLE_ADMIN)
                return error_set(error, HOSTLER_ERROR_DENIED, object,
                                 "%s.%s names a file of the host, which only an admin may do", part->name, property);
        return job_is_dry_run(job) || job_remember(job, "may-name-files", json_true(), error);
}

bool host_check(Job *job, const DeviceContext *context, const HostlerSpec *before, const char *object, GError **error)
{
        g_autoptr(GPtrArray) faults = faults_new();
        for (size_t i = 0; i < context->spec->count; i++) {
                const HostlerPart *part = &context->spec->items[i],
                                  *old = before ? spec_part(before, part->name) : NULL;
                const DeviceType *type = device_type(part->kind);
                const char *property = names_file(old, part);
                if (is_same(old, part))
                        continue;
                if (property && !check_role(job, part, property, object, error))
                        return false;
                if (type && type->check_host)
                        type->check_host(context, part, faults);
        }
        return faults_check(faults, object, error);
}
