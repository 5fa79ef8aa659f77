/*
 * Errors of the one domain: their table, what they carry beside GError's message, and problem documents.
 *
 * Does not log and does not choose codes: the callers say what went wrong. Called by everything.
 */
#include "base/error.h"

#include <string.h>

typedef struct {
        char *pointer; /* NULL: about the whole */
        char *detail;
} Cause;

typedef struct {
        char *object, *hint, *tag; /* NULL: none */
        GPtrArray *causes;         /* of Cause */
} HostlerErrorPrivate;

static void cause_free(void *data)
{
        Cause *cause = data;
        g_free(cause->pointer);
        g_free(cause->detail);
        g_free(cause);
}

static void add_cause(HostlerErrorPrivate *private, const char *pointer, const char *detail)
{
        Cause *cause = g_new(Cause, 1);
        *cause = (Cause){g_strdup(pointer), g_strdup(detail)};
        g_ptr_array_add(private->causes, cause);
}

static void hostler_error_private_init(HostlerErrorPrivate *private)
{
        private->causes = g_ptr_array_new_with_free_func(cause_free);
}

static void hostler_error_private_copy(const HostlerErrorPrivate *from, HostlerErrorPrivate *to)
{
        to->object = g_strdup(from->object);
        to->hint = g_strdup(from->hint);
        to->tag = g_strdup(from->tag);
        for (guint i = 0; i < from->causes->len; i++) {
                const Cause *cause = from->causes->pdata[i];
                add_cause(to, cause->pointer, cause->detail);
        }
}

static void hostler_error_private_clear(HostlerErrorPrivate *private)
{
        g_free(private->object);
        g_free(private->hint);
        g_free(private->tag);
        g_ptr_array_unref(private->causes);
}

G_DEFINE_EXTENDED_ERROR(HostlerError, hostler_error)

/* GLib does not do it twice, and what its macro defines does not keep two threads from being the first. */
__attribute__((constructor)) static void register_domain(void)
{
        hostler_error_quark();
}

static HostlerErrorPrivate *private_of(const GError *error)
{
        return error && error->domain == HOSTLER_ERROR ? hostler_error_get_private(error) : NULL;
}

const ErrorDecl *error_decl(HostlerErrorCode code)
{
        return &error_decls[code];
}

const ErrorDecl *error_decl_of(const GError *error)
{
        return error_decl(error->domain == HOSTLER_ERROR ? (HostlerErrorCode)error->code : HOSTLER_ERROR_FAILED);
}

bool error_set(GError **error, HostlerErrorCode code, const char *object, const char *format, ...)
{
        if (!error)
                return false;

        va_list list;
        va_start(list, format);
        *error = g_error_new_valist(HOSTLER_ERROR, (int)code, format, list);
        va_end(list);
        private_of(*error)->object = g_strdup(object);
        return false;
}

/* Gives a foreign error a place for what ours carry. */
static HostlerErrorPrivate *adopt(GError **error)
{
        if (!private_of(*error)) {
                GError *ours = g_error_new_literal(HOSTLER_ERROR, HOSTLER_ERROR_FAILED, (*error)->message);
                g_error_free(*error);
                *error = ours;
        }
        return private_of(*error);
}

bool error_hint(GError **error, const char *format, ...)
{
        if (!error || !*error)
                return false;

        va_list list;
        va_start(list, format);
        HostlerErrorPrivate *private = adopt(error);
        g_free(private->hint);
        private->hint = g_strdup_vprintf(format, list);
        va_end(list);
        return false;
}

void error_cause(GError **error, const char *pointer, const char *format, ...)
{
        if (!error || !*error)
                return;

        va_list list;
        va_start(list, format);
        g_autofree char *detail = g_strdup_vprintf(format, list);
        va_end(list);
        add_cause(adopt(error), pointer, detail);
}

bool error_wrap(GError **error, HostlerErrorCode code, const char *object, const char *format, ...)
{
        if (!error || !*error)
                return false;

        va_list list;
        va_start(list, format);
        g_autofree char *context = g_strdup_vprintf(format, list);
        va_end(list);

        HostlerErrorPrivate *private = adopt(error);
        g_autofree char *inner = (*error)->message;
        (*error)->message = g_strdup_printf("%s: %s", context, inner);
        (*error)->code = (int)code;
        if (object) {
                g_free(private->object);
                private->object = g_strdup(object);
        }
        return false;
}

void error_set_tag(GError **error, const char *tag)
{
        if (!error || !*error)
                return;

        HostlerErrorPrivate *private = adopt(error);
        g_free(private->tag);
        private->tag = g_strdup(tag);
}

const char *error_tag(const GError *error)
{
        const HostlerErrorPrivate *private = private_of(error);
        return private ? private->tag : NULL;
}

bool error_is(const GError *error, HostlerErrorCode code)
{
        return g_error_matches(error, HOSTLER_ERROR, (int)code);
}

const char *error_object(const GError *error)
{
        const HostlerErrorPrivate *private = private_of(error);
        return private ? private->object : NULL;
}

/* Messages may quote what a guest or QEMU said: whatever is not UTF-8 becomes U+FFFD. */
static json_t *text_to_json(const char *text)
{
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        return json_string(valid);
}

static json_t *causes_to_json(const GPtrArray *causes)
{
        json_t *array = json_array();
        for (guint i = 0; i < causes->len; i++) {
                const Cause *cause = causes->pdata[i];
                json_t *item = json_object();
                if (cause->pointer)
                        json_object_set_new(item, "pointer", text_to_json(cause->pointer));
                json_object_set_new(item, "detail", text_to_json(cause->detail));
                json_array_append_new(array, item);
        }
        return array;
}

json_t *error_to_json(const GError *error)
{
        const ErrorDecl *decl = error_decl_of(error);
        g_autofree char *type = g_strdup_printf("urn:hostler:error:%s", decl->name);
        json_t *problem = json_pack("{s:s, s:s, s:i, s:s}", "type", type, "title", decl->title, "status",
                                    decl->http_status, "code", decl->name);
        json_object_set_new(problem, "detail", text_to_json(error->message));

        const HostlerErrorPrivate *private = private_of(error);
        if (private && private->object)
                json_object_set_new(problem, "object", text_to_json(private->object));
        if (private && private->causes->len > 0)
                json_object_set_new(problem, "causes", causes_to_json(private->causes));
        if (private && private->hint)
                json_object_set_new(problem, "hint", text_to_json(private->hint));
        return problem;
}

static HostlerErrorCode code_of_name(const char *name)
{
        for (const ErrorDecl *decl = error_decls; name && decl->name; decl++)
                if (g_str_equal(decl->name, name))
                        return decl->code;
        return HOSTLER_ERROR_FAILED;
}

GError *error_from_json(const json_t *problem)
{
        const char *title = json_string_value(json_object_get(problem, "title"));
        const char *detail = json_string_value(json_object_get(problem, "detail"));
        GError *error = g_error_new_literal(HOSTLER_ERROR,
                                            (int)code_of_name(json_string_value(json_object_get(problem, "code"))),
                                            detail ?: title ?: "the answer says no more");

        HostlerErrorPrivate *private = private_of(error);
        private->object = g_strdup(json_string_value(json_object_get(problem, "object")));
        private->hint = g_strdup(json_string_value(json_object_get(problem, "hint")));
        size_t index;
        json_t *cause;
        json_array_foreach (json_object_get(problem, "causes"), index, cause) {
                const char *text = json_string_value(json_object_get(cause, "detail"));
                if (text)
                        add_cause(private, json_string_value(json_object_get(cause, "pointer")), text);
        }
        return error;
}
