/*
 * Pools of a Ceph cluster. Each volume is an RBD image with a qcow2 file's content in it, which QEMU opens through
 * librbd and makes larger as it writes behind its end; so snapshots and clones are the layers that they are everywhere.
 * A volume's entry in the catalogue is a small file with the image's name.
 *
 * The cluster is asked by its own programs `rbd` and `ceph`. Who we are there is a user's name and a configuration
 * file; the key is in a keyring that librados finds by itself, and never passes through here. The entry is made before
 * the image and goes after it (see pool_lvm.c).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "storage/catalogue.h"

#define TIMEOUT_MS 120000
#define IMAGE "hostler."
#define IMAGE_NAME_MAX 128
#define DEFAULT_CONF "/etc/ceph/ceph.conf"
#define DEFAULT_USER "admin"
#define SOURCE "^[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)?$"
#define USER "^[A-Za-z0-9_.][A-Za-z0-9_.-]*$"
/* A QEMU that was killed counts as one that has the image open for half a minute. */
#define WATCHED_MS 60000
#define WATCHED_POLL_US 1000000

/* ---- its programs ---- */

static const char *conf_of(const HostlerPoolConfig *pool)
{
        return pool->conf ? pool->conf : DEFAULT_CONF;
}

static const char *user_of(const HostlerPoolConfig *pool)
{
        return pool->user ? pool->user : DEFAULT_USER;
}

static bool is_installed(const char *program, GError **error)
{
        g_autofree char *path = g_find_program_in_path(program);
        if (path)
                return true;
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "Ceph's program `%s` is not installed", program);
        return error_hint(error, "apt install ceph-common qemu-block-extra");
}

static bool explain(const HostlerPoolConfig *pool, GError **error)
{
        error_wrap(error, HOSTLER_ERROR_FAILED, NULL, "Ceph pool %s cannot be used as client.%s", pool->source,
                   user_of(pool));
        return error_hint(error, "rbd --conf %s --id %s ls %s", conf_of(pool), user_of(pool), pool->source);
}

/*
 * @words: what is to be done, NULL-terminated; @ret_answer: in JSON, of which there is one then. NULL: it is not asked
 * for. A cluster that does not answer is given up after a while.
 */
static bool run(const HostlerPoolConfig *pool, const char *program, const char *const *words, json_t **ret_answer,
                GError **error)
{
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        const char *const who[] = {program,
                                   "--conf",
                                   conf_of(pool),
                                   "--id",
                                   user_of(pool),
                                   "--client-mount-timeout=15",
                                   "--rados-mon-op-timeout=15"};
        for (size_t i = 0; i < G_N_ELEMENTS(who); i++)
                g_ptr_array_add(argv, (char *)who[i]);
        for (size_t i = 0; words[i]; i++)
                g_ptr_array_add(argv, (char *)words[i]);
        g_ptr_array_add(argv, NULL);
        ProcessOptions options = {
            .argv = (const char *const *)argv->pdata, .timeout_ms = TIMEOUT_MS, .output_limit_bytes = 16 << 20};
        if (!is_installed(program, error))
                return false;
        return ret_answer ? (*ret_answer = process_run_json(&options, error)) != NULL
                          : process_run(&options, NULL, error);
}

/* What the program answers in JSON; the caller owns it. */
static json_t *ask(const HostlerPoolConfig *pool, const char *program, const char *const *words, GError **error)
{
        json_t *answer = NULL;
        run(pool, program, words, &answer, error);
        return answer;
}

/* ---- the pool ---- */

static bool rbd_check(const HostlerPoolConfig *pool, GError **error)
{
        const char *const words[] = {"ls", "--format", "json", pool->source, NULL};
        json_auto_t *images = ask(pool, "rbd", words, error);
        return images || explain(pool, error);
}

static bool rbd_make(const HostlerPoolConfig *pool, GError **error)
{
        if (!pool->source || !g_regex_match_simple(SOURCE, pool->source, 0, 0))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "an rbd pool is made of a pool of Ceph, POOL or POOL/NAMESPACE: --source vms");
        if (!g_regex_match_simple(USER, user_of(pool), 0, 0))
                return error_set(error, HOSTLER_ERROR_INVALID, NULL,
                                 "a user of Ceph is named without its `client.`: --user hostler");
        if (!g_file_test(conf_of(pool), G_FILE_TEST_IS_REGULAR)) {
                error_set(error, HOSTLER_ERROR_INVALID, NULL, "there is no configuration file %s", conf_of(pool));
                return error_hint(error, "say where the cluster's is: --conf /etc/ceph/NAME.conf");
        }
        return rbd_check(pool, error) && dir_ensure(pool->path, error);
}

static bool rbd_unmake(const HostlerPoolConfig *pool, GError **error)
{
        return dir_remove(pool->path, error);
}

static bool rbd_space(const HostlerPoolConfig *pool, PoolSpace *ret_space, GError **error)
{
        static const char *const words[] = {"df", "--format", "json", NULL};
        g_autofree char *name = g_strndup(pool->source, strcspn(pool->source, "/"));
        json_auto_t *answer = ask(pool, "ceph", words, error);
        json_t *entry;
        size_t i;
        json_array_foreach (json_object_get(answer, "pools"), i, entry) {
                json_t *stats = json_object_get(entry, "stats");
                int64_t left = json_integer_value(json_object_get(stats, "max_avail"));
                if (g_strcmp0(json_string_value(json_object_get(entry, "name")), name) != 0)
                        continue;
                *ret_space = (PoolSpace){.size_bytes = left + json_integer_value(json_object_get(stats, "stored")),
                                         .free_bytes = left};
                return true;
        }
        if (answer)
                error_set(error, HOSTLER_ERROR_FAILED, NULL, "Ceph does not say how full %s is; has it a manager?",
                          pool->source);
        return answer ? false : explain(pool, error);
}

