/*
 * `hostler cp`: one file into or out of a guest, piece by piece through its agent. `-` is standard input or output.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/bytes.h"
#include "cli/cli.h"
#include "cli/progress.h"

enum {
        PIECE_BYTES = 262144,
        PIECE_MS = 120000,
};

/* One side: a path here (vm NULL) or in a guest. */
typedef struct {
        char *vm, *path;
} Place;

static void place_clear(Place *place)
{
        g_free(place->vm);
        g_free(place->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static bool copy_out(Cli *cli, const Place *from, const char *to, GError **error);
static bool copy_in(Cli *cli, const char *from, const Place *to, GError **error);

/* "web1:/etc/hosts" is in a guest; "./a:b" and "/a:b" are here. */
static Place place_parse(const char *text)
{
        g_autofree char *vm = g_strndup(text, strcspn(text, ":/"));

        if (text[strlen(vm)] == ':' && name_is_valid(vm))
                return (Place){g_steal_pointer(&vm), g_strdup(strchr(text, ':') + 1)};
        return (Place){NULL, g_strdup(text)};
}

bool command_cp(Cli *cli, const Invocation *invocation, GError **error)
{
        g_auto(Place) from = place_parse(json_string_value(json_object_get(invocation->args, "from")));
        g_auto(Place) to = place_parse(json_string_value(json_object_get(invocation->args, "to")));

        if (!from.vm == !to.vm) {
                error_set(error, HOSTLER_ERROR_USAGE, NULL, "exactly one side must be in a guest, as VM:PATH");
                return error_hint(error, "hostler cp web1:/etc/os-release .");
        }
        return from.vm ? copy_out(cli, &from, to.path, error) : copy_in(cli, from.path, &to, error);
}

/* A folder, or a path in the guest that ends like one, keeps the file's name. */
static char *with_name(const char *path, bool is_folder, const char *other)
{
        g_autofree char *name = g_path_get_basename(other);

        return is_folder ? g_build_filename(path, name, NULL) : g_strdup(path);
}

static int open_target(const char *to, const char *from, GError **error)
{
        if (g_str_equal(to, "-"))
                return dup(STDOUT_FILENO);
        g_autofree char *path = with_name(to, g_file_test(to, G_FILE_TEST_IS_DIR), from);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

        if (fd < 0)
                error_set_errno(error, errno, NULL, "cannot write %s", path);
        return fd;
}

/* NULL and error, or bytes (perhaps none) to g_free. */
static guchar *read_piece(Cli *cli, const Place *from, int64_t offset, gsize *ret_length, bool *ret_eof, GError **error)
{
        json_auto_t *piece = NULL;
        json_t *args = json_pack("{s:s, s:s, s:I, s:i}", "vm", from->vm, "file", from->path, "offset",
                                 (json_int_t)offset, "bytes", PIECE_BYTES);

        *ret_length = 0;
        if (!cli_call(cli, "file", "get", args, PIECE_MS, &piece, error))
                return NULL;
        const char *data = json_string_value(json_object_get(piece, "data"));
        guchar *bytes = data && *data ? g_base64_decode(data, ret_length) : g_malloc0(1);
        *ret_eof = json_is_true(json_object_get(piece, "eof")) || !*ret_length;
        return bytes;
}

static bool copy_out(Cli *cli, const Place *from, const char *to, GError **error)
{
        g_autofree char *label = g_strdup_printf("cp %s:%s", from->vm, from->path);
        g_autoptr(Progress) progress = progress_new(label, cli->err_is_terminal);
        int fd = -1;
        bool eof = false, done = true;
        gsize length = 0;

        for (int64_t offset = 0; done && !eof; offset += (int64_t)length) {
                g_autofree char *copied = g_format_size_full((guint64)offset, G_FORMAT_SIZE_IEC_UNITS);

                progress_update(progress, -1, copied);
                g_autofree guchar *bytes = read_piece(cli, from, offset, &length, &eof, error);
                /* The target is touched only once the source is known to be there. */
                done = bytes && (fd >= 0 || (fd = open_target(to, from->path, error)) >= 0) &&
                       (!length || bytes_write(fd, bytes, length, error));
        }
        if (fd >= 0 && close(fd) < 0 && done)
                return error_set_errno(error, errno, NULL, "cannot write %s", to);
        return done;
}

static bool write_piece(Cli *cli, const Place *to, int64_t offset, const guchar *bytes, gsize length, GError **error)
{
        g_autofree char *data = length ? g_base64_encode(bytes, length) : g_strdup("");
        json_auto_t *reply = NULL;

        return cli_call(cli, "file", "put",
                        json_pack("{s:s, s:s, s:I, s:s}", "vm", to->vm, "file", to->path, "offset", (json_int_t)offset,
                                  "data", data),
                        PIECE_MS, &reply, error);
}

static bool send_file(Cli *cli, int fd, const Place *to, Progress *progress, GError **error)
{
        struct stat status;
        int64_t size = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
        gsize length = PIECE_BYTES;

        for (int64_t offset = 0; length == PIECE_BYTES; offset += (int64_t)length) {
                g_autofree guchar *bytes = bytes_read(fd, PIECE_BYTES, &length, error);

                if (!bytes)
                        return false;
                if (!length && offset)
                        return true;
                if (!write_piece(cli, to, offset, bytes, length, error))
                        return false;
                progress_update(progress, size > 0 ? 100.0 * (double)offset / (double)size : -1, NULL);
        }
        return true;
}

static bool copy_in(Cli *cli, const char *from, const Place *to, GError **error)
{
        bool from_stdin = g_str_equal(from, "-");
        g_autofree char *path = with_name(to->path, g_str_has_suffix(to->path, "/") && !from_stdin, from);
        Place target = {to->vm, path};
        g_autofree char *label = g_strdup_printf("cp %s", from);
        g_autoptr(Progress) progress = progress_new(label, cli->err_is_terminal);

        int fd = from_stdin ? dup(STDIN_FILENO) : open(from, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(error, errno, NULL, "cannot read %s", from);
        bool done = send_file(cli, fd, &target, progress, error);
        close(fd);
        return done;
}
