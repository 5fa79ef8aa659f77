/*
 * Starting, finding and ending of Open vSwitch's two processes, and calls to them. See ovs.h.
 *
 * Knows no switch of ours. Called by network.c on its thread.
 */
#include "network/ovs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/keeper_launch.h"
#include "network/datapath.h"
#include "wire/ovsdb.h"

#define SCHEMA "/usr/share/openvswitch/vswitch.ovsschema"
#define START_MS 20000
#define BLIND_MS 11000
#define CALL_MS 10000
#define TOOL_MS 20000
#define PAUSE_US 5000
#define DEVICES_LIMIT (4 << 20) /* of a list of devices, a line each */

struct Ovs {
        char *folder, *db, *switch_folder; /* folders of the keepers */
        char *db_socket, *switch_control, *run;
};

Ovs *ovs_new(const char *folder)
{
        Ovs *ovs = g_new0(Ovs, 1);
        ovs->folder = g_strdup(folder);
        ovs->db = g_build_filename(folder, "db", NULL);
        ovs->switch_folder = g_build_filename(folder, "switch", NULL);
        ovs->run = g_build_filename(ovs->switch_folder, "run", NULL);
        ovs->db_socket = g_build_filename(ovs->db, "run", "db.sock", NULL);
        ovs->switch_control = g_build_filename(ovs->run, "switch.ctl", NULL);
        return ovs;
}

void ovs_free(Ovs *ovs)
{
        if (!ovs)
                return;
        g_free(ovs->folder);
        g_free(ovs->db);
        g_free(ovs->switch_folder);
        g_free(ovs->run);
        g_free(ovs->db_socket);
        g_free(ovs->switch_control);
        g_free(ovs);
}

/* ---- programs ---- */

/* Caller frees; NULL: it is not installed. */
static char *find_program(const char *name)
{
        char *in_sbin = g_build_filename("/usr/sbin", name, NULL);
        if (g_file_test(in_sbin, G_FILE_TEST_IS_EXECUTABLE))
                return in_sbin;
        g_free(in_sbin);
        return g_find_program_in_path(name);
}

bool ovs_is_installed(GError **error)
{
        static const char *const programs[] = {"ovsdb-server", "ovsdb-tool", "ovs-vswitchd"};
        for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
                g_autofree char *path = find_program(programs[i]);
                if (path)
                        continue;
                error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "%s is not installed, and switches need it",
                          programs[i]);
                return error_hint(error, "apt-get install openvswitch-switch   (as root)");
        }
        return true;
}

static bool keeper_runs(const char *folder)
{
        ProcessId keeper;
        return keeper_read(folder, &keeper, NULL, NULL) && process_id_alive(&keeper);
}

bool ovs_runs(const Ovs *ovs)
{
        return keeper_runs(ovs->db) && keeper_runs(ovs->switch_folder);
}

ProcessId ovs_switch_process(const Ovs *ovs)
{
        ProcessId process;
        bool runs = keeper_read(ovs->switch_folder, NULL, &process, NULL) && process_id_alive(&process);
        return runs ? process : (ProcessId){0};
}

/* ---- the namespace ---- */

/* In there nothing of the host's answers, whatever a guest sends to the host's end of its device. */
static void write_setting(const char *path, const char *value)
{
        autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, value, strlen(value)) < 0)
                g_warning("%s cannot be set: %s", path, g_strerror(errno));
}

static bool enter_new_namespace(GError **error)
{
        if (unshare(CLONE_NEWNET) < 0)
                return error_set_errno(error, errno, NULL, "make a network namespace");
        write_setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
        write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        write_setting("/proc/sys/net/ipv4/conf/all/arp_ignore", "8");
        return true;
}

bool ovs_adopt(Ovs *ovs)
{
        const char *const folders[] = {ovs->switch_folder, ovs->db};
        for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
                ProcessId keeper;
                if (!keeper_read(folders[i], &keeper, NULL, NULL) || !process_id_alive(&keeper))
                        continue;
                g_autofree char *path = g_strdup_printf("/proc/%d/ns/net", (int)keeper.pid);
                autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd >= 0 && setns(fd, CLONE_NEWNET) == 0)
                        return true;
        }
        return false;
}

