/*
 * hostlerd: command line, one object after the other, the main loop, and the way out.
 *
 * What it does not do: anything about VMs (src/vm), HTTP (src/api) or SQL (src/store). It stays in the foreground;
 * whoever wants it in the background (the command line in session mode, systemd) puts it there.
 */
#include <gio/gio.h>
#include <glib-unix.h>
#include <grp.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api/server.h"
#include "base/error.h"
#include "base/file.h"
#include "base/locations.h"
#include "hostler-openapi.h"
#include "store/state_lock.h"
#include "vm/manager.h"
#include "vm/network/ports.h"

typedef struct {
        char *state, *socket;
        gboolean system, version;
} Options;

static bool parse_options(int *argc, char ***argv, Options *ret_options, GError **error)
{
        const GOptionEntry entries[] = {
            {"state", 0, 0, G_OPTION_ARG_FILENAME, &ret_options->state, "Folder of everything that is kept", "DIR"},
            {"socket", 0, 0, G_OPTION_ARG_FILENAME, &ret_options->socket, "Unix socket to listen on", "PATH"},
            {"system", 0, 0, G_OPTION_ARG_NONE, &ret_options->system,
             "System mode: for all users of the host; needs root", NULL},
            {"version", 0, 0, G_OPTION_ARG_NONE, &ret_options->version, "Print the version", NULL},
            G_OPTION_ENTRY_NULL,
        };
        g_autoptr(GOptionContext) context = g_option_context_new("- runs and looks after virtual machines");
        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, argc, argv, error))
                return false;
        return *argc <= 1 || error_set(error, HOSTLER_ERROR_USAGE, NULL, "unexpected argument “%s”", (*argv)[1]);
}

/* ---- what the API needs of VMs ---- */

static bool attach(Manager *manager, const VerbDecl *decl, const void *args, const ByteSink *sink,
                   ByteStream **ret_stream, GError **error)
{
        bool is_viewer = g_str_equal(decl->id, "vm.vnc"), is_capture = g_str_equal(decl->id, "vm.capture");
        const HostlerVmCaptureArgs *capture = args;
        const HostlerVmVncArgs *viewer = args;
        const HostlerVmConsoleArgs *console = args;
        g_autoptr(Vm) vm = manager_vm(manager, is_viewer ? viewer->vm : is_capture ? capture->vm : console->vm, error);
        if (!vm)
                return false;
        if (is_capture)
                return capture_attach(vm, capture, sink, ret_stream, error);
        return is_viewer ? viewer_attach(vm, viewer->output, sink, ret_stream, error)
                         : console_attach(vm, sink, ret_stream, error);
}

static AuthRule auth_rule(bool system)
{
        const struct group *operators = system ? getgrnam("hostler") : NULL;
        return (AuthRule){
            .system_mode = system, .owner = getuid(), .operators = operators ? operators->gr_gid : AUTH_NO_GROUP};
}

static ApiHooks hooks_for(Manager *manager, bool system)
{
        return (ApiHooks){
            .jobs = manager_jobs(manager),
            .events = manager_events(manager),
            .store = manager_store(manager),
            .manager = manager,
            .auth = auth_rule(system),
            .version = HOSTLER_VERSION,
            .openapi = hostler_openapi,
            .turn_key = manager_turn_key,
            .vm_wait_check = manager_vm_reached,
            .stream_attach = attach,
            .metrics = manager_metrics,
        };
}

/* ---- running ---- */

static void say_recovered(int adopted, void *data)
{
        if (adopted > 0)
                g_message("adopted %d running VMs", adopted);
}

static gboolean on_signal(gpointer loop)
{
        g_main_loop_quit(loop);
        return G_SOURCE_CONTINUE;
}

/* Made before anything else: a signal that comes while the daemon starts ends it in good order as soon as it runs. */
static GMainLoop *loop_ended_by_signals(void)
{
        GMainLoop *loop = g_main_loop_new(NULL, FALSE);
        g_unix_signal_add(SIGTERM, on_signal, loop);
        g_unix_signal_add(SIGINT, on_signal, loop);
        return loop;
}

/* VMs go on when the daemon ends; the next one adopts them. */
static bool serve(const Locations *where, bool system, GMainLoop *loop, GError **error)
{
        g_autofree char *database = g_build_filename(where->state, "hostler.db", NULL);
        g_autoptr(StateLock) lock = NULL;
        g_autoptr(Store) store = NULL;
        g_autoptr(Manager) manager = NULL;
        g_autoptr(ApiServer) server = NULL;
        if (!dir_ensure(where->state, error))
                return false;
        lock = state_lock_take(where->state, error);
        store = lock ? store_open(database, error) : NULL;
        if (!store)
                return false;
        manager = manager_new(&(ManagerConfig){.state_dir = where->state, .store = store, .system = system}, error);
        if (!manager)
                return false;
        ApiHooks hooks = hooks_for(manager, system);
        server = api_server_new(&hooks, where->socket, error);
        if (!server)
                return false;
        g_message("listening on %s", where->socket);
        manager_recover(manager, say_recovered, NULL);
        g_main_loop_run(loop);
        return true;
}

static int fail(const GError *error)
{
        fprintf(stderr, "hostlerd: %s\n", error->message);
        return error_decl_of(error)->exit_code;
}

int main(int argc, char **argv)
{
        g_autoptr(GError) error = NULL;
        g_auto(Locations) where = {0};
        Options options = {0};
        setlocale(LC_ALL, "");
        umask(077);
        if (!parse_options(&argc, &argv, &options, &error))
                return fail(error);
        if (options.version) {
                printf("hostlerd %s\n", HOSTLER_VERSION);
                return 0;
        }
        locations_for_daemon(options.system, options.state, options.socket, &where);
        g_autoptr(GMainLoop) loop = loop_ended_by_signals();
        bool ok = serve(&where, options.system, loop, &error);
        g_free(options.state);
        g_free(options.socket);
        return ok ? EXIT_SUCCESS : fail(error);
}
