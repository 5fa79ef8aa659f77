/*
 * NAT with nftables. See nat.h; JSON: libnftables-json(5).
 *
 * Rules of ours are found again by their comment, which begins with the table's name.
 */
#include "network/nat.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/process.h"

#define NFT_MS 20000
#define LIST_LIMIT (64 << 20)

static const char *const families[] = {"ip", "ip6"};

static bool is_v6(const char *family)
{
        return strcmp(family, "ip6") == 0;
}

/* Whether anything of a LAN is translated in this family. */
static bool is_own(const NatLan *lan, const char *family)
{
        return !lan->bridged && (lan->has_prefix || !is_v6(family));
}

/* ---- rules ---- */

static json_t *add(const char *what, json_t *object_taken)
{
        return json_pack("{s:{s:o}}", "add", what, object_taken);
}

static json_t *match(const char *operator, json_t * left_taken, json_t *right_taken)
{
        return json_pack("{s:{s:s, s:o, s:o}}", "match", "op", operator, "left", left_taken, "right", right_taken);
}

static json_t *match_device(const char *key, const char *operator, const char * device)
{
        return match(operator, json_pack("{s:{s:s}}", "meta", "key", key), json_string(device));
}

static json_t *match_source(const char *operator, const Subnet * subnet)
{
        const char *protocol = subnet->address.v6 ? "ip6" : "ip";
        g_autofree char *address = ip_text(&subnet->address);
        return match(operator, json_pack("{s:{s:s, s:s}}", "payload", "protocol", protocol, "field", "saddr"),
                     json_pack("{s:{s:s, s:i}}", "prefix", "addr", address, "len", subnet->length));
}

static json_t *match_answer(void)
{
        return match("in", json_pack("{s:{s:s}}", "ct", "key", "state"), json_pack("[s, s]", "established", "related"));
}

static json_t *verdict(const char *name)
{
        return json_pack("{s:n}", name);
}

/* A table that is being made. */
typedef struct {
        const char *family, *name;
        json_t *commands;
} Table;

static void add_chain(const Table *table, const char *name, const char *type, int priority)
{
        json_array_append_new(
            table->commands,
            add("chain", json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "family", table->family, "table", table->name,
                                   "name", name, "type", type, "hook", name, "prio", priority, "policy", "accept")));
}

static void add_rule(const Table *table, const char *in_chain, json_t *expressions_taken)
{
        json_array_append_new(table->commands,
                              add("rule", json_pack("{s:s, s:s, s:s, s:o}", "family", table->family, "table",
                                                    table->name, "chain", in_chain, "expr", expressions_taken)));
}

/*
 * Who is outside gets only answers in; nobody leaves under an address that is not the LAN's. Other LANs are outside.
 */
static void add_lan(const Table *table, const NatLan *lan)
{
        const Subnet *subnet = is_v6(table->family) ? &lan->prefix : &lan->subnet;
        add_rule(table, "forward",
                 json_pack("[o, o, o]", match_device("oifname", "==", lan->device), match_answer(), verdict("accept")));
        add_rule(table, "forward", json_pack("[o, o]", match_device("oifname", "==", lan->device), verdict("drop")));
        add_rule(table, "forward",
                 json_pack("[o, o, o]", match_device("iifname", "==", lan->device), match_source("!=", subnet),
                           verdict("drop")));
        add_rule(table, "postrouting",
                 json_pack("[o, o, o]", match_source("==", subnet), match_device("oifname", "!=", lan->device),
                           verdict("masquerade")));
}

/* Its name in the comments, with what it is as a whole: when that changes, all of it is made anew. */
static char *mark_of(const char *table, const json_t *commands)
{
        g_autofree char *text = json_dumps(commands, JSON_COMPACT);
        g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
        return g_strdup_printf("%s:%.12s", table, hash);
}

/* Whether there is anything to translate. */
static bool has_own(const char *family, const NatLan *lans, guint n_lans)
{
        for (guint i = 0; i < n_lans; i++)
                if (is_own(&lans[i], family))
                        return true;
        return false;
}

static void mark_rules(const char *table, json_t *commands)
{
        g_autofree char *mark = mark_of(table, commands);
        json_t *command;
        size_t i;
        json_array_foreach (commands, i, command) {
                json_t *rule = json_object_get(json_object_get(command, "add"), "rule");
                if (rule)
                        json_object_set_new(rule, "comment", json_string(mark));
        }
}