/* A line of /proc/net/dev: name, eight numbers of what came in, and of what went out packets' bytes, packets, errors,
 * drops. */
static uint64_t drops_in_line(const char *line)
{
        guint64 lost = 0;
        return sscanf(line, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %" G_GUINT64_FORMAT, &lost) == 1 ? lost : 0;
}

uint64_t ovs_device_lost(const Ovs *ovs, const char *name)
{
        ProcessId keeper;
        if (!keeper_read(ovs->switch_folder, &keeper, NULL, NULL))
                return 0;
        g_autofree char *path = g_strdup_printf("/proc/%d/net/dev", (int)keeper.pid);
        g_autofree char *text = file_read(path, DEVICES_LIMIT, NULL, NULL), *prefix = g_strdup_printf("%s:", name);
        g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
        for (char **line = lines; *line; line++)
                if (g_str_has_prefix(g_strchug(*line), prefix))
                        return drops_in_line(*line + strlen(prefix));
        return 0;
}

/* ---- starting ---- */

/* Under a keeper that starts it again when it dies. */
static bool launch(const char *folder, const Ovs *ovs, const char *program, const char *const *arguments,
                   GError **error)
{
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *run = g_build_filename(folder, "run", NULL);
        static const char *const variables[] = {"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"};
        ProcessId process;
        if (keeper_runs(folder))
                return true;
        g_ptr_array_add(argv, g_strdup("/usr/bin/env"));
        for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
                g_ptr_array_add(argv, g_strdup_printf("%s=%s", variables[i], ovs->run));
        g_ptr_array_add(argv, find_program(program));
        for (; *arguments; arguments++)
                g_ptr_array_add(argv, g_strdup(*arguments));
        g_ptr_array_add(argv, NULL);
        KeeperLaunch what = {.vm_dir = folder, .argv = (const char *const *)argv->pdata, .again = true};
        return ovs_is_installed(error) && dir_ensure(run, error) && keeper_launch(&what, &process, error);
}

static bool make_database(const char *file, GError **error)
{
        const char *argv[] = {"ovsdb-tool", "create", file, SCHEMA, NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = TOOL_MS};
        return process_run(&options, NULL, error);
}

static bool start_database(Ovs *ovs, GError **error)
{
        g_autofree char *file = g_build_filename(ovs->db, "conf.db", NULL);
        g_autofree char *remote = g_strdup_printf("--remote=punix:%s", ovs->db_socket);
        g_autofree char *control = g_strdup_printf("--unixctl=%s/run/db.ctl", ovs->db);
        const char *const arguments[] = {file, remote, control, "-vconsole:warn", "-vsyslog:off", "-vfile:off", NULL};
        if (keeper_runs(ovs->db))
                return true;
        /* What an earlier one knew is declared anew. */
        return dir_remove(ovs->db, error) && dir_ensure(ovs->db, error) && make_database(file, error) &&
               launch(ovs->db, ovs, "ovsdb-server", arguments, error);
}

/*
 * Until the host has run for so long, ovs-vswitchd 3.1 counts no processors (count_cpu_cores() takes its first count as
 * of the host's start and as good for ten seconds), and listens on so many threads for frames that the kernel does not
 * know: on none, and goes on so.
 */
static void wait_for_processors(void)
{
        int64_t up_ms = clock_monotonic_ms();
        if (datapath_takes_offloads() && up_ms < BLIND_MS)
                g_usleep((gulong)(BLIND_MS - up_ms) * 1000);
}

static bool start_switch(Ovs *ovs, GError **error)
{
        g_autofree char *database = g_strdup_printf("unix:%s", ovs->db_socket);
        g_autofree char *control = g_strdup_printf("--unixctl=%s", ovs->switch_control);
        const char *const arguments[] = {database, control, "-vconsole:warn", "-vsyslog:off", "-vfile:off", NULL};
        if (!keeper_runs(ovs->switch_folder))
                wait_for_processors();
        return launch(ovs->switch_folder, ovs, "ovs-vswitchd", arguments, error);
}

/* Calls until there is an answer; a process that starts has no socket yet. */
static bool wait_for_answer(const char *path, const char *method, json_t *params_taken, GError **error)
{
        int64_t deadline_ms = clock_monotonic_ms() + START_MS;
        g_autoptr(GError) local = NULL;
        while (!json_rpc_call(path, method, json_incref(params_taken), CALL_MS, NULL, &local) &&
               clock_monotonic_ms() < deadline_ms) {
                g_clear_error(&local);
                g_usleep(PAUSE_US);
        }
        json_decref(params_taken);
        if (!local)
                return true;
        g_propagate_error(error, g_steal_pointer(&local));
        return error_wrap(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "Open vSwitch");
}

/* The row that everything else hangs on; in a new database there is none. */
static bool make_root(Ovs *ovs, GError **error)
{
        json_auto_t *results = NULL;
        if (!ovs_transact(ovs,
                          json_pack("[{s:s, s:s, s:[], s:[s]}]", "op", "select", "table", "Open_vSwitch", "where",
                                    "columns", "next_cfg"),
                          &results, error))
                return false;
        if (json_array_size(json_object_get(json_array_get(results, 0), "rows")) > 0)
                return true;
        return ovs_transact(ovs, json_pack("[{s:s, s:s, s:{}}]", "op", "insert", "table", "Open_vSwitch", "row"), NULL,
                            error);
}

bool ovs_start(Ovs *ovs, GError **error)
{
        bool fresh = !keeper_runs(ovs->db) && !keeper_runs(ovs->switch_folder);
        if (fresh && (!ovs_is_installed(error) || !enter_new_namespace(error)))
                return false;
        return dir_ensure(ovs->folder, error) && start_database(ovs, error) &&
               wait_for_answer(ovs->db_socket, "list_dbs", json_array(), error) && make_root(ovs, error) &&
               start_switch(ovs, error) && wait_for_answer(ovs->switch_control, "version", json_array(), error);
}

void ovs_end(Ovs *ovs)
{
        if (keeper_runs(ovs->switch_folder))
                json_rpc_call(ovs->switch_control, "exit", json_pack("[s]", "--cleanup"), CALL_MS, NULL, NULL);
        keeper_end(ovs->switch_folder);
        keeper_end(ovs->db);
        dir_remove(ovs->folder, NULL);
}

/* ---- calls ---- */

char *ovs_openflow_path(const Ovs *ovs, const char *name)
{
        g_autofree char *file = g_strdup_printf("%s.mgmt", name);
        return g_build_filename(ovs->run, file, NULL);
}

bool ovs_transact(Ovs *ovs, json_t *operations_taken, json_t **ret_results, GError **error)
{
        return ovsdb_transact(ovs->db_socket, operations_taken, CALL_MS, ret_results, error);
}

/* The switch writes the number of the change it has carried out beside the one that was asked for. */
bool ovs_change(Ovs *ovs, json_t *operations_taken, GError **error)
{
        json_auto_t *results = NULL;
        json_array_append_new(operations_taken, json_pack("{s:s, s:s, s:[], s:[[s, s, i]]}", "op", "mutate", "table",
                                                          "Open_vSwitch", "where", "mutations", "next_cfg", "+=", 1));
        json_array_append_new(operations_taken, json_pack("{s:s, s:s, s:[], s:[s]}", "op", "select", "table",
                                                          "Open_vSwitch", "where", "columns", "next_cfg"));
        size_t last = json_array_size(operations_taken) - 1;
        if (!ovs_transact(ovs, operations_taken, &results, error))
                return false;
        json_t *row = json_array_get(json_object_get(json_array_get(results, last), "rows"), 0);
        json_t *wait = json_pack("[{s:s, s:i, s:s, s:[], s:[s], s:s, s:[{s:O?}]}]", "op", "wait", "timeout",
                                 CALL_MS - 1000, "table", "Open_vSwitch", "where", "columns", "cur_cfg", "until",
                                 "==", "rows", "cur_cfg", json_object_get(row, "next_cfg"));
        return ovs_transact(ovs, wait, NULL, error);
}

bool ovs_order(Ovs *ovs, const char *command, GError **error)
{
        return json_rpc_call(ovs->switch_control, command, json_array(), CALL_MS, NULL, error);
}
