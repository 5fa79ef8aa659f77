/*
 * Verbs that are jobs. All are handed in first and then waited for one after the other: they run side by side in the
 * daemon, and the last end is the end of all. Called by run.c and job_wait.c.
 */
#include "cli/jobs.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "cli/boot_wait.h"
#include "cli/output.h"
#include "cli/problem.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "hostler-records.h"

enum {
        NEWS_MS = 250, /* how often a drawn line is refreshed */
        PLAIN_NEWS_MS = 1000,
};

/* One target's job. */
typedef struct {
        const char *name; /* NULL: the verb has no list of targets */
        json_t *args;
        char *id;     /* of the accepted job */
        char *result; /* JSON or NULL */
        GError *error;
} Task;

static bool submit(Cli *cli, const Invocation *invocation, Task *task, GError **error);
static bool follow(Cli *cli, const Invocation *invocation, Task *task, GError **error);
static bool report(Cli *cli, const Invocation *invocation, GPtrArray *tasks, GError **error);
static bool print_plan(Cli *cli, const char *text, gsize length, GError **error);

static void task_free(void *data)
{
        Task *task = data;

        json_decref(task->args);
        g_free(task->id);
        g_free(task->result);
        g_clear_error(&task->error);
        g_free(task);
}

static GPtrArray *tasks_new(const Invocation *invocation)
{
        GPtrArray *tasks = g_ptr_array_new_with_free_func(task_free);
        guint n = invocation->names ? g_strv_length(invocation->names) : 1;

        for (guint i = 0; i < n; i++) {
                Task *task = g_new0(Task, 1);

                task->args = json_copy(invocation->args);
                if (invocation->names) {
                        task->name = invocation->names[i];
                        json_object_set_new(task->args, cli_target_name(invocation->verb), json_string(task->name));
                }
                g_ptr_array_add(tasks, task);
        }
        return tasks;
}

bool run_jobs(Cli *cli, const Invocation *invocation, GError **error)
{
        g_autoptr(GPtrArray) tasks = tasks_new(invocation);

        if (!cli_client(cli, error))
                return false;
        for (guint i = 0; i < tasks->len; i++) {
                Task *task = tasks->pdata[i];

                submit(cli, invocation, task, &task->error);
        }
        for (guint i = 0; i < tasks->len; i++) {
                Task *task = tasks->pdata[i];

                if (task->id && !task->error)
                        follow(cli, invocation, task, &task->error);
        }
        return report(cli, invocation, tasks, error);
}

static bool submit(Cli *cli, const Invocation *invocation, Task *task, GError **error)
{
        ClientOptions options = {.dry_run = cli->options->dry_run};
        g_autofree char *text = NULL;
        gsize length;

        if (!client_call(cli->client, invocation->verb->verb, task->args, &options, &text, &length, error))
                return false;
        if (options.dry_run)
                return print_plan(cli, text, length, error);
        json_auto_t *job = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        g_free(task->id);
        task->id = g_strdup(json_string_value(json_object_get(job, "id")));
        return task->id || error_set(error, HOSTLER_ERROR_FAILED, NULL, "the daemon's answer makes no sense");
}

/* What destroys something is asked about when somebody is there to answer, and then handed in again. */
static bool confirm(const Invocation *invocation, Task *task, const GError *refusal)
{
        bool can_say_yes = record_field(invocation->verb->verb->args, "yes");

        if (!can_say_yes || !error_is(refusal, HOSTLER_ERROR_UNCONFIRMED))
                return false;
        g_autoptr(GString) question = g_string_new(NULL);
        problem_format(refusal, OUTPUT_TABLE, question);
        g_string_append(question, "go on?");
        if (!terminal_confirm(question->str))
                return false;
        json_object_set_new(task->args, "yes", json_true());
        return true;
}

static bool follow_once(Cli *cli, const Invocation *invocation, Task *task, GError **error)
{
        g_autofree char *title = cli_verb_title(invocation->verb);
        g_autofree char *object = NULL;

        if (cli->options->detach) {
                g_autoptr(GString) id = g_string_new(task->id);

                g_string_append_c(id, '\n');
                return cli_print(id, error);
        }
        const char *name = task->name ? task->name : json_string_value(json_object_get(task->args, "name"));
        if (!name)
                name = json_string_value(json_object_get(task->args, invocation->verb->args->field->name));
        g_autofree char *label = g_strdup_printf("%s %s", title, name ? name : "");
        if (!job_follow(cli, task->id, label, cli->options->timeout_ms, &object, &task->result, error))
                return false;
        if (!cli->options->wait_for || !object || !g_str_has_prefix(object, "vm/"))
                return true;
        g_clear_pointer(&task->result, g_free);
        return boot_wait(cli, object + strlen("vm/"), cli->options->wait_for, cli->options->timeout_ms, &task->result,
                         error);
}

