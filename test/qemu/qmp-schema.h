/*
 * What a QEMU says it understands (query-qmp-schema; docs/devel/qapi-code-gen, "Client JSON Protocol introspection"),
 * and whether a command's arguments are of that.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

typedef struct {
        json_t *entities;
        GHashTable *by_name; /* borrows from @entities */
} QmpSchema;

void qmp_schema_init(QmpSchema *schema, json_t *entities_taken);
void qmp_schema_clear(QmpSchema *schema);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QmpSchema, qmp_schema_clear)

/* Why @arguments are none of @command's ("hostfwd[0].str: …"); NULL when they are. Caller frees. */
char *qmp_schema_fault(const QmpSchema *schema, const char *command, const json_t *arguments);
