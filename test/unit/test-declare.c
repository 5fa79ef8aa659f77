/* The generated tables: what dispatch and jobs look up in them. */
#include "base/declare.h"

#include <string.h>

#include "hostler-records.h"

static void assert_object(const char *noun, const char *verb, const void *args, const char *expected)
{
        g_autofree char *object = verb_object(verb_find(noun, verb), args);
        g_assert_cmpstr(object, ==, expected);
}

static void test_objects(void)
{
        assert_object("vm", "start", &(HostlerVmStartArgs){.vm = (char *)"web1"}, "vm/web1");
        assert_object("disk", "rm", &(HostlerDiskRmArgs){.vm = (char *)"web1", .disk = (char *)"disk1"}, "vm/web1");
        assert_object("vm", "create", &(HostlerVmCreateArgs){.name = (char *)"web2"}, "vm/web2");
        assert_object("image", "build", &(HostlerImageBuildArgs){.image = (char *)"tiny"}, "image/tiny");
        assert_object("vm", "ls", &(HostlerVmLsArgs){0}, "");
        assert_object("image", "ls", &(HostlerImageLsArgs){0}, "");
}

static void test_routes(void)
{
        const VerbDecl *set = verb_find("vm", "set");
        g_assert_cmpstr(set->method, ==, "PATCH");
        g_assert_cmpstr(set->path, ==, "/v1/vms/{vm}");
        g_assert_cmpstr(verb_find("disk", "ls")->path, ==, "/v1/vms/{vm}/disks");
        g_assert_cmpstr(verb_find("disk", "rm")->path, ==, "/v1/vms/{vm}/disks/{disk}");
        g_assert_cmpstr(verb_find("vm", "start")->path, ==, "/v1/vms/{vm}/start");
        g_assert_null(verb_find("vm", "destroy"));
        g_assert_null(verb_find("toaster", "ls"));
}

/* Each {x} of a path is an argument that says so. */
static void test_paths(void)
{
        for (const VerbDecl *verb = hostler_verbs; verb->id; verb++) {
                g_assert_true(verb_find(verb->noun, verb->name) == verb);
                for (size_t i = 0; i < verb->args->n_fields; i++) {
                        const Field *field = &verb->args->fields[i];
                        g_autofree char *in_path = g_strdup_printf("{%s}", field->name);
                        g_assert_cmpint(strstr(verb->path, in_path) != NULL, ==, (field->flags & FIELD_IN_PATH) != 0);
                }
        }
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/declare/objects", test_objects);
        g_test_add_func("/declare/routes", test_routes);
        g_test_add_func("/declare/paths", test_paths);
        return g_test_run();
}
