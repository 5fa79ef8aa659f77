/*
 * JSON-RPC to Open vSwitch's own processes: the database (RFC 7047) and the control sockets that ovs-appctl(8) uses.
 *
 * Each call is a connection of its own to a Unix socket, blocks the caller for at most @timeout_ms, and may be made
 * from any thread. Answers are limited as in json_stream.h.
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/*
 * {"method", "params"} to its "result" (owned by the caller; @ret_result may be NULL). HOSTLER_ERROR_NOT_FOUND,
 * _UNREACHABLE: nobody there; _UNRESPONSIVE; _FAILED: it refused, with its words.
 */
bool json_rpc_call(const char *path, const char *method, json_t *params_taken, int64_t timeout_ms, json_t **ret_result,
                   GError **error);
/* The same on a connected socket. */
bool json_rpc_call_fd(int fd_taken, const char *method, json_t *params_taken, int64_t timeout_ms, json_t **ret_result,
                      GError **error);
/*
 * One transaction of @operations (an array, RFC 7047 5.2) on database Open_vSwitch: all of it happens or none.
 * @ret_results: an array with the result of each. HOSTLER_ERROR_FAILED names the operation that failed and why.
 */
bool ovsdb_transact(const char *path, json_t *operations_taken, int64_t timeout_ms, json_t **ret_results,
                    GError **error);
/* ["set", [...]] or a single value → the elements as an array; ["map", [[k,v]…]] → an object. New references. */
json_t *ovsdb_set_elements(const json_t *value);
json_t *ovsdb_map_object(const json_t *value);
/* {"a":"b"} → ["map",[["a","b"]]]. New reference. */
json_t *ovsdb_map(json_t *object_taken);
