/*
 * Giving a copied guest an identity of its own, through its agent: machine id, host name, SSH host keys, random
 * numbers, DHCP leases. What is outside the guest (id, MAC and vsock addresses, generation id, cloud-init's instance
 * id) is new from the beginning, see clone.c.
 *
 * A job that the watch asks for when the agent of such a VM first answers; people may ask for it too.
 */
#include "vm/clone/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "device/guest_script.h"
#include "hostler-handlers.h"
#include "vm/manager_internal.h"
#include "vm/vm_internal.h"

#define SCRIPT_TIMEOUT_MS (10 * 60 * 1000)
#define RANDOM_BYTES 512
#define PER_PROCESSOR 2 /* of the host: so many are renewed at a time */

/*
 * $1: the machine id, $2: the host name; random bytes on stdin. Prints a word for each thing that is new now. What a
 * guest has not is left out. cloud-init, which does some of this at a first boot, is waited for. A host name is changed
 * in /etc/hosts only where it is a name and not "localhost". systemd-networkd calls itself by the machine id that it
 * has read at its start when it asks for a lease, also when it renews one, so it is started anew. Lines end in "\n" and
 * words are quoted for any sh.
 */
static const char script[] =
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "has() { command -v \"$1\" > /dev/null 2>&1; }\n"
    "cat > /dev/urandom && echo random\n"
    "rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed\n"
    "has cloud-init && timeout 300 cloud-init status --wait > /dev/null 2>&1\n"
    "if [ -e /etc/machine-id ]; then\n"
    "  echo \"$1\" > /etc/machine-id && echo machine-id\n"
    "  [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ] && echo \"$1\" > "
    "/var/lib/dbus/machine-id\n"
    "fi\n"
    "old=$(cat /etc/hostname 2> /dev/null || hostname)\n"
    "hostname \"$2\" && echo host-name\n"
    "[ -e /etc/hostname ] && echo \"$2\" > /etc/hostname\n"
    "case $old in ''|localhost*|*[!A-Za-z0-9.-]*) ;; *) [ -e /etc/hosts ] && sed -i \"s/\\b$old\\b/$2/g\" "
    "/etc/hosts;; esac\n"
    "if has ssh-keygen && ls /etc/ssh/ssh_host_*_key > /dev/null 2>&1; then\n"
    "  rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub\n"
    "  ssh-keygen -A > /dev/null 2>&1 && echo ssh-host-keys\n"
    "  { has systemctl && systemctl try-restart ssh; } 2> /dev/null || { p=$(pidof sshd) && kill -HUP $p; }\n"
    "fi\n"
    "if has networkctl && systemctl -q is-active systemd-networkd; then\n"
    "  systemctl restart systemd-networkd > /dev/null 2>&1; echo dhcp\n"
    "elif p=$(pidof udhcpc); then kill -USR2 $p; kill -USR1 $p; echo dhcp\n"
    "elif pidof dhclient > /dev/null 2>&1; then\n"
    "  dhclient -r > /dev/null 2>&1; rm -f /var/lib/dhcp/*.leases; dhclient > /dev/null 2>&1; echo dhcp\n"
    "elif has nmcli; then nmcli networking off; nmcli networking on; echo dhcp\n"
    "fi\n"
    "sync\n";

/*
 * Each word is OLD=NEW: an adapter that has the one address gets the other. It is the device's own in a clone that was
 * started, so after a reboot of the guest there is nothing to be done.
 */
static const char mac_script[] =
    "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    "for pair in \"$@\"; do for n in /sys/class/net/*; do\n"
    "  [ \"$(cat $n/address)\" = \"${pair%=*}\" ] || continue\n"
    "  i=${n##*/}\n"
    "  ip link set \"$i\" address \"${pair#*=}\" 2> /dev/null ||\n"
    "    { ip link set \"$i\" down; ip link set \"$i\" address \"${pair#*=}\"; ip link set \"$i\" up; }\n"
    "done; done\n";

/* ---- is it to be done ---- */

/* The name of the VM that the guest's identity is from; NULL: it is its own. Caller frees. */
static char *identity_of(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        char *name = g_strdup(vm->history.identity_of);
        g_mutex_unlock(&vm->lock);
        return name;
}

static void set_renewing(Vm *vm, bool renewing)
{
        g_mutex_lock(&vm->lock);
        vm->renewing = renewing;
        g_mutex_unlock(&vm->lock);
}

static bool is_renewing(Vm *vm)
{
        g_mutex_lock(&vm->lock);
        bool renewing = vm->renewing;
        g_mutex_unlock(&vm->lock);
        return renewing;
}

static void renew(gpointer data, gpointer user_data)
{
        g_autoptr(Vm) vm = data;
        HostlerVmRenewIdentityArgs args = {.vm = (char *)vm_id(vm)};
        if (vm_is_live(vm))
                manager_have_done(vm, "vm", "renew-identity", &args);
        set_renewing(vm, false);
}

/* Of two hundred that all begin at once none ends before the others do, and until then none is fit for use. */
GThreadPool *identity_renewals_new(Manager *manager)
{
        return g_thread_pool_new(renew, manager, PER_PROCESSOR * (gint)g_get_num_processors(), FALSE, NULL);
}

bool identity_renew_soon(Vm *vm)
{
        g_autofree char *of = identity_of(vm), *key = g_strdup_printf("vm/%s", vm_id(vm));
        g_autofree char *holder = of ? job_turn_holder(manager_jobs(vm_manager(vm)), key) : NULL;
        /* Somebody is at it, be it with this. */
        if (holder || (of && is_renewing(vm)))
                return true;
        if (!of)
                return false;
        set_renewing(vm, true);
        g_thread_pool_push(vm_manager(vm)->renewals, vm_ref(vm), NULL);
        return true;
}

