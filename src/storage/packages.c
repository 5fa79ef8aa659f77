/*
 * Drives apt-get, apt-cache and dpkg-deb with a private configuration file.
 *
 * The file is given with -c, so it is read after the host's own configuration: the host's sources and proxies stay, its
 * folders and its hooks (which would run commands on the host) do not. It knows nothing about what the packages are
 * for. Called by the image recipes.
 */
#include "storage/packages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

#define COMMAND_TIMEOUT_MS (30 * 60 * 1000)
#define LOCK_RETRY_MS 200

static const char config_format[] = "#clear APT::Update::Pre-Invoke;\n"
                                    "#clear APT::Update::Post-Invoke;\n"
                                    "#clear APT::Update::Post-Invoke-Success;\n"
                                    "#clear APT::Install::Pre-Invoke;\n"
                                    "#clear DPkg;\n"
                                    "Dir::State \"%1$s/state\";\n"
                                    "Dir::State::lists \"%1$s/state/lists\";\n"
                                    "Dir::State::status \"%1$s/state/status\";\n"
                                    "Dir::State::extended_states \"%1$s/state/extended_states\";\n"
                                    "Dir::Cache \"%1$s\";\n"
                                    "Dir::Cache::archives \"%1$s/archives\";\n"
                                    "Dir::Cache::pkgcache \"\";\n"
                                    "Dir::Cache::srcpkgcache \"\";\n"
                                    "Dir::Log \"%1$s/state\";\n"
                                    "APT::Architecture \"amd64\";\n"
                                    "APT::Architectures { \"amd64\"; };\n"
                                    "APT::Sandbox::User \"\";\n"
                                    "APT::Install-Recommends \"false\";\n"
                                    "APT::Get::Assume-Yes \"true\";\n"
                                    "Acquire::Languages \"none\";\n"
                                    "Acquire::Retries \"3\";\n"
                                    "quiet \"1\";\n";

static bool cache_lock(Packages *packages, const char *cache_dir, GError **error)
{
        g_autofree char *path = g_build_filename(cache_dir, "lock", NULL);

        packages->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (packages->lock < 0)
                return error_set_errno(error, errno, NULL, "Opening %s", path);
        while (true) {
                struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

                if (fcntl(packages->lock, F_OFD_SETLK, &lock) == 0)
                        return true;
                if (errno != EAGAIN && errno != EACCES && errno != EINTR)
                        return error_set_errno(error, errno, NULL, "Locking %s", path);
                if (g_cancellable_is_cancelled(packages->cancellable))
                        return error_set(error, HOSTLER_ERROR_CANCELLED, NULL,
                                         "Cancelled while another image is built");
                g_usleep(LOCK_RETRY_MS * 1000);
        }
}

/* A quote in the path would end the value in apt.conf. */
static bool path_fits_config(const char *path)
{
        for (const char *c = path; *c; c++)
                if (*c == '"' || *c == '\\' || g_ascii_iscntrl(*c))
                        return false;
        return g_path_is_absolute(path);
}

static bool config_write(Packages *packages, const char *cache_dir, GError **error)
{
        static const char *const folders[] = {"state/lists/partial", "archives/partial", "nothing/partial"};
        g_autofree char *status = g_build_filename(cache_dir, "state", "status", NULL);
        g_autofree char *text = g_strdup_printf(config_format, cache_dir);

        for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
                g_autofree char *folder = g_build_filename(cache_dir, folders[i], NULL);

                if (!dir_ensure(folder, error))
                        return false;
        }
        packages->config = g_build_filename(cache_dir, "apt.conf", NULL);
        packages->archives = g_build_filename(cache_dir, "archives", NULL);
        packages->nothing = g_build_filename(cache_dir, "nothing", NULL);
        return file_write_atomic(status, "", 0, 0600, false, error) &&
               file_write_atomic(packages->config, text, strlen(text), 0600, false, error);
}

/* Runs @program with the private configuration and @arguments in @folder, where `apt-get download` works. */
static bool apt_run(Packages *packages, const char *folder, const char *program, const char *const *arguments,
                    char **ret_stdout, GError **error)
{
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        ProcessOptions options = {
            .directory = folder,
            .timeout_ms = COMMAND_TIMEOUT_MS,
            .output_limit_bytes = 8 << 20,
            .cancellable = packages->cancellable,
        };

        g_ptr_array_add(argv, (char *)program);
        g_ptr_array_add(argv, "-c");
        g_ptr_array_add(argv, packages->config);
        for (; *arguments; arguments++)
                g_ptr_array_add(argv, (char *)*arguments);
        g_ptr_array_add(argv, NULL);
        options.argv = (const char *const *)argv->pdata;
        return process_run(&options, ret_stdout, error);
}

