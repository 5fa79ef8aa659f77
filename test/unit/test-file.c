/* Files: whole or not at all, limits, a full disk, and every way out of a folder that must not work. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"

typedef struct {
        char *dir;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        fixture->dir = g_dir_make_tmp("hostler-file-XXXXXX", NULL);
        g_assert_nonnull(fixture->dir);
}

static void tear_down(Fixture *fixture, const void *data)
{
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_assert_false(g_file_test(fixture->dir, G_FILE_TEST_EXISTS));
        g_free(fixture->dir);
}

static char *in_dir(const Fixture *fixture, const char *name)
{
        return g_build_filename(fixture->dir, name, NULL);
}

static guint count_entries(const char *path)
{
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        guint n = 0;
        while (g_dir_read_name(dir))
                n++;
        return n;
}

static void assert_error(GError **error, HostlerErrorCode code)
{
        g_assert_nonnull(*error);
        g_assert_cmpint((*error)->code, ==, (int)code);
        g_clear_error(error);
}

static void test_write(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "a\nb \"c\".json");
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        struct stat st;
        gsize length;

        g_assert_true(file_write_atomic(path, "one", 3, 0640, true, &error));
        g_assert_true(file_write_atomic(path, "t\0wo", 4, 0600, false, &error));
        text = file_read(path, 4, &length, &error);
        g_assert_cmpmem(text, length + 1, "t\0wo", 5);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 07777, ==, 0600);
        g_assert_cmpuint(count_entries(fixture->dir), ==, 1);

        g_autofree char *nowhere = in_dir(fixture, "none/x");
        g_assert_false(file_write_atomic(nowhere, "x", 1, 0600, true, &error));
        assert_error(&error, HOSTLER_ERROR_NOT_FOUND);
}

static void test_write_full_disk(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "state.json");
        g_autofree char *big = g_malloc0(256 * 1024);
        g_autoptr(GError) error = NULL;

        if (mount("none", fixture->dir, "tmpfs", 0, "size=64k") < 0) {
                g_test_skip("needs to mount a small tmpfs");
                return;
        }
        g_assert_true(file_write_atomic(path, "old", 3, 0600, true, &error));
        g_assert_false(file_write_atomic(path, big, 256 * 1024, 0600, true, &error));
        assert_error(&error, HOSTLER_ERROR_READ_ONLY);
        g_autofree char *text = file_read(path, 100, NULL, &error);
        g_assert_cmpstr(text, ==, "old");
        g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
        g_assert_cmpint(dir_free_bytes(fixture->dir), <=, 64 * 1024);
        g_assert_cmpint(umount(fixture->dir), ==, 0);
}

static void test_read(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "f"), *fifo = in_dir(fixture, "fifo");
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_set_contents(path, "12345", 5, NULL));
        g_assert_null(file_read(path, 4, NULL, &error));
        assert_error(&error, HOSTLER_ERROR_TOO_LARGE);
        g_autofree char *text = file_read(path, 5, NULL, &error);
        g_assert_cmpstr(text, ==, "12345");

        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        g_assert_null(file_read(fifo, 4, NULL, &error));
        assert_error(&error, HOSTLER_ERROR_INVALID);
        g_assert_null(file_read(fixture->dir, 4, NULL, &error));
        assert_error(&error, HOSTLER_ERROR_INVALID);
        g_autofree char *kernel = file_read("/proc/sys/kernel/ostype", 100, NULL, &error);
        g_assert_cmpstr(kernel, ==, "Linux\n");
}

static void assert_refused(const char *dir, const char *relative, int flags, HostlerErrorCode code)
{
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(file_open_beneath(dir, relative, flags, 0600, &error), ==, -1);
        assert_error(&error, code);
}

static void test_beneath(Fixture *fixture, const void *data)
{
        g_autofree char *inner = in_dir(fixture, "inner"), *link = in_dir(fixture, "inner/link"),
                        *folder_link = in_dir(fixture, "inner/up"), *secret = in_dir(fixture, "secret");
        g_autoptr(GError) error = NULL;

        g_assert_true(dir_ensure(inner, &error));
        g_assert_true(g_file_set_contents(secret, "x", 1, NULL));
        g_assert_cmpint(symlink("../secret", link), ==, 0);
        g_assert_cmpint(symlink("..", folder_link), ==, 0);

        assert_refused(inner, "../secret", O_RDONLY, HOSTLER_ERROR_DENIED);
        assert_refused(inner, "link", O_RDONLY, HOSTLER_ERROR_DENIED);
        assert_refused(inner, "up/secret", O_RDONLY, HOSTLER_ERROR_DENIED);
        assert_refused(inner, "/etc/passwd", O_RDONLY, HOSTLER_ERROR_DENIED);
        assert_refused(inner, "link", O_WRONLY | O_CREAT, HOSTLER_ERROR_DENIED);
        assert_refused(inner, "none", O_RDONLY, HOSTLER_ERROR_NOT_FOUND);

        autoclose int fd = file_open_beneath(inner, "new\nfile", O_WRONLY | O_CREAT | O_EXCL, 0600, &error);
        g_assert_no_error(error);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
        assert_refused(inner, "new\nfile", O_WRONLY | O_CREAT | O_EXCL, HOSTLER_ERROR_EXISTS);
}

static void test_remove(Fixture *fixture, const void *data)
{
        g_autofree char *tree = in_dir(fixture, "tree"), *deep = in_dir(fixture, "tree/a/b\nc/d"),
                        *file = in_dir(fixture, "tree/a/f"), *link = in_dir(fixture, "tree/a/link"),
                        *outside = in_dir(fixture, "outside"), *kept = in_dir(fixture, "outside/kept");
        g_autoptr(GError) error = NULL;

        g_assert_true(dir_ensure(deep, &error));
        g_assert_true(dir_ensure(outside, &error));
        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_assert_true(g_file_set_contents(kept, "x", 1, NULL));
        g_assert_cmpint(symlink(outside, link), ==, 0);

        g_assert_true(dir_remove(tree, &error));
        g_assert_false(g_file_test(tree, G_FILE_TEST_EXISTS));
        g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
        g_assert_true(dir_remove(tree, &error));
        g_assert_true(dir_remove(deep, &error));
        g_assert_true(dir_remove(kept, &error));
        g_assert_false(g_file_test(kept, G_FILE_TEST_EXISTS));
}

static void test_remove_stops_at_mount(Fixture *fixture, const void *data)
{
        g_autofree char *mounted = in_dir(fixture, "tree/mounted"), *tree = in_dir(fixture, "tree"),
                        *file = in_dir(fixture, "tree/mounted/f");
        g_autoptr(GError) error = NULL;

        g_assert_true(dir_ensure(mounted, &error));
        if (mount("none", mounted, "tmpfs", 0, "size=64k") < 0) {
                g_test_skip("needs to mount a small tmpfs");
                return;
        }
        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_assert_false(dir_remove(tree, &error));
        g_assert_nonnull(error);
        g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
        g_assert_cmpint(umount(mounted), ==, 0);
}

static void test_ensure(Fixture *fixture, const void *data)
{
        g_autofree char *path = in_dir(fixture, "x/y"), *file = in_dir(fixture, "f");
        g_autoptr(GError) error = NULL;
        struct stat st;

        g_assert_true(dir_ensure(path, &error));
        g_assert_true(dir_ensure(path, &error));
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 0777, ==, 0700);
        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_assert_false(dir_ensure(file, &error));
        g_assert_cmpint(dir_free_bytes(fixture->dir), >, 0);
        g_assert_cmpint(dir_free_bytes(file), >, 0);
        g_assert_cmpint(dir_free_bytes("/nowhere/at/all"), ==, -1);
}

static void test_errno(void)
{
        g_autoptr(GError) error = NULL;

        g_assert_false(error_set_errno(&error, EBUSY, "vm/web1", "Cannot lock %s", "x"));
        g_assert_cmpstr(error->message, ==, "Cannot lock x: Device or resource busy");
        g_assert_cmpstr(error_object(error), ==, "vm/web1");
        assert_error(&error, HOSTLER_ERROR_BUSY);
        error_set_errno(&error, EIO, NULL, "x");
        assert_error(&error, HOSTLER_ERROR_FAILED);
        g_assert_false(error_set_errno(NULL, EIO, NULL, "x"));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add("/file/write", Fixture, NULL, set_up, test_write, tear_down);
        g_test_add("/file/write-full-disk", Fixture, NULL, set_up, test_write_full_disk, tear_down);
        g_test_add("/file/read", Fixture, NULL, set_up, test_read, tear_down);
        g_test_add("/file/beneath", Fixture, NULL, set_up, test_beneath, tear_down);
        g_test_add("/file/remove", Fixture, NULL, set_up, test_remove, tear_down);
        g_test_add("/file/remove-stops-at-mount", Fixture, NULL, set_up, test_remove_stops_at_mount, tear_down);
        g_test_add("/file/ensure", Fixture, NULL, set_up, test_ensure, tear_down);
        g_test_add_func("/file/errno", test_errno);
        return g_test_run();
}
