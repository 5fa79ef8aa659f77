/*
 * What the simulator reads: the first byte says whether the rest is a conversation (protocol.h) or a CSV file of
 * traces. A conversation is answered with moves between hosts that there are; traces that are accepted can be replayed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz.h"
#include "simulate/policies.h"
#include "simulate/protocol.h"

#define MOST_VMS 64 /* replaying more only takes time */
#define MOST_STEPS 16

static void converse(const uint8_t *data, size_t size)
{
        char *output = NULL;
        size_t length = 0;
        FILE *in = fmemopen((void *)data, size, "r"), *out = open_memstream(&output, &length),
             *notes = fopen("/dev/null", "w");

        protocol_run(in, out, notes, PLACE_BALANCED, NULL);
        fclose(in);
        fclose(out);
        fclose(notes);
        g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
        for (char **line = lines; *line && **line; line++) {
                json_t *answer = json_loads(*line, 0, NULL);
                if (!json_is_array(json_object_get(answer, "migrations")) || strstr(*line, ",-1]"))
                        abort();
                json_decref(answer);
        }
        free(output);
}

static void replay(const uint8_t *data, size_t size)
{
        autoclose int fd = memfd_create("traces", MFD_CLOEXEC);
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        ModelResult result = {0};

        fuzz_write(fd, data, size);
        g_autoptr(Scenario) scenario = scenario_read(path, NULL, NULL);
        if (!scenario || scenario->n_vms > MOST_VMS || scenario->steps > MOST_STEPS || !scenario_place(scenario, NULL))
                return;
        if (!model_run(scenario, policy_find("balanced"), NULL, NULL, &result, NULL))
                return;
        if (!(result.kwh >= 0 && result.unserved >= -1e-6 && result.unserved <= 1 + 1e-6))
                abort();
        model_result_clear(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 2)
                return 0;
        if (data[0] == '{')
                converse(data, size);
        else
                replay(data + 1, size - 1);
        return 0;
}
