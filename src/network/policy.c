/*
 * Resolving of policies. See policy.h.
 */
#include "network/policy.h"

#include <string.h>

#include "base/record.h"

/* A property that is said by another one too. */
static const struct {
        const char *property, *by;
} also_said[] = {{"forged_transmits_tcp", "forged_transmits"}, {"forged_transmits_udp", "forged_transmits"}};

/* What @level says of @property; borrowed, NULL: nothing. */
static json_t *said(const json_t *level, const char *property)
{
        json_t *value = json_object_get(level, property);
        for (gsize i = 0; (!value || json_is_null(value)) && i < G_N_ELEMENTS(also_said); i++)
                if (strcmp(property, also_said[i].property) == 0)
                        value = json_object_get(level, also_said[i].by);
        return json_is_null(value) ? NULL : value;
}

json_t *policy_origin(const json_t *const levels[POLICY_LEVELS], const char *property, PolicyLevel *ret_level)
{
        for (*ret_level = LEVEL_PORT; *ret_level > LEVEL_DEFAULT; (*ret_level)--) {
                json_t *value = levels[*ret_level] ? said(levels[*ret_level], property) : NULL;
                if (value)
                        return json_incref(value);
        }
        return NULL;
}

static bool accepts(const json_t *const levels[POLICY_LEVELS], const char *property)
{
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, property, &level);
        return !value || g_strcmp0(json_string_value(value), "reject") != 0;
}

static uint32_t number_of(const json_t *const levels[POLICY_LEVELS], const char *property)
{
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, property, &level);
        return (uint32_t)json_integer_value(value);
}

/* A peak that is no faster than the average is the limit itself: levels that know nothing of each other may say so. */
static Rate rate_of(const json_t *const levels[POLICY_LEVELS], const char *average, const char *burst, const char *peak)
{
        uint32_t kbps = number_of(levels, average), peak_kbps = number_of(levels, peak);
        uint32_t burst_kbit = number_of(levels, burst);
        if (peak_kbps && (!kbps || peak_kbps <= kbps)) {
                kbps = peak_kbps;
                peak_kbps = 0;
        }
        return (Rate){.kbps = kbps, .burst_kbit = burst_kbit ? burst_kbit : MAX(kbps / 10, 1), .peak_kbps = peak_kbps};
}

/* The number of an enum's value; @otherwise when nothing is said. */
static int choice_of(const json_t *const levels[POLICY_LEVELS], const char *property, const EnumType *type,
                     int otherwise)
{
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, property, &level);
        for (int i = 1; value && type->values[i]; i++)
                if (g_strcmp0(json_string_value(value), type->values[i]) == 0)
                        return i;
        return otherwise;
}

static unsigned class_of(const char *word)
{
        static const struct {
                const char *word;
                unsigned classes;
        } classes[] = {{"unicast", CLASS_UNICAST},
                       {"multicast", CLASS_MULTICAST},
                       {"broadcast", CLASS_BROADCAST},
                       {"accept", CLASS_ALL}};
        for (gsize i = 0; i < G_N_ELEMENTS(classes); i++)
                if (g_strcmp0(word, classes[i].word) == 0)
                        return classes[i].classes;
        return 0;
}

static unsigned promiscuous_of(const json_t *const levels[POLICY_LEVELS])
{
        PolicyLevel level;
        json_auto_t *value = policy_origin(levels, "promiscuous", &level);
        unsigned classes = 0;
        json_t *word;
        size_t i;
        json_array_foreach (value, i, word)
                classes |= class_of(json_string_value(word));
        return classes;
}

void policy_resolve(const json_t *const levels[POLICY_LEVELS], Policy *ret_policy)
{
        *ret_policy = (Policy){
            .promiscuous = promiscuous_of(levels),
            .scope =
                choice_of(levels, "promiscuous_scope", &hostler_promiscuous_scope_enum, HOSTLER_PROMISCUOUS_SCOPE_VLAN),
            .when =
                choice_of(levels, "promiscuous_when", &hostler_promiscuous_when_enum, HOSTLER_PROMISCUOUS_WHEN_ASKED),
            .mac_changes = accepts(levels, "mac_changes"),
            .forged = accepts(levels, "forged_transmits"),
            .forged_tcp = accepts(levels, "forged_transmits_tcp"),
            .forged_udp = accepts(levels, "forged_transmits_udp"),
            .mac_spoofing = accepts(levels, "mac_spoofing"),
            .address_spoofing = accepts(levels, "address_spoofing"),
            .dhcp_server = accepts(levels, "dhcp_server"),
            .router_advertisement = accepts(levels, "router_advertisement"),
            .traffic = accepts(levels, "traffic"),
            .from_vm = rate_of(levels, "rate_from_vm", "burst_from_vm", "peak_from_vm"),
            .to_vm = rate_of(levels, "rate_to_vm", "burst_to_vm", "peak_to_vm"),
        };
}

static void check_peak(const json_t *level, const char *pointer, const char *average, const char *peak,
                       GPtrArray *faults)
{
        json_int_t average_kbps = json_integer_value(json_object_get(level, average));
        json_int_t peak_kbps = json_integer_value(json_object_get(level, peak));
        g_autofree char *here = g_strdup_printf("%s/%s", pointer, peak);
        if (peak_kbps > 0 && peak_kbps < average_kbps)
                faults_add(faults, here, "a peak is no slower than the average, which is %" JSON_INTEGER_FORMAT,
                           average_kbps);
}

void policy_check(const json_t *level, const char *pointer, GPtrArray *faults)
{
        check_peak(level, pointer, "rate_from_vm", "peak_from_vm", faults);
        check_peak(level, pointer, "rate_to_vm", "peak_to_vm", faults);
        json_t *words = json_object_get(level, "promiscuous"), *word;
        g_autofree char *here = g_strdup_printf("%s/promiscuous", pointer);
        unsigned seen = 0;
        size_t i;
        json_array_foreach (words, i, word) {
                const char *text = json_string_value(word);
                unsigned classes = class_of(text);
                if (json_array_size(words) > 1 && (classes == 0 || classes == CLASS_ALL))
                        faults_add(faults, here, "“%s” stands alone", text);
                else if (seen & classes)
                        faults_add(faults, here, "“%s” is there twice", text);
                seen |= classes;
        }
}
