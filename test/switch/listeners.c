/*
 * Each class of frames that a promiscuous adapter may get, by each scope: what it hears, and nothing else. Called by
 * test-switch.c.
 */
#include <string.h>

#include "switch/rig.h"

#define LISTENER 3
#define MARK "3" /* in what rig_send() tells */

/* Who sends: from the listener's port group, from another one of its VLAN, from another VLAN. */
static const int senders[] = {1, 6, 2};
static const Mac receivers[] = {{{2, 0, 0, 0, 0, 99}}, RIG_GROUP, RIG_BROADCAST};
static const char *const classes[] = {"unicast", "multicast", "broadcast"};
static const char *const scopes[] = {"portgroup", "vlan", "switch"};

static bool is_heard(Rig *rig, int from, Mac to)
{
        RigFrame frame = {.from = rig_mac(from), .to = to, .kind = RIG_UDP, .address = from};
        g_autofree char *got = rig_send(rig, from, &frame);
        g_auto(GStrv) words = g_strsplit(got, " ", -1);
        guint heard = 0;
        for (char **word = words; *word; word++)
                heard += g_str_equal(*word, MARK) || g_str_has_prefix(*word, MARK ":");
        g_assert_cmpuint(heard, <=, 1);
        return heard == 1;
}

/* A broadcast of its VLAN is its own anyway. */
static bool is_to_be_heard(gsize class, gsize scope, gsize sender, gsize kind)
{
        bool own = kind == 2 && sender < 2;
        return own || (kind == class && sender <= scope);
}

void classes_by_scopes(Rig *rig)
{
        enum { KINDS = 3 };
        g_autofree char *part = g_strdup_printf("nic%d", LISTENER);
        RxFilter nothing = {.known = true, .mac = rig_mac(LISTENER)};
        rig_group(rig, "other", "{'vlan': '10'}");
        rig_adapter(rig, 2, "db", "{}");
        rig_adapter(rig, 6, "other", "{}");
        for (gsize i = 0; i < KINDS * KINDS; i++) {
                gsize class = i / KINDS, scope = i % KINDS;
                g_autofree char *policy = g_strdup_printf("{'promiscuous': ['%s'], 'promiscuous_scope': '%s', "
                                                          "'promiscuous_when': 'always'}",
                                                          classes[class], scopes[scope]);
                rig_adapter(rig, LISTENER, "web", policy);
                network_set_filter(rig->network, "rig", part, &nothing); /* it has joined no group */
                rig_apply(rig);
                for (gsize k = 0; k < KINDS * KINDS; k++)
                        g_assert_cmpint(is_heard(rig, senders[k / KINDS], receivers[k % KINDS]), ==,
                                        is_to_be_heard(class, scope, k / KINDS, k % KINDS));
        }
        rig_unplug(rig, 6);
}
