/*
 * The main function of a fuzzer that is built without libFuzzer: runs each seed once, so that `meson test` covers them
 * with every compiler and sanitizer. Arguments: folders of seeds.
 */
#include <glib.h>
#include <stdlib.h>

#include "fuzz.h"

static int replay_folder(const char *folder)
{
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
        int count = 0;
        g_assert_no_error(error);
        for (const char *name; (name = g_dir_read_name(dir)); count++) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                g_autofree char *text = NULL;
                gsize length;
                g_file_get_contents(path, &text, &length, &error);
                g_assert_no_error(error);
                g_autofree uint8_t *exact =
                    g_memdup2(text, length); /* without the terminating zero: reading past it shows */
                LLVMFuzzerTestOneInput(exact, length);
        }
        return count;
}

int main(int argc, char **argv)
{
        int count = 0;
        for (int i = 1; i < argc; i++)
                count += replay_folder(argv[i]);
        g_print("%d seeds\n", count);
        return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
