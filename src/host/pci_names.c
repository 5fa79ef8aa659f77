/*
 * Looks names up in pci.ids(5): a line "8086  Maker" or "C 02  Class", and below it "\t10d3  Device". See pci_names.h.
 */
#include "host/pci_names.h"

#include <string.h>

#include "base/file.h"

#define FILE_LIMIT (8 << 20)

struct PciNames {
        char *text; /* NULL: the host has no such file */
};

PciNames *pci_names_open(const HostPaths *paths)
{
        static const char *const files[] = {"misc/pci.ids", "hwdata/pci.ids"};
        PciNames *names = g_new0(PciNames, 1);
        for (size_t i = 0; i < G_N_ELEMENTS(files) && !names->text; i++) {
                g_autofree char *path = g_build_filename(paths->share, files[i], NULL);
                names->text = file_read(path, FILE_LIMIT, NULL, NULL);
        }
        return names;
}

void pci_names_free(PciNames *names)
{
        if (!names)
                return;
        g_free(names->text);
        g_free(names);
}

static const char *next_line(const char *line)
{
        const char *end = strchr(line, '\n');
        return end ? end + 1 : NULL;
}

/* The line that begins with @key and two spaces, between @from and the next that does not begin with @indent. */
static const char *find_line(const char *from, const char *indent, const char *key)
{
        g_autofree char *start = g_strconcat(indent, key, "  ", NULL);
        for (const char *line = from; line && g_str_has_prefix(line, indent); line = next_line(line))
                if (g_str_has_prefix(line, start))
                        return line;
        return NULL;
}

/* What stands behind the two spaces. */
static char *name_of(const char *line)
{
        const char *name = strstr(line, "  ") + 2;
        g_autofree char *bytes = g_strndup(name, strcspn(name, "\r\n"));
        return g_utf8_make_valid(g_strstrip(bytes), -1);
}

static const char *find_below(const char *line, const char *key)
{
        const char *below = line ? next_line(line) : NULL;
        return below ? find_line(below, "\t", key) : NULL;
}

static const char *general_class(const char *code)
{
        static const char *const names[] = {"Unclassified",
                                            "Storage controller",
                                            "Network controller",
                                            "Display controller",
                                            "Multimedia controller",
                                            "Memory controller",
                                            "Bridge",
                                            "Communication",
                                            "System peripheral",
                                            "Input controller",
                                            "Docking station",
                                            "Processor",
                                            "Serial bus controller",
                                            "Wireless controller",
                                            "Intelligent controller",
                                            "Satellite controller",
                                            "Encryption controller",
                                            "Signal processing",
                                            "Accelerator"};
        g_autofree char *base = g_strndup(code, 2);
        guint64 number;
        return g_ascii_string_to_unsigned(base, 16, 0, G_N_ELEMENTS(names) - 1, &number, NULL) ? names[number]
                                                                                               : "Other";
}

char *pci_names_class(const PciNames *names, const char *code)
{
        g_autofree char *base = g_strdup_printf("C %.2s", code);
        g_autofree char *sub = strlen(code) >= 4 ? g_strndup(code + 2, 2) : g_strdup("");
        const char *line = names->text ? find_line(names->text, "", base) : NULL, *below = find_below(line, sub);
        if (!line)
                return g_strdup(general_class(code));
        return name_of(below ? below : line);
}

char *pci_names_device(const PciNames *names, const char *vendor, const char *device)
{
        const char *line = names->text ? find_line(names->text, "", vendor) : NULL, *below = find_below(line, device);
        if (!line)
                return NULL;
        g_autofree char *maker = name_of(line), *name = below ? name_of(below) : NULL;
        return name ? g_strdup_printf("%s %s", maker, name) : g_steal_pointer(&maker);
}
