/*
 * Addresses of an adapter, told to the guest that runs: a setter of nic.c. What is told is the plan of the vm layer.
 *
 * A guest without an agent learns them from DHCP when it asks again, or at its next start.
 */
#include <string.h>

#include "device/device.h"
#include "device/guest_script.h"

#define SCRIPT_MS (60 * 1000)

/*
 * $1: MAC address, $2: "dhcp" or "static", $3: addresses with lengths, $4: gateways, $5: name servers, $6: domains to
 * search, $7: MTU. Lists are words in one. Prints what the interface has in the end. A client of DHCP that is in the
 * way is ended, one that is wanted asks anew. IPv6 addresses that a router's words or DHCP brought stay: they are
 * "dynamic", with a lifetime.
 */
static const char script[] =
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "has() { command -v \"$1\" > /dev/null 2>&1; }\n"
    "i=\n"
    "for n in /sys/class/net/*; do [ \"$(cat $n/address)\" = \"$1\" ] && i=${n##*/}; done\n"
    "[ -n \"$i\" ] || exit 1\n"
    "networkd() { has networkctl && systemctl -q is-active systemd-networkd; }\n"
    "client=/run/udhcpc.$i.pid\n"
    "ip link set \"$i\" up\n"
    "for a in $(ip -6 addr show dev \"$i\" scope global | sed -n '/dynamic/d; s/^ *inet6 \\([^ ]*\\).*/\\1/p'); do\n"
    "  ip addr del \"$a\" dev \"$i\"\n"
    "done\n"
    "if [ \"$2\" = dhcp ]; then\n"
    "  ip -4 addr flush dev \"$i\" scope global\n"
    "  if networkd; then networkctl renew \"$i\"\n"
    "  elif [ -e \"$client\" ] && kill -USR2 \"$(cat \"$client\")\" 2> /dev/null; then kill -USR1 \"$(cat "
    "\"$client\")\"\n"
    "  elif [ -x /usr/lib/hostler/net ]; then ACTION=add MDEV=$i /usr/lib/hostler/net > /dev/null 2>&1\n"
    "  elif has dhclient; then dhclient -r \"$i\"; dhclient \"$i\"\n"
    "  elif has nmcli; then nmcli device reapply \"$i\"\n"
    "  fi > /dev/null 2>&1\n"
    "  t=0\n"
    "  while [ $t -lt 20 ] && ! ip -4 addr show dev \"$i\" scope global | grep -q inet; do sleep 1; t=$((t + 1)); "
    "done\n"
    "else\n"
    "  [ ! -e \"$client\" ] || kill \"$(cat \"$client\")\" 2> /dev/null\n"
    "  rm -f \"$client\"\n"
    "  ! has dhclient || dhclient -x \"$i\" > /dev/null 2>&1\n"
    "  ip -4 addr flush dev \"$i\" scope global\n"
    "fi\n"
    "for a in $3; do ip addr add \"$a\" dev \"$i\" 2> /dev/null; done\n"
    "for g in $4; do case $g in *:*) ip -6 route replace default via \"$g\" dev \"$i\";;\n"
    "  *) ip route replace default via \"$g\" dev \"$i\";; esac; done\n"
    "if [ -n \"$5$6\" ]; then\n"
    "  if has resolvectl; then\n"
    "    [ -z \"$5\" ] || resolvectl dns \"$i\" $5; [ -z \"$6\" ] || resolvectl domain \"$i\" $6\n"
    "  else\n"
    "    f=/etc/resolv.conf; [ ! -d /usr/lib/hostler ] || f=/run/resolv.$i\n"
    "    servers=$5\n"
    "    [ -n \"$servers\" ] || servers=$(sed -n 's/^nameserver //p' $f 2> /dev/null)\n"
    "    { [ -z \"$6\" ] || echo \"search $6\"; for s in $servers; do echo \"nameserver $s\"; done; } > $f.new && cat "
    "$f.new > $f\n"
    "    rm -f $f.new; [ ! -d /usr/lib/hostler ] || cat /run/resolv.* > /run/resolv.conf.all\n"
    "    [ ! -e /run/resolv.conf.all ] || mv /run/resolv.conf.all /run/resolv.conf\n"
    "  fi\n"
    "fi\n"
    "[ -z \"$7\" ] || ip link set \"$i\" mtu \"$7\"\n"
    "echo $(ip addr show dev \"$i\" scope global | sed -n 's/^ *inet6* \\([^ ]*\\).*/\\1/p')\n";

/* The first line of what a guest printed, as far as it can be an address list. Caller frees; NULL: nothing. */
static char *answer_of(const GuestExecResult *result)
{
        gsize length;
        const char *bytes = g_bytes_get_data(result->out, &length);
        g_autofree char *text = g_strndup(bytes ? bytes : "", MIN(length, 1000));
        text[strspn(text, "0123456789abcdefABCDEF.:/ ")] = '\0';
        g_strstrip(text);
        return *text ? g_strdup(text) : NULL;
}

bool nic_set_address(const DeviceChange *change, GError **error)
{
        const DeviceContext *context = change->context;
        GuestExecResult result = {0};
        g_autoptr(GError) silent = NULL;
        g_clear_pointer(&change->change->detail, g_free);
        if (!change->agent || !context->port_words) {
                change->change->detail = g_strdup("the guest has no agent: it learns it from DHCP, or when it starts");
                return true;
        }
        g_auto(GStrv) words = context->port_words(change->new_part, context->data, error);
        if (!words)
                return false;
        if (!guest_script_run(change->agent, script, (const char *const *)words, NULL, SCRIPT_MS, change->cancellable,
                              &result, &silent)) {
                change->change->detail = g_strdup_printf("the guest was not told: %s", silent->message);
                return true;
        }
        g_free(change->change->guest);
        change->change->guest = answer_of(&result);
        guest_exec_result_clear(&result);
        return true;
}
