/*
 * A database that says anything, as the answer to a transaction. What it answers is an error or a list, and is taken
 * apart as far as it has the shape of a value.
 */
#include <glib.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/ovsdb.h"

#define LIMIT_MS 1000

static void take_apart(const json_t *results)
{
        json_t *result, *value;
        size_t i;
        const char *key;
        json_array_foreach (results, i, result) {
                json_object_foreach (result, key, value) {
                        json_auto_t *elements = ovsdb_set_elements(value), *object = ovsdb_map_object(value);
                        if (!object)
                                abort();
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        int pair[2];
        g_autoptr(GError) error = NULL;
        json_auto_t *result = NULL;
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
        fuzz_write(pair[1], data, size);
        shutdown(pair[1], SHUT_WR);
        bool ok = json_rpc_call_fd(pair[0], "transact", json_array(), LIMIT_MS, &result, &error);
        if (ok != (error == NULL) || (!ok && result))
                abort();
        if (ok)
                take_apart(result);
        close(pair[1]);
        return 0;
}