json_t *nat_table(const char *family, const char *table, const NatLan *lans, guint n_lans)
{
        const Table made = {family, table, json_array()};
        json_auto_t *name = json_pack("{s:s, s:s}", "family", family, "name", table);
        /* Deleting what is not there is an error, so it is made first. */
        json_array_append_new(made.commands, add("table", json_incref(name)));
        json_array_append_new(made.commands, json_pack("{s:{s:O}}", "delete", "table", name));
        if (has_own(family, lans, n_lans)) {
                json_array_append_new(made.commands, add("table", json_incref(name)));
                add_chain(&made, "forward", "filter", 0);
                add_chain(&made, "postrouting", "nat", 100);
        }
        for (guint i = 0; i < n_lans; i++)
                if (is_own(&lans[i], family))
                        add_lan(&made, &lans[i]);
        mark_rules(table, made.commands);
        return made.commands;
}

/* ---- others' chains ---- */

static const char *text_of(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));
        return text ? text : "";
}

static bool is_ours(const json_t *rule, const char *table)
{
        const char *comment = text_of(rule, "comment");
        return g_str_has_prefix(comment, table) && comment[strlen(table)] == ':';
}

static bool is_in(const json_t *rule, const json_t *chain)
{
        return strcmp(text_of(rule, "family"), text_of(chain, "family")) == 0 &&
               strcmp(text_of(rule, "table"), text_of(chain, "table")) == 0 &&
               strcmp(text_of(rule, "chain"), text_of(chain, "name")) == 0;
}

/* What may pass in the one way and in the other: what a LAN sends, and what comes back for it; or from one end of a
 * bridge to another. */
static json_t *pass_of(const NatLan *lan, bool back)
{
        if (lan->bridged)
                return json_pack("[o, o, o]", match_device("iifname", "==", lan->device),
                                 match_device("oifname", "==", lan->device), verdict("accept"));
        return back ? json_pack("[o, o, o]", match_device("oifname", "==", lan->device), match_answer(),
                                verdict("accept"))
                    : json_pack("[o, o]", match_device("iifname", "==", lan->device), verdict("accept"));
}

static json_t *pass_rule(const json_t *chain, const char *table, const NatLan *lan, bool back)
{
        g_autofree char *comment = g_strdup_printf("%s:%s:%s", table, lan->device, back ? "in" : "out");
        return json_pack("{s:s, s:s, s:s, s:s, s:o}", "family", text_of(chain, "family"), "table",
                         text_of(chain, "table"), "chain", text_of(chain, "name"), "comment", comment, "expr",
                         pass_of(lan, back));
}

/* The rule of @objects, in @chain, that has @comment. */
static const json_t *find_rule(const json_t *objects, const json_t *chain, const char *comment)
{
        json_t *object;
        size_t i;
        json_array_foreach (objects, i, object) {
                const json_t *rule = json_object_get(object, "rule");
                if (rule && is_in(rule, chain) && strcmp(text_of(rule, "comment"), comment) == 0)
                        return rule;
        }
        return NULL;
}

static bool forwards(const json_t *chain, const char *table)
{
        const char *family = text_of(chain, "family");
        return chain && strcmp(text_of(chain, "hook"), "forward") == 0 && strcmp(text_of(chain, "table"), table) != 0 &&
               (strcmp(family, "ip") == 0 || strcmp(family, "ip6") == 0 || strcmp(family, "inet") == 0);
}

static void let_pass(const json_t *objects, const json_t *chain, const char *table, const NatLan *lans, guint n_lans,
                     json_t *commands)
{
        bool only_v6 = is_v6(text_of(chain, "family"));
        for (guint i = 0; i < n_lans * 2; i++) {
                const NatLan *lan = &lans[i / 2];
                if (lan->bridged ? i % 2 : only_v6 && !lan->has_prefix)
                        continue;
                json_t *rule = pass_rule(chain, table, lan, i % 2);
                if (!find_rule(objects, chain, text_of(rule, "comment")))
                        json_array_append_new(commands, json_pack("{s:{s:O}}", "insert", "rule", rule));
                json_decref(rule);
        }
}

static bool is_wanted(const json_t *rule, const NatLan *lans, guint n_lans)
{
        g_auto(GStrv) words = g_strsplit(text_of(rule, "comment"), ":", 3);
        bool only_v6 = is_v6(text_of(rule, "family"));
        for (guint i = 0; i < n_lans; i++)
                if (g_strv_length(words) == 3 && strcmp(words[1], lans[i].device) == 0)
                        return lans[i].bridged || lans[i].has_prefix || !only_v6;
        return false;
}

static void take_back(const json_t *rule, json_t *commands)
{
        json_array_append_new(commands, json_pack("{s:{s:{s:s, s:s, s:s, s:O}}}", "delete", "rule", "family",
                                                  text_of(rule, "family"), "table", text_of(rule, "table"), "chain",
                                                  text_of(rule, "chain"), "handle", json_object_get(rule, "handle")));
}

