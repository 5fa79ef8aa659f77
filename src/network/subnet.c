/*
 * Arithmetic of addresses. See subnet.h.
 *
 * Called where addresses are declared and where they are given out; asks nobody.
 */
#include "network/subnet.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"

#define LENGTH_MIN 8
#define LENGTH_MAX 29
#define PREFIX_LENGTH 64

char *ip_text(const IpAddress *address)
{
        char text[INET6_ADDRSTRLEN];
        inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof text);
        return g_strdup(text);
}

bool ip_equal(const IpAddress *a, const IpAddress *b)
{
        return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

static int bits_of(const IpAddress *address)
{
        return address->v6 ? 128 : 32;
}

/* Leaves the first @length bits. */
static IpAddress cut(const IpAddress *address, int length)
{
        IpAddress result = *address;
        for (int i = 0; i < (int)sizeof result.bytes; i++) {
                int left = CLAMP(length - i * 8, 0, 8);
                result.bytes[i] &= (uint8_t)(0xff00 >> left);
        }
        return result;
}

bool subnet_parse(const char *text, Subnet *ret_subnet)
{
        g_auto(GStrv) words = g_strsplit(text, "/", 2);
        guint64 length = 0;
        if (g_strv_length(words) != 2 || !ip_parse(words[0], &ret_subnet->address) ||
            !g_ascii_string_to_unsigned(words[1], 10, 0, (guint64)bits_of(&ret_subnet->address), &length, NULL))
                return false;
        ret_subnet->length = (int)length;
        ret_subnet->address = cut(&ret_subnet->address, ret_subnet->length);
        return true;
}

bool subnet_parse_lan(const char *text, Subnet *ret_subnet, GError **error)
{
        if (!subnet_parse(text, ret_subnet) || ret_subnet->address.v6)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is no IPv4 subnet: `10.1.2.0/24`", text);
        g_autofree char *whole = subnet_text(ret_subnet);
        if (ret_subnet->length < LENGTH_MIN || ret_subnet->length > LENGTH_MAX)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "a subnet is from /%d to /%d large", LENGTH_MIN,
                                 LENGTH_MAX);
        if (strcmp(whole, text) != 0)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is an address in a subnet, which is %s",
                                 text, whole);
        uint8_t first = ret_subnet->address.bytes[0];
        return (first != 0 && first != 127 && first < 224) ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s are not addresses that guests can have", text);
}

bool prefix_parse_lan(const char *text, Subnet *ret_prefix, GError **error)
{
        if (!subnet_parse(text, ret_prefix) || !ret_prefix->address.v6)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is no IPv6 prefix: `fd00:1:2:3::/64`", text);
        g_autofree char *whole = subnet_text(ret_prefix);
        g_auto(GStrv) words = g_strsplit(text, "/", 2);
        IpAddress written;
        if (ret_prefix->length != PREFIX_LENGTH)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "a prefix is a /%d: hosts make the other half of their addresses", PREFIX_LENGTH);
        if (!ip_parse(words[0], &written) || !ip_equal(&written, &ret_prefix->address))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "“%s” is an address in a prefix, which is %s",
                                 text, whole);
        uint8_t first = ret_prefix->address.bytes[0];
        return (first & 0xe0) == 0x20 || (first & 0xfe) == 0xfc ||
               error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s are not addresses that guests can have", whole);
}

IpAddress prefix_address(const Subnet *prefix, const Mac *mac)
{
        const uint8_t *m = mac->bytes;
        const uint8_t host[8] = {m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
        IpAddress address = prefix->address;
        memcpy(address.bytes + sizeof host, host, sizeof host);
        return address;
}

char *subnet_text(const Subnet *subnet)
{
        g_autofree char *address = ip_text(&subnet->address);
        return g_strdup_printf("%s/%d", address, subnet->length);
}

static uint32_t mask_of(int length)
{
        return length == 0 ? 0 : UINT32_MAX << (32 - length);
}

static uint32_t number_of(const IpAddress *address)
{
        const uint8_t *b = address->bytes;
        return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static IpAddress address_of(uint32_t number)
{
        return (IpAddress){.bytes = {number >> 24, number >> 16 & 0xff, number >> 8 & 0xff, number & 0xff}};
}

char *subnet_netmask(const Subnet *subnet)
{
        IpAddress mask = address_of(mask_of(subnet->length));
        return ip_text(&mask);
}

int netmask_parse(const char *text)
{
        IpAddress address;
        if (!ip_parse(text, &address) || address.v6)
                return -1;
        uint32_t mask = number_of(&address);
        for (int length = 0; length <= 32; length++)
                if (mask_of(length) == mask)
                        return length;
        return -1;
}

bool subnet_has(const Subnet *subnet, const IpAddress *address)
{
        IpAddress start = cut(address, subnet->length);
        return subnet->address.v6 == address->v6 && ip_equal(&start, &subnet->address);
}

bool subnet_overlaps(const Subnet *a, const Subnet *b)
{
        return a->length <= b->length ? subnet_has(a, &b->address) : subnet_has(b, &a->address);
}

bool subnet_is_host(const Subnet *subnet, const IpAddress *address)
{
        if (!subnet_has(subnet, address))
                return false;
        if (address->v6)
                return subnet->length >= 127 || !ip_equal(address, &subnet->address);
        uint32_t host = number_of(address) & ~mask_of(subnet->length);
        return subnet->length >= 31 || (host != 0 && host != ~mask_of(subnet->length));
}

IpAddress subnet_first(const Subnet *subnet)
{
        IpAddress first = subnet->address;
        if (!first.v6)
                return address_of(number_of(&first) + 1);
        first.bytes[15] |= 1;
        return first;
}

IpAddress subnet_last(const Subnet *subnet)
{
        return address_of((number_of(&subnet->address) | ~mask_of(subnet->length)) - 1);
}

bool subnet_choose(const Subnet *subnet, GHashTable *taken, IpAddress *ret_address)
{
        IpAddress first = subnet_first(subnet), last = subnet_last(subnet);
        for (uint32_t number = number_of(&first); number <= number_of(&last); number++) {
                IpAddress address = address_of(number);
                g_autofree char *text = ip_text(&address);
                if (g_hash_table_contains(taken, text))
                        continue;
                *ret_address = address;
                return true;
        }
        return false;
}
