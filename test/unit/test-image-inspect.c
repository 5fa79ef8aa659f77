/*
 * Hostile images: each is a good one, as qemu-img makes it, with one thing wrong, and the refusal names that thing.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "hostler-records.h"
#include "storage/image_import.h"
#include "storage/image_inspect.h"

#define MIB (1 << 20)
#define GOOD_SIZE (64 * MIB)
#define SECTOR_OF_DESCRIPTOR 512

typedef struct {
        const char *format;
        size_t offset;     /* where the bytes go; beyond the end: the file is cut to @length */
        const char *bytes; /* hexadecimal, NULL: cut */
        size_t length;
        const char *refusal; /* part of the message */
} Hostile;

static const Hostile corpus[] = {
    {"qcow2", 0, NULL, 40, "cut off"},
    {"qcow2", 4, "00000004", 0, "version"},
    {"qcow2", 8, "0000000000000200", 0, "backing file"},
    {"qcow2", 20, "00000008", 0, "cluster size"},
    {"qcow2", 20, "00000016", 0, "cluster size"},
    {"qcow2", 20, "ffffffff", 0, "cluster size"},
    {"qcow2", 24, "0000000000000000", 0, "virtual size"},
    {"qcow2", 24, "7fffffffffffffff", 0, "virtual size"},
    {"qcow2", 24, "ffffffffffffffff", 0, "virtual size"},
    {"qcow2", 32, "00000001", 0, "encrypted"},
    {"qcow2", 32, "00000002", 0, "encrypted"},
    {"qcow2", 36, "ffffffff", 0, "L1 table"},
    {"qcow2", 36, "00000000", 0, "L1 table"},
    {"qcow2", 40, "7fffffffffff0000", 0, "L1 table"},
    {"qcow2", 40, "0000000000030001", 0, "L1 table"},
    {"qcow2", 48, "7fffffffffff0000", 0, "reference counts"},
    {"qcow2", 56, "00000000", 0, "reference counts"},
    {"qcow2", 56, "ffffffff", 0, "reference counts"},
    {"qcow2", 60, "00010001", 0, "snapshots"},
    {"qcow2", 60, "000000ff7fffffffffff0000", 0, "snapshots"},
    {"qcow2", 72, "0000000000000004", 0, "another file"},
    {"qcow2", 72, "0000000000000002", 0, "corrupt"},
    {"qcow2", 72, "8000000000000000", 0, "not known"},
    {"qcow2", 96, "00000007", 0, "width"},
    {"qcow2", 100, "00000010", 0, "length"},
    {"qcow2", 100, "7ffffff8", 0, "length"},
    {"qcow2", 112, "4441544100000004", 0, "data file"},
    {"qcow2", 112, "0537be7700000010", 0, "encrypted"},
    {"qcow2", 112, "e2792aca00000003", 0, "backing format"},
    {"qcow2", 112, "12345678ffffffff", 0, "leaves the header"},
    {"vmdk", 0, NULL, 60, "cut off"},
    {"vmdk", 4, "09000000", 0, "version"},
    {"vmdk", 12, "0000000000000000", 0, "virtual size"},
    {"vmdk", 12, "ffffffffffffff7f", 0, "virtual size"},
    {"vmdk", 20, "0700000000000000", 0, "grain size"},
    {"vmdk", 28, "ffffffffffffffff", 0, "descriptor"},
    {"vmdk", 28, "0000000000000000", 0, "descriptor"},
    {"vmdk", 44, "ffffffff", 0, "grain tables"},
    {"vhdx", 0, NULL, 131072, "cut off"},
    {"vhdx", 196616, "ffffffff", 0, "region table"},
    {"vhdx", 196640, "ffffffffffffff7f", 0, "region"},
    {"vdi", 0, NULL, 100, "cut off"},
    {"vdi", 68, "02000100", 0, "version"},
    {"vdi", 76, "04000000", 0, "neither dynamic"},
    {"vdi", 368, "ffffffffffffff7f", 0, "virtual size"},
    {"vdi", 376, "00020000", 0, "block map"},
    {"vdi", 384, "01000000", 0, "block map"},
    {"vdi", 340, "00feffff", 0, "block map"},
    {"vdi", 424, "01", 0, "parent"},
};