static json_t *difference_of_others(const json_t *objects, const char *table, const NatLan *lans, guint n_lans)
{
        json_t *commands = json_array(), *object;
        size_t i;
        json_array_foreach (objects, i, object) {
                const json_t *rule = json_object_get(object, "rule"), *chain = json_object_get(object, "chain");
                if (forwards(chain, table))
                        let_pass(objects, chain, table, lans, n_lans, commands);
                else if (rule && strcmp(text_of(rule, "table"), table) != 0 && is_ours(rule, table) &&
                         !is_wanted(rule, lans, n_lans))
                        take_back(rule, commands);
        }
        if (json_array_size(commands) > 0)
                return commands;
        json_decref(commands);
        return NULL;
}

/* ---- our own table ---- */

static bool is_of(const json_t *object, const char *family, const char *table)
{
        return strcmp(text_of(object, "family"), family) == 0 && strcmp(text_of(object, "table"), table) == 0;
}

/* How many of the table's rules have the mark, less those that have not. */
static int marked(const json_t *objects, const char *family, const char *table, const char *mark)
{
        int count = 0;
        json_t *object;
        size_t i;
        json_array_foreach (objects, i, object) {
                const json_t *rule = json_object_get(object, "rule");
                if (rule && is_of(rule, family, table))
                        count += mark && strcmp(text_of(rule, "comment"), mark) == 0 ? 1 : -1;
        }
        return count;
}

static bool has_table(const json_t *objects, const char *family, const char *name)
{
        json_t *object;
        size_t i;
        json_array_foreach (objects, i, object) {
                const json_t *table = json_object_get(object, "table");
                if (table && strcmp(text_of(table, "family"), family) == 0 && strcmp(text_of(table, "name"), name) == 0)
                        return true;
        }
        return false;
}

static bool is_intact(const json_t *objects, const char *family, const char *table, const json_t *wanted)
{
        int count = 0;
        const char *mark = NULL;
        json_t *command;
        size_t i;
        json_array_foreach (wanted, i, command) {
                const json_t *rule = json_object_get(json_object_get(command, "add"), "rule");
                mark = rule ? text_of(rule, "comment") : mark;
                count += rule != NULL;
        }
        return marked(objects, family, table, mark) == count && has_table(objects, family, table) == (mark != NULL);
}

json_t *nat_difference(const json_t *ruleset, const char *table, const NatLan *lans, guint n_lans, json_t **ret_others)
{
        const json_t *objects = json_object_get(ruleset, "nftables");
        json_t *commands = json_array();
        *ret_others = difference_of_others(objects, table, lans, n_lans);
        for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
                json_auto_t *wanted = nat_table(families[i], table, lans, n_lans);
                if (!is_intact(objects, families[i], table, wanted))
                        json_array_extend(commands, wanted);
        }
        if (json_array_size(commands) > 0)
                return commands;
        json_decref(commands);
        return NULL;
}

/* ---- doing it ---- */

bool nat_is_installed(GError **error)
{
        g_autofree char *program = g_find_program_in_path("nft");
        if (program || g_file_test("/usr/sbin/nft", G_FILE_TEST_IS_EXECUTABLE))
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "nft is not installed, and NAT needs it");
        return error_hint(error, "apt-get install nftables   (as root)");
}

static bool run(json_t *commands, GError **error)
{
        static const char *const argv[] = {"nft", "-j", "-f", "-", NULL};
        json_auto_t *document = json_pack("{s:O}", "nftables", commands);
        char *text = json_dumps(document, JSON_COMPACT);
        ProcessOptions options = {.argv = argv, .input = text, .timeout_ms = NFT_MS};
        bool ok = process_run(&options, NULL, error);
        free(text);
        return ok;
}

bool nat_apply(const char *table, const NatLan *lans, guint n_lans, GError **error)
{
        static const char *const argv[] = {"nft", "-j", "list", "ruleset", NULL};
        ProcessOptions options = {.argv = argv, .timeout_ms = NFT_MS, .output_limit_bytes = LIST_LIMIT};
        g_autoptr(GError) refused = NULL;
        json_t *foreign = NULL;
        json_auto_t *ruleset = nat_is_installed(error) ? process_run_json(&options, error) : NULL;
        if (!ruleset)
                return false;
        json_auto_t *own = nat_difference(ruleset, table, lans, n_lans, &foreign);
        json_auto_t *others = foreign;
        /* Ours first: nothing passes a foreign chain that is not translated yet. */
        if (own && !run(own, error))
                return false;
        /* A firewall that lets nobody change its table has the last word. */
        if (others && !run(others, &refused))
                g_warning("switches: the host's firewall takes no rule of ours: %s", refused->message);
        return true;
}

int nat_watch(void)
{
        struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
                return fd;
        close(fd);
        return -1;
}
