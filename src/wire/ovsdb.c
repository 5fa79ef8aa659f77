/*
 * JSON-RPC calls, and transactions of the Open vSwitch database. See ovsdb.h.
 *
 * Knows no table and no column. Called by src/network on its thread.
 */
#include "wire/ovsdb.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "wire/json_stream.h"

#define ANSWER_LIMIT_BYTES (16 << 20)
#define OUR_ID 1

typedef struct {
        int fd;
        GString *out;
        gsize written;
        JsonSplitter *splitter;
        json_t *answer; /* to our call */
        int64_t deadline_ms;
} Rpc;

static void send_value(Rpc *rpc, json_t *value_taken)
{
        char *text = json_dumps(value_taken, JSON_COMPACT);
        g_string_append(rpc->out, text);
        free(text);
        json_decref(value_taken);
}

/* The database asks now and then whether we are there. */
static void on_value(json_t *value, void *data)
{
        Rpc *rpc = data;
        const char *method = json_string_value(json_object_get(value, "method"));
        if (g_strcmp0(method, "echo") == 0)
                send_value(rpc, json_pack("{s:O?, s:n, s:O?}", "result", json_object_get(value, "params"), "error",
                                          "id", json_object_get(value, "id")));
        else if (!method && !rpc->answer && json_integer_value(json_object_get(value, "id")) == OUR_ID)
                rpc->answer = json_incref(value);
}

static bool write_some(Rpc *rpc, GError **error)
{
        ssize_t count = send(rpc->fd, rpc->out->str + rpc->written, rpc->out->len - rpc->written, MSG_NOSIGNAL);
        if (count > 0)
                rpc->written += count;
        return count >= 0 || errno == EAGAIN || errno == EINTR || error_set_errno(error, errno, NULL, "send");
}

static bool read_some(Rpc *rpc, GError **error)
{
        char bytes[65536];
        ssize_t count = recv(rpc->fd, bytes, sizeof bytes, 0);
        if (count == 0)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the connection was closed before the answer");
        if (count < 0)
                return errno == EAGAIN || errno == EINTR || error_set_errno(error, errno, NULL, "receive");
        return json_splitter_feed(rpc->splitter, bytes, count, on_value, rpc, error);
}

static bool exchange(Rpc *rpc, GError **error)
{
        while (!rpc->answer) {
                struct pollfd poll_fd = {.fd = rpc->fd,
                                         .events = POLLIN | (rpc->written < rpc->out->len ? POLLOUT : 0)};
                int64_t left_ms = rpc->deadline_ms - clock_monotonic_ms();
                if (left_ms <= 0 || poll(&poll_fd, 1, (int)left_ms) == 0)
                        return error_set(error, HOSTLER_ERROR_UNRESPONSIVE, NULL, "no answer in time");
                if ((poll_fd.revents & POLLOUT) && !write_some(rpc, error))
                        return false;
                if ((poll_fd.revents & (POLLIN | POLLHUP | POLLERR)) && !read_some(rpc, error))
                        return false;
        }
        return true;
}

/* What a refusal says, in one line. Caller frees. */
static char *refusal_text(const json_t *refusal)
{
        const char *word = json_string_value(refusal);
        const char *kind = json_string_value(json_object_get(refusal, "error"));
        const char *details = json_string_value(json_object_get(refusal, "details"));
        if (word)
                return g_strchomp(g_strdup(word));
        return g_strdup_printf("%s%s%s", kind ? kind : "no reason given", details ? ": " : "", details ? details : "");
}

static bool take_answer(const json_t *answer, const char *method, json_t **ret_result, GError **error)
{
        const json_t *refusal = json_object_get(answer, "error");
        if (refusal && !json_is_null(refusal)) {
                g_autofree char *text = refusal_text(refusal);
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s was refused: %s", method, text);
        }
        if (ret_result)
                *ret_result = json_incref(json_object_get(answer, "result"));
        return true;
}

bool json_rpc_call_fd(int fd_taken, const char *method, json_t *params_taken, int64_t timeout_ms, json_t **ret_result,
                      GError **error)
{
        autoclose int fd = fd_taken;
        g_autoptr(GString) out = g_string_new(NULL);
        Rpc rpc = {.fd = fd,
                   .out = out,
                   .splitter = json_splitter_new(ANSWER_LIMIT_BYTES),
                   .deadline_ms = clock_monotonic_ms() + timeout_ms};
        send_value(&rpc, json_pack("{s:s, s:o, s:i}", "method", method, "params", params_taken, "id", OUR_ID));
        bool ok = exchange(&rpc, error) && take_answer(rpc.answer, method, ret_result, error);
        json_splitter_free(rpc.splitter);
        json_decref(rpc.answer);
        return ok;
}

bool json_rpc_call(const char *path, const char *method, json_t *params_taken, int64_t timeout_ms, json_t **ret_result,
                   GError **error)
{
        int fd = unix_connect(path, error);
        if (fd >= 0)
                return json_rpc_call_fd(fd, method, params_taken, timeout_ms, ret_result, error);
        json_decref(params_taken);
        return false;
}

/* ---- the database ---- */

/* A failed transaction has an element with "error" where it failed, or one more at the end. */
static bool check_results(const json_t *results, GError **error)
{
        json_t *result;
        size_t i;
        json_array_foreach (results, i, result) {
                if (!json_is_object(result) || !json_object_get(result, "error"))
                        continue;
                g_autofree char *text = refusal_text(result);
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the switch's database refused operation %zu: %s",
                                 i + 1, text);
        }
        return json_is_array(results) ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "the switch's database answered no list of results");
}

bool ovsdb_transact(const char *path, json_t *operations_taken, int64_t timeout_ms, json_t **ret_results,
                    GError **error)
{
        json_auto_t *results = NULL;
        json_t *params = json_pack("[s]", "Open_vSwitch");
        json_array_extend(params, operations_taken);
        json_decref(operations_taken);
        if (!json_rpc_call(path, "transact", params, timeout_ms, &results, error) || !check_results(results, error))
                return false;
        if (ret_results)
                *ret_results = json_incref(results);
        return true;
}

json_t *ovsdb_set_elements(const json_t *value)
{
        if (g_strcmp0(json_string_value(json_array_get(value, 0)), "set") == 0)
                return json_incref(json_array_get(value, 1));
        json_t *elements = json_array();
        if (value)
                json_array_append(elements, (json_t *)value);
        return elements;
}

json_t *ovsdb_map_object(const json_t *value)
{
        json_t *object = json_object(), *pair;
        size_t i;
        json_array_foreach (json_array_get(value, 1), i, pair) {
                const char *key = json_string_value(json_array_get(pair, 0));
                if (key)
                        json_object_set(object, key, json_array_get(pair, 1));
        }
        return object;
}

json_t *ovsdb_map(json_t *object_taken)
{
        json_t *pairs = json_array(), *value;
        const char *key;
        json_object_foreach (object_taken, key, value)
                json_array_append_new(pairs, json_pack("[s, O]", key, value));
        json_decref(object_taken);
        return json_pack("[s, o]", "map", pairs);
}