bool packages_open(Packages *packages, const char *cache_dir, GCancellable *cancellable, GError **error)
{
        g_autofree char *apt = g_find_program_in_path("apt-get");
        g_autoptr(GError) update_error = NULL;

        *packages = (Packages){.lock = -1, .cancellable = cancellable};
        if (!apt)
                return error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL,
                                 "Images are built from Debian packages, and this host has no apt-get");
        if (!path_fits_config(cache_dir))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL, "The cache folder's path cannot be given to apt");
        if (!dir_ensure(cache_dir, error) || !cache_lock(packages, cache_dir, error) ||
            !config_write(packages, cache_dir, error))
                return false;
        if (apt_run(packages, "/", "apt-get", (const char *const[]){"update", NULL}, NULL, &update_error))
                return true;
        if (error_is(update_error, HOSTLER_ERROR_CANCELLED)) {
                g_propagate_error(error, g_steal_pointer(&update_error));
                return false;
        }
        packages->update_failure = g_strdup(update_error->message);
        return true;
}

void packages_close(Packages *packages)
{
        g_clear_pointer(&packages->config, g_free);
        g_clear_pointer(&packages->archives, g_free);
        g_clear_pointer(&packages->nothing, g_free);
        g_clear_pointer(&packages->update_failure, g_free);
        if (packages->lock >= 0)
                close(packages->lock);
        packages->lock = -1;
}

/* A package that was not found may be on the source that failed before: says so. */
static bool not_found(Packages *packages, const char *what, GError **error)
{
        error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "Getting Debian package %s", what);
        if (packages->update_failure)
                error_cause(error, NULL, "fetching the package lists: %s", packages->update_failure);
        error_hint(error, "Look at `apt-get update` and the sources in /etc/apt.");
        return false;
}

char *packages_resolve(Packages *packages, const char *name, GError **error)
{
        const char *const arguments[] = {"depends", "--important", name, NULL};
        g_autofree char *output = NULL;
        g_auto(GStrv) lines = NULL;

        if (!apt_run(packages, "/", "apt-cache", arguments, &output, error)) {
                not_found(packages, name, error);
                return NULL;
        }
        lines = g_strsplit(output, "\n", 256);
        for (char **line = lines; *line; line++) {
                const char *text = g_strstrip(*line);

                if (g_str_has_prefix(text, "Depends: ") && text[9] != '<')
                        return g_strdup(text + 9);
        }
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "Debian package %s depends on nothing", name);
        return NULL;
}

/* Lines of --print-uris: 'URI' FILE SIZE DIGEST. */
static void files_from_uris(Packages *packages, const char *output, GPtrArray *ret_files)
{
        g_auto(GStrv) lines = g_strsplit(output, "\n", -1);

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(*line, " ", 4);

                if (**line == '\'' && g_strv_length(words) >= 3 && g_str_has_suffix(words[1], ".deb") &&
                    !strchr(words[1], '/'))
                        g_ptr_array_add(ret_files, g_build_filename(packages->archives, words[1], NULL));
        }
}

bool packages_fetch(Packages *packages, const char *const *names, bool with_dependencies, GPtrArray *ret_files,
                    GError **error)
{
        g_autofree char *nothing = g_strdup_printf("Dir::Cache::archives=%s", packages->nothing);
        g_autofree char *what = g_strjoinv(", ", (char **)names);
        g_autoptr(GPtrArray) arguments = g_ptr_array_new();
        g_autofree char *uris = NULL;

        if (with_dependencies) {
                g_ptr_array_add(arguments, "install");
                g_ptr_array_add(arguments, "--download-only");
        } else {
                g_ptr_array_add(arguments, "download");
        }
        for (; *names; names++)
                g_ptr_array_add(arguments, (char *)*names);
        g_ptr_array_add(arguments, NULL);
        if (!apt_run(packages, packages->archives, "apt-get", (const char *const *)arguments->pdata, NULL, error))
                return not_found(packages, what, error);

        g_ptr_array_insert(arguments, (int)arguments->len - 1, "--print-uris");
        g_ptr_array_insert(arguments, (int)arguments->len - 1, "-o");
        g_ptr_array_insert(arguments, (int)arguments->len - 1, nothing);
        if (!apt_run(packages, packages->nothing, "apt-get", (const char *const *)arguments->pdata, &uris, error))
                return not_found(packages, what, error);
        files_from_uris(packages, uris, ret_files);
        return true;
}

bool packages_unpack(Packages *packages, GPtrArray *files, const char *folder, GError **error)
{
        if (!dir_ensure(folder, error))
                return false;
        for (guint i = 0; i < files->len; i++) {
                const char *const argv[] = {"dpkg-deb", "-x", g_ptr_array_index(files, i), folder, NULL};
                ProcessOptions options = {
                    .argv = argv, .timeout_ms = COMMAND_TIMEOUT_MS, .cancellable = packages->cancellable};

                if (!process_run(&options, NULL, error))
                        return error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "Unpacking a Debian package");
        }
        return true;
}
