/* Volumes: what we write by hand is what QEMU's own tools read. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/volume.h"

#define MIB ((int64_t)1 << 20)
#define GIB ((int64_t)1 << 30)

typedef struct {
        char *dir;
} Fixture;

static void set_up(Fixture *fixture, const void *data)
{
        fixture->dir = g_dir_make_tmp("test-volume-XXXXXX", NULL);
        g_assert_nonnull(fixture->dir);
}

static void tear_down(Fixture *fixture, const void *data)
{
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_free(fixture->dir);
}

static char *path_in(const Fixture *fixture, const char *relative)
{
        return g_build_filename(fixture->dir, relative, NULL);
}

/* `qemu-img check` finds nothing; returns what `qemu-img info` says. */
static json_t *qemu_img_info(const char *path)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *text = NULL;
        const char *const check[] = {"qemu-img", "check", "-q", "-f", "qcow2", path, NULL};
        const char *const info[] = {"qemu-img", "info", "--output=json", "-f", "qcow2", path, NULL};

        process_run(&(ProcessOptions){.argv = check, .timeout_ms = 60000}, NULL, &error);
        g_assert_no_error(error);
        process_run(&(ProcessOptions){.argv = info, .timeout_ms = 60000}, &text, &error);
        g_assert_no_error(error);
        return json_loads(text, 0, NULL);
}

/* @filled: bytes that were written to it. */
static void check_filled(const char *path, int64_t size, int64_t filled)
{
        g_autoptr(GError) error = NULL;
        g_auto(VolumeInfo) info = {0};
        json_t *qemu = qemu_img_info(path);

        g_assert_cmpint(json_integer_value(json_object_get(qemu, "virtual-size")), ==, size);
        json_decref(qemu);
        g_assert_true(volume_info(path, &info, &error));
        g_assert_no_error(error);
        g_assert_cmpint(info.size_bytes, ==, size);
        g_assert_cmpint(volume_allocated(path), <, MIB + filled);
}

static void check_size(const char *path, int64_t size)
{
        check_filled(path, size, 0);
}

static void test_empty(Fixture *fixture, const void *data)
{
        static const int64_t sizes[] = {512, MIB, 20 * GIB, 20 * GIB + 512, VOLUME_SIZE_MAX};

        for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
                g_autofree char *path = path_in(fixture, "disk.qcow2");
                g_autoptr(GError) error = NULL;

                g_assert_true(volume_create_empty(path, sizes[i], &error));
                g_assert_no_error(error);
                check_size(path, sizes[i]);
                g_assert_true(volume_delete(path, &error));
                g_assert_true(volume_delete(path, &error));
                g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        }
}

/* A byte of the base is read through the overlay, whose base is found relative to it. */
static void test_overlay(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *images = path_in(fixture, "images/tiny");
        g_autofree char *vms = path_in(fixture, "vms/1");
        g_autofree char *base = path_in(fixture, "images/tiny/disk.raw");
        g_autofree char *path = path_in(fixture, "vms/1/disk0.qcow2");
        const char *const io[] = {"qemu-io",
                                  "-f",
                                  "qcow2",
                                  "-c",
                                  "read -P 65 4096 4096",
                                  "-c",
                                  "write -P 66 4096 512",
                                  "-c",
                                  "read -P 66 4096 512",
                                  path,
                                  NULL};
        g_autofree char *content = g_malloc(MIB);
        g_autofree char *output = NULL;
        json_t *qemu;

        memset(content, 'A', MIB);
        g_assert_true(dir_ensure(images, NULL) && dir_ensure(vms, NULL));
        g_assert_true(file_write_atomic(base, content, MIB, 0400, false, &error));
        g_assert_true(volume_create_overlay(path, base, "raw", 4 * MIB, &error));
        g_assert_no_error(error);
        check_size(path, 4 * MIB);
        qemu = qemu_img_info(path);
        g_assert_cmpstr(json_string_value(json_object_get(qemu, "backing-filename")), ==, "../../images/tiny/disk.raw");
        g_assert_cmpstr(json_string_value(json_object_get(qemu, "backing-filename-format")), ==, "raw");
        json_decref(qemu);
        process_run(&(ProcessOptions){.argv = io, .timeout_ms = 60000}, &output, &error);
        g_assert_no_error(error);
        g_assert_null(strstr(output, "failed"));
        json_decref(qemu_img_info(path));
}