/* Text replaced in the descriptor of a vmdk, both of the same length. */
static const struct {
        const char *from, *to, *refusal;
} descriptors[] = {
    {"RW 131072 SPARSE \"disk.vmdk\"", "RW 131072 SPARSE \"/etc/pass\"", "path"},
    {"RW 131072 SPARSE \"disk.vmdk\"", "RW 131072 FLAT   \"disk.vmdk\"", "sparse"},
    {"RW 131072 SPARSE \"disk.vmdk\"", "## 131072 SPARSE \"disk.vmdk\"", "exactly one extent"},
    {"createType=\"monolithicSparse\"", "createType=\"vmfs\"            ", "neither monolithicSparse"},
    {"parentCID=ffffffff", "parentCID=deadbeef", "parent"},
};

static char *dir;

static char *good_file(const char *format)
{
        g_autofree char *name = g_strconcat("disk.", format, NULL);
        char *path = g_build_filename(dir, name, NULL);
        const char *const argv[] = {"qemu-img", "create", "-q", "-f", format, path, "64M", NULL};
        g_autoptr(GError) error = NULL;

        process_run(&(ProcessOptions){.argv = argv, .timeout_ms = 60000}, NULL, &error);
        g_assert_no_error(error);
        return path;
}

static bool inspect(const char *path, HostlerImageFormat format, ImageFacts *facts, GError **error)
{
        autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        return image_inspect_file(fd, format, facts, error);
}

static void assert_refused(const char *path, const char *refusal)
{
        g_autoptr(GError) error = NULL;
        ImageFacts facts;

        g_assert_false(inspect(path, 0, &facts, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        if (!strstr(error->message, refusal))
                g_error("refused, but not for \"%s\": %s", refusal, error->message);
}

static void poke(const char *path, const Hostile *hostile)
{
        autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
        const char *hex = hostile->bytes;

        g_assert_cmpint(fd, >=, 0);
        if (!hex)
                g_assert_cmpint(ftruncate(fd, (off_t)hostile->length), ==, 0);
        for (size_t i = 0; hex && hex[2 * i]; i++) {
                uint8_t byte = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));

                g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)(hostile->offset + i)), ==, 1);
        }
}

static void test_good(void)
{
        static const struct {
                const char *name;
                HostlerImageFormat format;
        } formats[] = {{"qcow2", HOSTLER_IMAGE_FORMAT_QCOW2},
                       {"vmdk", HOSTLER_IMAGE_FORMAT_VMDK},
                       {"vhdx", HOSTLER_IMAGE_FORMAT_VHDX},
                       {"vdi", HOSTLER_IMAGE_FORMAT_VDI}};

        for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
                g_autofree char *path = good_file(formats[i].name);
                g_autoptr(GError) error = NULL;
                ImageFacts facts;

                g_assert_true(inspect(path, 0, &facts, &error));
                g_assert_no_error(error);
                g_assert_cmpint(facts.format, ==, formats[i].format);
                g_assert_cmpint(facts.size_bytes, ==, GOOD_SIZE);
                g_assert_true(inspect(path, formats[i].format, &facts, &error));
        }
}

static void test_corpus(void)
{
        for (gsize i = 0; i < G_N_ELEMENTS(corpus); i++) {
                g_autofree char *path = good_file(corpus[i].format);

                poke(path, &corpus[i]);
                assert_refused(path, corpus[i].refusal);
        }
}

static void test_descriptors(void)
{
        for (gsize i = 0; i < G_N_ELEMENTS(descriptors); i++) {
                g_autofree char *path = good_file("vmdk");
                gsize length = 0;
                g_autofree char *content = file_read(path, 16 * MIB, &length, NULL);
                char *place = g_strstr_len(content + SECTOR_OF_DESCRIPTOR, (gssize)length - SECTOR_OF_DESCRIPTOR,
                                           descriptors[i].from);

                g_assert_nonnull(place);
                memcpy(place, descriptors[i].to, strlen(descriptors[i].to));
                g_assert_true(g_file_set_contents(path, content, (gssize)length, NULL));
                assert_refused(path, descriptors[i].refusal);
        }
}

