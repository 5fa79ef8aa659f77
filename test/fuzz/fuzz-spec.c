/*
 * Specs and merge patches: "SPEC\nPATCH". A spec that is accepted prints and reads back the same, merged or not, and as
 * a patch of itself changes nothing.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "fuzz.h"

static void check_round_trip(const HostlerSpec *spec)
{
        HostlerSpec again = {0}, itself = {0};
        json_t *printed = record_to_json(&hostler_spec_type, spec, RECORD_STORED);
        if (!record_from_json(&hostler_spec_type, printed, "", &again, NULL) ||
            !record_equal(&hostler_spec_type, spec, &again))
                abort();
        if (!spec_merge(spec, printed, "", &itself, NULL) || !record_equal(&hostler_spec_type, spec, &itself))
                abort();
        record_clear(&hostler_spec_type, &again);
        record_clear(&hostler_spec_type, &itself);
        json_decref(printed);
}

static void merge(const HostlerSpec *spec, const char *text)
{
        HostlerSpec merged = {0};
        json_t *patch = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (patch && spec_merge(spec, patch, "/spec", &merged, NULL)) {
                check_round_trip(&merged);
                record_clear(&hostler_spec_type, &merged);
        }
        json_decref(patch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autofree char *text = g_strndup((const char *)data, size);
        g_auto(GStrv) lines = g_strsplit(text, "\n", 2);
        HostlerSpec spec = {0};
        json_t *json = json_loads(lines[0] ? lines[0] : "", JSON_REJECT_DUPLICATES, NULL);
        if (json && record_from_json(&hostler_spec_type, json, "", &spec, NULL)) {
                check_round_trip(&spec);
                if (lines[1])
                        merge(&spec, lines[1]);
                record_clear(&hostler_spec_type, &spec);
        }
        json_decref(json);
        return 0;
}