static void test_overlay_info(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *base = path_in(fixture, "base.qcow2");
        g_autofree char *path = path_in(fixture, "over.qcow2");
        g_auto(VolumeInfo) info = {0};

        g_assert_true(volume_create_empty(base, GIB, &error));
        g_assert_true(volume_create_overlay(path, base, "qcow2", GIB, &error));
        g_assert_true(volume_info(path, &info, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(info.backing, ==, "base.qcow2");
}

static void refused(bool result, GError **error, HostlerErrorCode code)
{
        g_assert_false(result);
        g_assert_true(error_is(*error, code));
        g_clear_error(error);
}

static void test_refusals(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = path_in(fixture, "disk.qcow2");
        g_autofree char *text = path_in(fixture, "text");
        VolumeInfo info;

        refused(volume_create_empty(path, 0, &error), &error, HOSTLER_ERROR_INVALID);
        refused(volume_create_empty(path, 513, &error), &error, HOSTLER_ERROR_INVALID);
        refused(volume_create_empty(path, VOLUME_SIZE_MAX + 512, &error), &error, HOSTLER_ERROR_INVALID);
        refused(volume_create_overlay(path, "/b", "vmdk", MIB, &error), &error, HOSTLER_ERROR_INVALID);
        refused(volume_info(path, &info, &error), &error, HOSTLER_ERROR_NOT_FOUND);
        g_assert_true(volume_create_empty(path, MIB, &error));
        refused(volume_create_empty(path, MIB, &error), &error, HOSTLER_ERROR_EXISTS);
        refused(volume_grow(path, MIB - 512, NULL, &error), &error, HOSTLER_ERROR_INVALID);
        g_assert_true(g_file_set_contents(text, "not a disk", -1, NULL));
        refused(volume_info(text, &info, &error), &error, HOSTLER_ERROR_INVALID);
}

static void test_grow(Fixture *fixture, const void *data)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *path = path_in(fixture, "disk.qcow2");

        g_assert_true(volume_create_empty(path, MIB, &error));
        g_assert_true(volume_grow(path, 3 * GIB, NULL, &error));
        g_assert_no_error(error);
        check_size(path, 3 * GIB);
        g_assert_true(volume_grow(path, 3 * GIB, NULL, &error));
}

/* The promise is a millisecond; a busy machine gets ten, for the best of many. */
static void test_fast(Fixture *fixture, const void *data)
{
        gint64 best = G_MAXINT64;

        for (int i = 0; i < 50; i++) {
                g_autofree char *name = g_strdup_printf("disk%d.qcow2", i);
                g_autofree char *path = path_in(fixture, name);
                gint64 start = g_get_monotonic_time();

                g_assert_true(volume_create_overlay(path, "/images/tiny/disk.qcow2", "qcow2", 20 * GIB, NULL));
                best = MIN(best, g_get_monotonic_time() - start);
        }
        g_assert_cmpint(best, <, 10000);
}

/* What it is filled with is what QEMU reads, up to its last byte. */
static void test_filled(Fixture *fixture, const void *data)
{
        static const gsize lengths[] = {512, 65536, 540672, 3 * MIB + 512};
        for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
                g_autoptr(GError) error = NULL;
                g_autofree char *path = path_in(fixture, "filled.qcow2"), *raw = path_in(fixture, "raw");
                g_autofree char *bytes = g_malloc(lengths[i]), *read = NULL;
                gsize length;
                for (gsize k = 0; k < lengths[i]; k++)
                        bytes[k] = (char)(k * 7 + k / 4096);
                volume_create_filled(path, bytes, lengths[i], &error);
                g_assert_no_error(error);
                check_filled(path, (int64_t)lengths[i], (int64_t)lengths[i]);
                const char *const convert[] = {"qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw, NULL};
                process_run(&(ProcessOptions){.argv = convert, .timeout_ms = 60000}, NULL, &error);
                g_assert_no_error(error);
                g_assert_true(g_file_get_contents(raw, &read, &length, NULL));
                g_assert_cmpmem(read, length, bytes, lengths[i]);
                g_assert_cmpint(g_unlink(path), ==, 0);
        }
}

static void test_filled_refusals(Fixture *fixture, const void *data)
{
        static const char sector[512];
        g_autoptr(GError) error = NULL;
        g_autofree char *path = path_in(fixture, "filled.qcow2"), *lost = path_in(fixture, "no/folder.qcow2");
        g_assert_false(volume_create_filled(path, "odd", 3, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_INVALID);
        g_clear_error(&error);
        g_assert_false(volume_create_filled(path, sector, VOLUME_FILLED_MAX + 512, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_INVALID);
        g_clear_error(&error);
        g_assert_false(volume_create_filled(lost, sector, 512, &error));
        g_assert_error(error, HOSTLER_ERROR, HOSTLER_ERROR_NOT_FOUND);
        g_autoptr(GDir) dir = g_dir_open(fixture->dir, 0, NULL);
        g_assert_null(g_dir_read_name(dir));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/volume/" name, Fixture, NULL, set_up, function, tear_down)
        TEST("empty", test_empty);
        TEST("overlay", test_overlay);
        TEST("overlay-info", test_overlay_info);
        TEST("refusals", test_refusals);
        TEST("grow", test_grow);
        TEST("fast", test_fast);
        TEST("filled", test_filled);
        TEST("filled-refusals", test_filled_refusals);
        return g_test_run();
}