/* ---- the verb ---- */

/* What the guest is to be called: as its seed says, else like the VM. Caller frees. */
static char *host_name(Vm *vm)
{
        g_autoptr(Spec) spec = vm_spec(vm);
        const HostlerPart *seed = spec_part(&spec->value, "seed");
        const char *name = seed ? ((const HostlerSeedProps *)seed->props)->host_name : NULL;
        return name ? g_strdup(name) : vm_name(vm);
}

static GBytes *random_bytes(GError **error)
{
        autoclose int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        g_autofree guint8 *bytes = g_malloc(RANDOM_BYTES);
        if (fd < 0 || read(fd, bytes, RANDOM_BYTES) != RANDOM_BYTES) {
                error_set_errno(error, errno, NULL, "cannot read /dev/urandom");
                return NULL;
        }
        return g_bytes_new_take(g_steal_pointer(&bytes), RANDOM_BYTES);
}

/* As machine-id(5) wants it: a random UUID without hyphens. Caller frees. */
static char *new_machine_id(void)
{
        g_autofree char *uuid = g_uuid_string_random();
        g_auto(GStrv) pieces = g_strsplit(uuid, "-", -1);
        return g_strjoinv("", pieces);
}

/* Of what the guest printed, the words that the script knows. g_strfreev. */
static char **known_words(GBytes *out)
{
        static const char *const words[] = {"random", "machine-id", "host-name", "ssh-host-keys", "dhcp"};
        g_autoptr(GStrvBuilder) found = g_strv_builder_new();
        gsize length;
        const char *bytes = g_bytes_get_data(out, &length);
        g_autofree char *text = g_strndup(bytes ? bytes : "", length);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                if (g_strv_contains((const char *const *)lines, words[i]))
                        g_strv_builder_add(found, words[i]);
        return g_strv_builder_end(found);
}

static bool run_script(Job *job, GuestAgent *agent, Vm *vm, char ***ret_words, GError **error)
{
        g_autofree char *machine_id = new_machine_id(), *name = host_name(vm);
        const char *const words[] = {machine_id, name, NULL};
        g_autoptr(GBytes) input = random_bytes(error);
        GuestExecResult result;
        if (!input ||
            !guest_script_run(agent, script, words, input, SCRIPT_TIMEOUT_MS, job_cancellable(job), &result, error))
                return false;
        *ret_words = known_words(result.out);
        guest_exec_result_clear(&result);
        return true;
}

static bool links_up(Vm *vm, GError **error)
{
        HostlerVmRuntime runtime;
        g_autoptr(Qmp) qmp = vm_require_qmp(vm, error);
        bool ok = qmp != NULL;
        vm_runtime(vm, &runtime);
        for (size_t i = 0; ok && i < runtime.launched.count; i++) {
                const HostlerPart *part = &runtime.launched.items[i];
                const HostlerNicProps *nic = part->props;
                if (strcmp(part->kind, "nic") == 0 && nic->link)
                        ok = qmp_call(qmp, "set_link", json_pack("{s:s, s:b}", "name", part->name, "up", 1), NULL,
                                      error);
        }
        record_clear(&hostler_vm_runtime_type, &runtime);
        return ok;
}

/* A copy of a running guest comes up with its links down, until its adapters have addresses of their own. */
static bool change_macs(Job *job, GuestAgent *agent, Vm *vm, GError **error)
{
        HostlerVmHistory history;
        GuestExecResult result;
        vm_history(vm, &history);
        const char *const *pairs = (const char *const *)history.identity_macs;
        bool none = !pairs || !pairs[0];
        bool ok = none || guest_script_run(agent, mac_script, pairs, NULL, SCRIPT_TIMEOUT_MS, job_cancellable(job),
                                           &result, error);
        record_clear(&hostler_vm_history_type, &history);
        if (none || !ok)
                return ok;
        guest_exec_result_clear(&result);
        return links_up(vm, error);
}

static bool forget_source(Vm *vm, GError **error)
{
        HostlerVmHistory history;
        vm_history(vm, &history);
        g_clear_pointer(&history.identity_of, g_free);
        g_clear_pointer(&history.identity_macs, g_strfreev);
        bool ok = vm_set_history(vm, &history, error);
        record_clear(&hostler_vm_history_type, &history);
        return ok;
}

bool vm_renew_identity(Job *job, const HostlerVmRenewIdentityArgs *args, HostlerIdentityInfo *ret_result,
                       GError **error)
{
        g_autoptr(Vm) vm = manager_vm_ready(job_manager(job), args->vm, error);
        g_autoptr(GuestAgent) agent = vm ? vm_require_agent(vm, error) : NULL;
        record_init(&hostler_identity_info_type, ret_result);
        if (!agent)
                return false;
        ret_result->name = vm_name(vm);
        if (!job_step(job, "identity", "give the guest an identity of its own"))
                return true;
        if (!change_macs(job, agent, vm, error) || !run_script(job, agent, vm, &ret_result->renewed, error) ||
            !forget_source(vm, error))
                return false;
        g_autofree char *object = vm_object(vm), *words = g_strjoinv(", ", ret_result->renewed);
        event_emit(manager_events(job_manager(job)), "vm-identity", object, json_pack("{s:s}", "renewed", words));
        return true;
}