/* Files whose danger is in the whole: a real overlay, a differencing disk's descriptor, text, nothing. */
static void test_others(void)
{
        g_autofree char *base = good_file("qcow2");
        g_autofree char *overlay = g_build_filename(dir, "overlay.qcow2", NULL);
        g_autofree char *text = g_build_filename(dir, "text.vmdk", NULL);
        const char *const argv[] = {"qemu-img", "create", "-q",    "-f",    "qcow2", "-b",
                                    base,       "-F",     "qcow2", overlay, NULL};

        g_assert_true(process_run(&(ProcessOptions){.argv = argv, .timeout_ms = 60000}, NULL, NULL));
        assert_refused(overlay, "backing file");
        g_assert_true(g_file_set_contents(text, "# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0\n", -1, NULL));
        assert_refused(text, "descriptor of other files");
        g_assert_true(g_file_set_contents(text, "", -1, NULL));
        assert_refused(text, "none of");
}

/* A qcow2 header inside a raw disk stays data when raw is said, and raw is never guessed. */
static void test_raw(void)
{
        g_autofree char *path = good_file("qcow2");
        g_autofree char *zeros = g_build_filename(dir, "zeros", NULL);
        g_autoptr(GError) error = NULL;
        ImageFacts facts;

        g_assert_cmpint(truncate(path, MIB), ==, 0);
        g_assert_true(inspect(path, HOSTLER_IMAGE_FORMAT_RAW, &facts, &error));
        g_assert_cmpint(facts.size_bytes, ==, MIB);
        g_assert_true(g_file_set_contents(zeros, "", -1, NULL));
        g_assert_cmpint(truncate(zeros, MIB), ==, 0);
        g_assert_false(inspect(zeros, 0, &facts, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        g_clear_error(&error);
        g_assert_cmpint(truncate(zeros, MIB + 1), ==, 0);
        g_assert_false(inspect(zeros, HOSTLER_IMAGE_FORMAT_RAW, &facts, &error));
}

/* Any cut and any byte changed: no crash, and every answer is a whole one. */
static void test_mangled(void)
{
        static const char *const formats[] = {"qcow2", "vmdk", "vhdx", "vdi"};

        for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
                g_autofree char *path = good_file(formats[i]);
                gsize length = 0;
                g_autofree char *content = file_read(path, 64 * MIB, &length, NULL);

                for (int round = 0; round < 3000; round++) {
                        gsize cut = (gsize)g_test_rand_int_range(0, (int)MIN(length, 4096)) + 1;
                        g_autofree uint8_t *copy = g_memdup2(content, cut);
                        g_autoptr(GError) error = NULL;
                        ImageFacts facts;

                        copy[g_test_rand_int_range(0, (int)cut)] = (uint8_t)g_test_rand_int();
                        if (!image_inspect_bytes(copy, cut, (int64_t)length, 0, &facts, &error))
                                g_assert_nonnull(error);
                        else
                                g_assert_cmpint(facts.size_bytes, >, 0);
                }
        }
}

static void test_import(void)
{
        g_autofree char *store = g_build_filename(dir, "images", NULL);
        g_autofree char *path = good_file("vmdk");
        ImageImport import = {.store_dir = store, .name = "mine", .file = path, .description = "a test"};
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) left = NULL;
        HostlerImage image;

        image_import_file(&import, &image, &error);
        g_assert_no_error(error);
        g_assert_cmpint(image.size, ==, GOOD_SIZE);
        g_assert_cmpstr(image.description, ==, "a test");
        record_clear(&hostler_image_type, &image);
        g_assert_false(image_import_file(&import, &image, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_EXISTS));
        g_clear_error(&error);
        import.name = "other";
        g_assert_cmpint(truncate(path, 60), ==, 0);
        g_assert_false(image_import_file(&import, &image, &error));
        g_assert_true(error_is(error, HOSTLER_ERROR_INVALID));
        left = g_dir_open(store, 0, NULL);
        g_assert_cmpstr(g_dir_read_name(left), ==, "mine");
        g_assert_null(g_dir_read_name(left));
}

int main(int argc, char **argv)
{
        int result;

        g_test_init(&argc, &argv, NULL);
        dir = g_dir_make_tmp("test-image-XXXXXX", NULL);
        g_test_add_func("/image-inspect/good", test_good);
        g_test_add_func("/image-inspect/corpus", test_corpus);
        g_test_add_func("/image-inspect/descriptors", test_descriptors);
        g_test_add_func("/image-inspect/others", test_others);
        g_test_add_func("/image-inspect/raw", test_raw);
        g_test_add_func("/image-inspect/mangled", test_mangled);
        g_test_add_func("/image-inspect/import", test_import);
        result = g_test_run();
        dir_remove(dir, NULL);
        g_free(dir);
        return result;
}