static bool follow(Cli *cli, const Invocation *invocation, Task *task, GError **error)
{
        g_autoptr(GError) refusal = NULL;

        if (follow_once(cli, invocation, task, &refusal))
                return true;
        if (confirm(invocation, task, refusal))
                return submit(cli, invocation, task, error) && follow_once(cli, invocation, task, error);
        g_propagate_error(error, g_steal_pointer(&refusal));
        return false;
}

static bool show_job(const HostlerJob *job, void *data)
{
        const HostlerJobStep *last = job->steps.count ? &job->steps.items[job->steps.count - 1] : NULL;
        const char *message = job->message ? job->message : last ? last->detail : NULL;

        if (job->state == HOSTLER_JOB_STATE_QUEUED)
                message = "waits for its turn";
        if (message)
                progress_update(data, isnan(job->progress) ? -1 : job->progress, message);
        return true;
}

bool job_follow(Cli *cli, const char *id, const char *label, int64_t timeout_ms, char **ret_object, char **ret_result,
                GError **error)
{
        g_autoptr(Progress) progress = progress_new(label, cli->err_is_terminal);
        GCancellable *cancellable = interrupt_arm(cli->interrupt);
        g_autoptr(GError) failure = NULL;
        HostlerJob job;

        bool ended = client_job_wait(cli->client, id, timeout_ms, cli->err_is_terminal ? NEWS_MS : PLAIN_NEWS_MS,
                                     show_job, progress, cancellable, &job, &failure);
        interrupt_disarm(cli->interrupt);
        if (!ended && interrupt_signal(cli->interrupt)) {
                error_set(error, HOSTLER_ERROR_TIMEOUT, NULL, "%s goes on as job %s", label, id);
                return error_hint(error, "hostler job wait %s", id);
        }
        if (!ended) {
                g_propagate_error(error, g_steal_pointer(&failure));
                return false;
        }
        GError *job_error = client_job_error(&job);
        if (!job_error && ret_object)
                *ret_object = g_strdup(job.object);
        if (!job_error && ret_result)
                *ret_result = g_strdup(job.result);
        record_clear(&hostler_job_type, &job);
        if (job_error)
                g_propagate_error(error, job_error);
        return !job_error;
}

/* One result is a record of its own; several of them a list. */
static bool print_results(Cli *cli, const Invocation *invocation, GPtrArray *tasks, GError **error)
{
        const VerbDecl *verb = invocation->verb->verb;
        bool is_vm = cli->options->wait_for && verb->result != &hostler_vm_type;
        const RecordType *type = is_vm ? &hostler_vm_type : verb->result;
        ResultShape shape = is_vm ? RESULT_ONE : verb->result_shape;
        g_autoptr(GString) text = g_string_new(NULL);

        for (guint i = 0; type && i < tasks->len; i++) {
                Task *task = tasks->pdata[i];

                if (task->result && !g_str_equal(task->result, "null"))
                        g_string_append_printf(text, "%s%s", text->len ? "," : "", task->result);
        }
        if (!text->len)
                return true;
        if (tasks->len > 1 && shape == RESULT_ONE) {
                shape = RESULT_LIST;
                g_string_prepend_c(text, '[');
                g_string_append_c(text, ']');
        }
        const char *const *columns =
            *invocation->verb->columns && !is_vm ? invocation->verb->columns : output_columns(type);
        Result result = {type, shape, columns, text->str, text->len};
        return output_result(cli, &result, error);
}

static bool report(Cli *cli, const Invocation *invocation, GPtrArray *tasks, GError **error)
{
        guint failed = 0;
        int first_code = 0;

        if (!print_results(cli, invocation, tasks, error))
                return false;
        for (guint i = 0; i < tasks->len; i++) {
                Task *task = tasks->pdata[i];

                if (!task->error)
                        continue;
                if (tasks->len == 1) {
                        g_propagate_error(error, g_steal_pointer(&task->error));
                        return false;
                }
                if (!failed++)
                        first_code = error_decl_of(task->error)->exit_code;
                problem_print(task->error, cli->options->format);
        }
        if (failed)
                cli->exit_code = failed == tasks->len ? first_code : error_decl(HOSTLER_ERROR_PARTLY)->exit_code;
        return true;
}

/* {"steps":[…]}, of which a table wants only the list. */
static bool print_plan(Cli *cli, const char *text, gsize length, GError **error)
{
        static const char *const columns[] = {"name", "detail", NULL};

        if (cli->options->format != OUTPUT_TABLE)
                return output_json(cli, text, length, error);
        json_auto_t *plan = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        char *steps = json_dumps(json_object_get(plan, "steps"), JSON_COMPACT);
        Result result = {&hostler_job_step_type, RESULT_LIST, columns, steps ? steps : "", steps ? strlen(steps) : 0};
        bool printed = output_result(cli, &result, error);
        free(steps);
        return printed;
}
