/*
 * `hostler metrics`: a course of measured values, one line of graph for each kind, and what goes on by itself: `hostler
 * top` on a terminal, `hostler nic stats --watch`.
 */
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/text.h"

#define MOST_COLUMNS 120
#define USUAL_COLUMNS 60
#define TEXT_COLUMNS 56 /* what stands left of the graph */
#define TOP_US 2000000
#define WATCH_US 1000000

/* ---- the graph ---- */

static guint graph_width(const Cli *cli)
{
        struct winsize size;
        if (!cli->out_is_terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return USUAL_COLUMNS;
        return CLAMP((guint)MAX(size.ws_col, TEXT_COLUMNS + 10) - TEXT_COLUMNS, 10, MOST_COLUMNS);
}

typedef struct {
        double least, most, sum, last;
        unsigned n;
        double column_sum[MOST_COLUMNS];
        unsigned column_n[MOST_COLUMNS];
} Course;

typedef struct {
        int64_t since_ms, until_ms;
        guint width;
} Span;

static void take(Course *course, double value, const Span *span, int64_t time_ms)
{
        int64_t at = (time_ms - span->since_ms) * span->width / MAX(span->until_ms - span->since_ms, 1);
        guint column = (guint)CLAMP(at, 0, span->width - 1);
        course->least = course->n ? MIN(course->least, value) : value;
        course->most = course->n ? MAX(course->most, value) : value;
        course->sum += value;
        course->last = value;
        course->n++;
        course->column_sum[column] += value;
        course->column_n[column]++;
}

static Course course_of(const json_t *samples, const char *name, const Span *span)
{
        Course course = {0};
        size_t index;
        json_t *sample;
        json_array_foreach (samples, index, sample) {
                const json_t *value = json_object_get(sample, name);
                int64_t time_ms;
                const char *time = json_string_value(json_object_get(sample, "time"));
                if (json_is_number(value) && time && time_parse(time, &time_ms))
                        take(&course, json_number_value(value), span, time_ms);
        }
        return course;
}

static bool terminal_knows_blocks(void)
{
        static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
        for (gsize i = 0; i < G_N_ELEMENTS(variables); i++) {
                const char *value = g_getenv(variables[i]);
                if (value && *value)
                        return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
        }
        return false;
}

/* From nothing to the most there was; a blank where nothing was measured. */
static char *graph_of(const Course *course, guint width)
{
        static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
        static const char *const letters[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
        const char *const *steps = terminal_knows_blocks() ? blocks : letters;
        GString *graph = g_string_new(NULL);
        for (guint i = 0; i < width; i++) {
                double mean = course->column_n[i] ? course->column_sum[i] / course->column_n[i] : 0;
                int step = course->most > 0 ? (int)(mean / course->most * 7.999) : 0;
                g_string_append(graph, course->column_n[i] ? steps[CLAMP(step, 0, 7)] : " ");
        }
        return g_string_free(graph, FALSE);
}

/* ---- the table ---- */

static const char *value_text(const Field *field, double value, GStringChunk *chunk)
{
        g_autofree char *text =
            field->type == FIELD_SIZE ? size_format((int64_t)value) : g_strdup_printf("%.3g", value);
        return g_string_chunk_insert(chunk, text);
}

static void add_course(const Field *field, const Course *course, guint width, GStringChunk *chunk, GPtrArray *cells)
{
        g_autofree char *graph = graph_of(course, width);
        g_ptr_array_add(cells, (char *)field->name);
        g_ptr_array_add(cells, (char *)value_text(field, course->least, chunk));
        g_ptr_array_add(cells, (char *)value_text(field, course->sum / course->n, chunk));
        g_ptr_array_add(cells, (char *)value_text(field, course->most, chunk));
        g_ptr_array_add(cells, (char *)value_text(field, course->last, chunk));
        g_ptr_array_add(cells, g_string_chunk_insert(chunk, graph));
}

static bool span_of(Cli *cli, const json_t *metrics, Span *ret_span)
{
        const char *since = json_string_value(json_object_get(metrics, "since"));
        const char *until = json_string_value(json_object_get(metrics, "until"));
        ret_span->width = graph_width(cli);
        return since && until && time_parse(since, &ret_span->since_ms) && time_parse(until, &ret_span->until_ms);
}

static bool print_metrics(Cli *cli, const RecordType *type, const json_t *metrics, GError **error)
{
        static const char *const headers[] = {"METRIC", "LEAST", "MEAN", "MOST", "LAST", "COURSE"};
        TableLayout layout = {G_N_ELEMENTS(headers), cli->options->no_headers ? NULL : headers, NULL, false};
        g_autoptr(GStringChunk) chunk = g_string_chunk_new(4096);
        g_autoptr(GPtrArray) cells = g_ptr_array_new();
        g_autoptr(GString) out = g_string_new(NULL);
        const json_t *samples = json_object_get(metrics, "samples");
        Span span;
        if (!json_is_array(samples) || !span_of(cli, metrics, &span))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
        for (size_t i = 0; i < type->n_fields; i++) {
                Course course = course_of(samples, type->fields[i].name, &span);
                if (course.n > 0)
                        add_course(&type->fields[i], &course, span.width, chunk, cells);
        }
        if (cells->len == 0)
                g_string_append(out, "nothing was measured in that time\n");
        else
                table_print(&layout, cells, out);
        return cli_print(out, error);
}

bool command_metrics(Cli *cli, const Invocation *invocation, GError **error)
{
        const VerbDecl *verb = invocation->verb->verb;
        json_auto_t *metrics = NULL;
        if (cli->options->format != OUTPUT_TABLE || cli->options->columns)
                return run_verb(cli, invocation, error);
        return cli_call(cli, verb->noun, verb->name, json_incref(invocation->args), 0, &metrics, error) &&
               print_metrics(cli, record_field(verb->result, "samples")->record, metrics, error);
}

/* ---- top ---- */

/* What the verb prints, anew and anew: on a cleared terminal, elsewhere one below the other. */
static bool watch(Cli *cli, const Invocation *invocation, gulong pause_us, GError **error)
{
        GString clear = {.str = (char *)"\033[H\033[2J", .len = strlen("\033[H\033[2J")};
        for (;;) {
                if ((cli->out_is_terminal && !cli_print(&clear, error)) || !run_verb(cli, invocation, error))
                        return false;
                g_usleep(pause_us);
        }
}

bool command_top(Cli *cli, const Invocation *invocation, GError **error)
{
        if (!cli->out_is_terminal || cli->options->format != OUTPUT_TABLE)
                return run_verb(cli, invocation, error);
        return watch(cli, invocation, TOP_US, error);
}

/* ---- nic stats ---- */

bool command_nic_stats(Cli *cli, const Invocation *invocation, GError **error)
{
        json_auto_t *reply = NULL;
        bool reset = json_is_true(json_object_get(invocation->local, "reset"));
        if (reset && !cli_call(cli, "nic", "reset", json_incref(invocation->args), 0, &reply, error))
                return false;
        if (json_is_true(json_object_get(invocation->local, "watch")))
                return watch(cli, invocation, WATCH_US, error);
        return run_verb(cli, invocation, error);
}
