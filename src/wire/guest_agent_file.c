/*
 * Reading and writing pieces of a guest's files, over guest_agent_call(). Each call opens and closes the file in the
 * guest, so that nothing stays open there. Blocks the caller. Called by src/vm for `cp`.
 */
#include "base/error.h"
#include "wire/guest_agent.h"

#define PIECE_BYTES (1 << 20)
#define TRANSFER_MS 30000 /* a piece through an emulated serial port */

/* @arguments_taken NULL (not UTF-8) is refused. Paths in messages are the caller's business. */
static bool file_call(GuestAgent *agent, const char *command, json_t *arguments_taken, json_t **ret_result,
                      GError **error)
{
        if (!arguments_taken)
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "a path in the guest must be UTF-8");
        return guest_agent_call(agent, command, arguments_taken, TRANSFER_MS, NULL, ret_result, error);
}

static bool file_open(GuestAgent *agent, const char *guest_path, const char *mode, json_int_t *ret_handle,
                      GError **error)
{
        json_t *result = NULL;
        if (!file_call(agent, "guest-file-open", json_pack("{s:s, s:s}", "path", guest_path, "mode", mode), &result,
                       error))
                return false;
        bool opened = json_is_integer(result);
        *ret_handle = json_integer_value(result);
        json_decref(result);
        return opened ||
               error_set(error, HOSTLER_ERROR_FAILED, NULL, "open %s: the guest agent gave no handle", guest_path);
}

static bool file_seek(GuestAgent *agent, json_int_t handle, int64_t offset, GError **error)
{
        if (offset == 0)
                return true;
        json_t *arguments =
            json_pack("{s:I, s:I, s:s}", "handle", handle, "offset", (json_int_t)offset, "whence", "set");
        return file_call(agent, "guest-file-seek", arguments, NULL, error);
}

static bool file_close(GuestAgent *agent, json_int_t handle, GError **error)
{
        return file_call(agent, "guest-file-close", json_pack("{s:I}", "handle", handle), NULL, error);
}

/* Appends one answer to @bytes; at most @limit_bytes of it, whatever the guest says. */
static bool read_once(GuestAgent *agent, json_int_t handle, gsize limit_bytes, GByteArray *bytes, bool *ret_eof,
                      GError **error)
{
        json_t *result = NULL;
        json_t *arguments = json_pack("{s:I, s:I}", "handle", handle, "count", (json_int_t)limit_bytes);
        if (!file_call(agent, "guest-file-read", arguments, &result, error))
                return false;
        const char *text = json_string_value(json_object_get(result, "buf-b64"));
        gsize length = 0;
        g_autofree guchar *piece = text ? g_base64_decode(text, &length) : NULL;
        *ret_eof = json_is_true(json_object_get(result, "eof"));
        json_decref(result);
        if (length > limit_bytes || (length == 0 && !*ret_eof))
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the guest agent gave %zu bytes of a file for %zu",
                                 length, limit_bytes);
        g_byte_array_append(bytes, piece, (guint)length);
        return true;
}

bool guest_agent_file_read(GuestAgent *agent, const char *guest_path, int64_t offset, gsize max_bytes,
                           GBytes **ret_bytes, bool *ret_eof, GError **error)
{
        json_int_t handle;
        if (!file_open(agent, guest_path, "r", &handle, error))
                return false;
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        gsize limit_bytes = MIN(max_bytes, PIECE_BYTES);
        bool eof = false;
        bool done = file_seek(agent, handle, offset, error);
        while (done && !eof && bytes->len < limit_bytes)
                done = read_once(agent, handle, limit_bytes - bytes->len, bytes, &eof, error);
        file_close(agent, handle, NULL); /* nothing of what was read depends on it */
        if (!done)
                return false;
        *ret_bytes = g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
        *ret_eof = eof;
        return true;
}

/* Writes a first piece of @bytes; *@ret_count is how much the guest took. */
static bool write_once(GuestAgent *agent, json_int_t handle, const guchar *bytes, gsize length, gsize *ret_count,
                       GError **error)
{
        json_t *result = NULL;
        gsize piece = MIN(length, PIECE_BYTES);
        g_autofree char *text = g_base64_encode(bytes, piece);
        json_t *arguments = json_pack("{s:I, s:s}", "handle", handle, "buf-b64", text);
        if (!file_call(agent, "guest-file-write", arguments, &result, error))
                return false;
        json_int_t count = json_integer_value(json_object_get(result, "count"));
        json_decref(result);
        *ret_count = (gsize)MAX(count, 0);
        if (count <= 0 || (gsize)count > piece)
                return error_set(error, HOSTLER_ERROR_FAILED, NULL, "the guest agent wrote %lld bytes of %zu",
                                 (long long)count, piece);
        return true;
}

bool guest_agent_file_write(GuestAgent *agent, const char *guest_path, int64_t offset, GBytes *bytes, GError **error)
{
        json_int_t handle;
        if (!file_open(agent, guest_path, offset == 0 ? "w" : "r+", &handle, error))
                return false;
        gsize left, count = 0;
        const guchar *at = g_bytes_get_data(bytes, &left);
        bool done = file_seek(agent, handle, offset, error);
        for (; done && left > 0; at += count, left -= count)
                done = write_once(agent, handle, at, left, &count, error);
        bool closed =
            file_close(agent, handle, done ? error : NULL); /* what the guest had buffered is written only now */
        return done && closed;
}
