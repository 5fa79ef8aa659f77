/*
 * What a verb gives, on stdout. Tables are cut out of the reply's text without a tree, so that a list of ten thousand
 * VMs is quick; JSON is never changed but for white space. Called by run.c and by commands of their own.
 */
#include "cli/output.h"

#include "base/clock.h"
#include "cli/columns.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/verbs.h"

enum { CELL_CHUNK_BYTES = 65536 };

static bool print_table(Cli *cli, const Result *result, GError **error);
static bool print_names(Cli *cli, const Result *result, GError **error);
static bool nonsense(GError **error);

bool output_result(Cli *cli, const Result *result, GError **error)
{
        switch (cli->options->format) {
        case OUTPUT_TABLE:
                return print_table(cli, result, error);
        case OUTPUT_NAME:
                return print_names(cli, result, error);
        default:
                return output_json(cli, result->text, result->length, error);
        }
}

bool output_json(Cli *cli, const char *text, gsize length, GError **error)
{
        g_autoptr(GString) out = g_string_sized_new(length + length / 2 + 2);

        if (cli->options->format == OUTPUT_YAML) {
                json_auto_t *tree = json_loadb(text, length, JSON_DECODE_ANY, NULL);

                if (!tree)
                        return nonsense(error);
                yaml_print(tree, out);
        } else {
                if (!json_indent(text, length, out))
                        return nonsense(error);
                g_string_append_c(out, '\n');
        }
        return cli_print(out, error);
}

const char *const *output_columns(const RecordType *type)
{
        static const char *const none[] = {NULL};

        for (const CliVerb *verb = NULL; (verb = cli_verb_next(verb));)
                if (verb->verb->result == type && verb->verb->result_shape == RESULT_LIST && *verb->columns)
                        return verb->columns;
        return none;
}

static bool read_cells(Columns *columns, const Result *result, GStringChunk *chunk, GPtrArray *cells)
{
        JsonReader reader = json_reader(result->text, result->length);
        int64_t now_ms = clock_unix_ms();
        bool started = false, fault = false;

        if (result->shape != RESULT_LIST)
                return columns_read(columns, &reader, now_ms, chunk, cells);
        while (json_next_element(&reader, &started, &fault))
                if (!columns_read(columns, &reader, now_ms, chunk, cells))
                        return false;
        return !fault;
}

static bool print_columns(Cli *cli, Columns *columns, const Result *result, bool with_headers, GError **error)
{
        guint n = columns_count(columns);
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(CELL_CHUNK_BYTES);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(GString) out = g_string_new(NULL);
        g_autofree const char **headers = g_new(const char *, n);
        g_autofree bool *is_state = g_new(bool, n);

        for (guint i = 0; i < n; i++) {
                headers[i] = columns_header(columns, i);
                is_state[i] = columns_is_state(columns, i);
        }
        if (!read_cells(columns, result, chunk, cells))
                return nonsense(error);
        TableLayout layout = {n, with_headers ? headers : NULL, is_state, cli->colour};
        table_print(&layout, cells, out);
        return cli_print(out, error);
}

static bool print_table(Cli *cli, const Result *result, GError **error)
{
        static const char *const none[] = {NULL};
        const char *const *wanted = cli->options->columns ? (const char *const *)cli->options->columns : none;
        g_autoptr(Columns) columns = columns_new(result->type, wanted, result->columns, error);

        return columns && print_columns(cli, columns, result, !cli->options->no_headers, error);
}

static bool print_names(Cli *cli, const Result *result, GError **error)
{
        const Field *name = record_field(result->type, "name");
        const char *paths[] = {name ? "name" : result->type->fields[0].name, NULL};
        static const char *const none[] = {NULL};
        g_autoptr(Columns) columns = columns_new(result->type, paths, none, error);

        return columns && print_columns(cli, columns, result, false, error);
}

static bool nonsense(GError **error)
{
        return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
}
