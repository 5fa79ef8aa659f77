/* Sizes, durations, times and PROP=VALUE as a person types them. What a size or a duration prints as means the same. */
#include <glib.h>
#include <stdlib.h>

#include "base/record.h"
#include "base/units.h"
#include "fuzz.h"

static void check_duration(const char *text)
{
        int64_t ms, again;
        if (!duration_parse(text, &ms))
                return;
        g_autofree char *printed = duration_format(ms);
        if (ms < 0 || !duration_parse(printed, &again) || again != ms)
                abort();
}

static void check_time(const char *text)
{
        int64_t ms, again;
        if (!time_parse(text, &ms))
                return;
        g_autofree char *printed = time_format(ms);
        if (!time_parse(printed, &again) || again != ms)
                abort();
}

static void check_size(const char *text)
{
        int64_t bytes;
        if (!size_parse(text, &bytes))
                return;
        g_autofree char *printed = size_format(bytes);
        if (bytes < 0 || !*printed)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *text = g_strndup((const char *)data, size);
        check_size(text);
        check_duration(text);
        check_time(text);
        json_t *patch = spec_patch_from_assignment(text, NULL);
        json_decref(patch);
        return 0;
}
