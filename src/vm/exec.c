/*
 * What goes through the guest agent: exec, pieces of files; and the console log, which needs no guest at all.
 */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "hostler-handlers.h"
#include "vm/manager.h"

static char *to_base64(GBytes *bytes)
{
        gsize length = 0;
        const guchar *data = bytes ? g_bytes_get_data(bytes, &length) : NULL;
        return length ? g_base64_encode(data, length) : g_strdup("");
}

/* NULL and error when it is not base64. */
static GBytes *from_base64(const char *text, const char *pointer, GError **error)
{
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
        if (strlen(text) % 4 != 0 || text[strspn(text, alphabet)] != '\0') {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "%s is not base64", pointer);
                return NULL;
        }
        gsize length;
        guchar *data = g_base64_decode(text, &length);
        return g_bytes_new_take(data, length);
}

bool vm_exec(const Call *call, const HostlerVmExecArgs *args, HostlerExecResult *ret_result, GError **error)
{
        GuestExecResult result = {0};
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(GuestAgent) agent = vm ? vm_require_agent(vm, error) : NULL;
        g_autoptr(GBytes) input = agent && args->input ? from_base64(args->input, "/input", error) : NULL;
        if (!agent || (args->input && !input))
                return false;
        if (!guest_agent_exec(agent, (const char *const *)args->command, input, args->timeout, call->cancellable,
                              &result, error))
                return false;
        record_init(&hostler_exec_result_type, ret_result);
        ret_result->exit_code = result.exit_code;
        ret_result->out = to_base64(result.out);
        ret_result->err = to_base64(result.err);
        ret_result->truncated = result.truncated;
        guest_exec_result_clear(&result);
        return true;
}

bool file_get(const Call *call, const HostlerFileGetArgs *args, HostlerFilePiece *ret_result, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(GuestAgent) agent = vm ? vm_require_agent(vm, error) : NULL;
        g_autoptr(GBytes) bytes = NULL;
        bool eof = false;
        if (!agent || !guest_agent_file_read(agent, args->file, args->offset, (gsize)args->bytes, &bytes, &eof, error))
                return false;
        record_init(&hostler_file_piece_type, ret_result);
        ret_result->data = to_base64(bytes);
        ret_result->eof = eof;
        return true;
}

bool file_put(const Call *call, const HostlerFilePutArgs *args, GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        g_autoptr(GuestAgent) agent = vm ? vm_require_agent(vm, error) : NULL;
        g_autoptr(GBytes) bytes = agent ? from_base64(args->data, "/data", error) : NULL;
        return bytes && guest_agent_file_write(agent, args->file, args->offset, bytes, error);
}

bool vm_console_log(const Call *call, const HostlerVmConsoleLogArgs *args, HostlerConsoleText *ret_result,
                    GError **error)
{
        g_autoptr(Vm) vm = manager_vm(call->manager, args->vm, error);
        if (!vm)
                return false;
        g_autofree char *path = vm_path(vm, "console.log");
        gsize length = 0;
        g_autofree char *tail = file_read_tail(path, (gsize)args->bytes, &length);
        record_init(&hostler_console_text_type, ret_result);
        ret_result->data = tail ? g_base64_encode((const guchar *)tail, length) : g_strdup("");
        return true;
}
