/*
 * Headers of foreign disk images. The first byte chooses the format that is claimed, none first. Whatever comes, the
 * answer is yes with a size in range or no with a reason.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "storage/image_inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        g_autoptr(GError) error = NULL;
        ImageFacts facts;

        if (size == 0)
                return 0;
        if (image_inspect_bytes(data + 1, size - 1, (int64_t)size * 7, data[0] % 6, &facts, &error)) {
                if (facts.size_bytes <= 0 || facts.size_bytes > INSPECT_SIZE_MAX)
                        abort();
        } else if (!error) {
                abort();
        }
        return 0;
}
