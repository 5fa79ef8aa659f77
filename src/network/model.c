/*
 * Addresses and VLANs out of text. See model.h.
 */
#include "network/model.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

bool mac_parse(const char *text, Mac *ret_mac)
{
        unsigned parts[6];
        int end = 0;
        if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &parts[0], &parts[1], &parts[2], &parts[3], &parts[4], &parts[5],
                   &end) != 6 ||
            text[end] != '\0' || end != 17)
                return false;
        for (int i = 0; i < 6; i++)
                ret_mac->bytes[i] = parts[i];
        return true;
}

char *mac_text(const Mac *mac)
{
        const uint8_t *b = mac->bytes;
        return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

bool mac_equal(const Mac *a, const Mac *b)
{
        return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool ip_parse(const char *text, IpAddress *ret_address)
{
        *ret_address = (IpAddress){.v6 = strchr(text, ':') != NULL};
        return inet_pton(ret_address->v6 ? AF_INET6 : AF_INET, text, ret_address->bytes) == 1;
}

/* ---- VLANs ---- */

bool vlans_have(const Vlans *vlans, uint16_t vid)
{
        switch (vlans->mode) {
        case VLAN_ACCESS:
                return vlans->vid == vid;
        case VLAN_TRUNK:
                return vid != 0 && (vlans->allowed[vid / 64] >> (vid % 64) & 1);
        case VLAN_ALL:
                break;
        }
        return true;
}

static void allow(Vlans *vlans, unsigned from, unsigned to)
{
        for (unsigned vid = from; vid <= to; vid++)
                vlans->allowed[vid / 64] |= UINT64_C(1) << (vid % 64);
}

/* "10" or "100-110". */
static bool parse_range(const char *text, Vlans *vlans, GError **error)
{
        g_auto(GStrv) ends = g_strsplit(text, "-", 2);
        guint64 from = 0, to = 0;
        bool good = ends[0] && g_ascii_string_to_unsigned(ends[0], 10, 1, VLAN_MAX, &from, NULL);
        to = from;
        if (good && ends[1])
                good = g_ascii_string_to_unsigned(ends[1], 10, from, VLAN_MAX, &to, NULL);
        if (!good)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "“%s” is no VLAN: they are from 1 to 4094, a range as 100-110", text);
        allow(vlans, from, to);
        return true;
}

static bool parse_trunk(const char *list, int64_t native, Vlans *vlans, GError **error)
{
        g_auto(GStrv) ranges = g_strsplit(list, ",", -1);
        vlans->mode = VLAN_TRUNK;
        if (!ranges[0])
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "a trunk names its VLANs: `trunk:10,20-30`");
        for (char **range = ranges; *range; range++)
                if (!parse_range(*range, vlans, error))
                        return false;
        if (native != HOSTLER_UNSET) {
                vlans->vid = native;
                allow(vlans, native, native);
        }
        return true;
}

bool vlans_parse(const char *text, int64_t native, Vlans *ret_vlans, GError **error)
{
        guint64 vid = 0;
        *ret_vlans = (Vlans){.mode = VLAN_ACCESS};
        if (text && g_str_has_prefix(text, "trunk:"))
                return parse_trunk(text + strlen("trunk:"), native, ret_vlans, error);
        if (native != HOSTLER_UNSET)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "only a trunk has a native VLAN");
        if (!text || strcmp(text, "none") == 0 || strcmp(text, "0") == 0)
                return true;
        if (strcmp(text, "all") == 0 || strcmp(text, "4095") == 0) {
                ret_vlans->mode = VLAN_ALL;
                return true;
        }
        if (!g_ascii_string_to_unsigned(text, 10, 1, VLAN_MAX, &vid, NULL))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "“%s” is no VLAN: a number from 1 to 4094, `none`, `all`, or `trunk:10,20-30`", text);
        ret_vlans->vid = vid;
        return true;
}