/* ---- volumes ---- */

/* The image's name in entry @path; NULL: it is none. Caller frees. */
static char *image_of(const char *path)
{
        char *text = file_read(path, IMAGE_NAME_MAX, NULL, NULL);
        g_autofree char *name = text ? g_strstrip(text) : NULL;
        return name && g_str_has_prefix(name, IMAGE) ? g_steal_pointer(&name) : NULL;
}

static char *spec_of(const HostlerPoolConfig *pool, const char *image)
{
        return g_strdup_printf("%s/%s", pool->source, image);
}

static bool create(const HostlerPoolConfig *pool, const char *spec, int64_t room_bytes, const char *content,
                   GError **error)
{
        g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT "B", room_bytes);
        const char *const empty[] = {"create", "--size", size, spec, NULL};
        const char *const filled[] = {"import", "--no-progress", content, spec, NULL};
        return run(pool, "rbd", content ? filled : empty, NULL, error) || explain(pool, error);
}

static bool rbd_remove(const HostlerPoolConfig *pool, const char *path, GError **error);

static bool rbd_put(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, const char *content,
                    GError **error)
{
        g_autofree char *uuid = g_uuid_string_random();
        g_autofree char *image = g_strdup_printf(IMAGE "%.8s%.4s", uuid, uuid + 24), *spec = spec_of(pool, image);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
                return error_set_errno(error, EEXIST, NULL, "Making disk %s", path);
        if (!file_write_atomic(path, image, strlen(image), 0600, true, error))
                return false;
        if (create(pool, spec, room_bytes, content, error))
                return true;
        rbd_remove(pool, path, NULL);
        return false;
}

static bool remove_image(const HostlerPoolConfig *pool, const char *spec, GError **error)
{
        const char *const words[] = {"rm", "--no-progress", spec, NULL};
        int64_t end = clock_monotonic_ms() + WATCHED_MS;
        for (;;) {
                g_autoptr(GError) problem = NULL;
                if (run(pool, "rbd", words, NULL, &problem) || strstr(problem->message, "No such file"))
                        return true;
                if (!strstr(problem->message, "watchers") || clock_monotonic_ms() >= end) {
                        g_propagate_error(error, g_steal_pointer(&problem));
                        return false;
                }
                g_usleep(WATCHED_POLL_US);
        }
}

static bool rbd_remove(const HostlerPoolConfig *pool, const char *path, GError **error)
{
        g_autofree char *image = image_of(path), *spec = image ? spec_of(pool, image) : NULL;
        if (spec && !remove_image(pool, spec, error))
                return false;
        return unlink(path) == 0 || errno == ENOENT || error_set_errno(error, errno, NULL, "Deleting disk %s", path);
}

/* QEMU makes it. */
static bool rbd_make_room(const HostlerPoolConfig *pool, const char *path, int64_t room_bytes, GError **error)
{
        return true;
}

static json_t *ask_image(const HostlerPoolConfig *pool, const char *path, const char *verb, GError **error)
{
        g_autofree char *image = image_of(path), *spec = image ? spec_of(pool, image) : NULL;
        const char *const words[] = {verb, "--format", "json", spec, NULL};
        if (spec)
                return ask(pool, "rbd", words, error);
        error_set(error, HOSTLER_ERROR_FAILED, NULL, "%s names no RBD image", path);
        return NULL;
}

static int64_t rbd_room(const HostlerPoolConfig *pool, const char *path, GError **error)
{
        json_auto_t *info = ask_image(pool, path, "info", error);
        return info ? json_integer_value(json_object_get(info, "size")) : -1;
}

static int64_t rbd_allocated(const HostlerPoolConfig *pool, const char *path)
{
        json_auto_t *usage = ask_image(pool, path, "du", NULL);
        return json_integer_value(json_object_get(usage, "total_used_size"));
}

static json_t *rbd_node(const HostlerPoolConfig *pool, const char *path)
{
        g_autofree char *image = image_of(path), *name = g_strndup(pool->source, strcspn(pool->source, "/"));
        const char *slash = strchr(pool->source, '/');
        json_t *node = json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "rbd", "pool", name, "image",
                                 image ? image : IMAGE, "conf", conf_of(pool), "user", user_of(pool));
        if (slash)
                json_object_set_new(node, "namespace", json_string(slash + 1));
        return node;
}

/* Of what would end a name's part. */
static char *escape(const char *text)
{
        GString *escaped = g_string_new(NULL);
        for (; *text; text++) {
                if (strchr("\\:@/=", *text))
                        g_string_append_c(escaped, '\\');
                g_string_append_c(escaped, *text);
        }
        return g_string_free(escaped, FALSE);
}

static char *rbd_name(const HostlerPoolConfig *pool, const char *path)
{
        g_autofree char *image = image_of(path), *spec = spec_of(pool, image ? image : IMAGE);
        g_autofree char *conf = escape(conf_of(pool));
        return g_strdup_printf("rbd:%s:id=%s:conf=%s", spec, user_of(pool), conf);
}

static const PoolVolumes rbd_volumes = {
    .put = rbd_put,
    .remove = rbd_remove,
    .make_room = rbd_make_room,
    .room = rbd_room,
    .allocated = rbd_allocated,
    .node = rbd_node,
    .name = rbd_name,
};

const PoolType pool_rbd = {
    .type = HOSTLER_POOL_TYPE_RBD,
    .make = rbd_make,
    .unmake = rbd_unmake,
    .check = rbd_check,
    .space = rbd_space,
    .volume = catalogue_volume,
    .prepare = catalogue_prepare,
    .forget = catalogue_forget,
    .volumes = &rbd_volumes,
};
