/* A scripted QEMU for tests: the part of QMP that every connection begins with. */
#include "fake/fake_qmp.h"

#include <string.h>

static json_t *agree_on_capabilities(const json_t *command)
{
        const char *name = json_string_value(json_object_get(command, "execute"));
        return name && strcmp(name, "qmp_capabilities") == 0 ? json_pack("{s:{}}", "return") : NULL;
}

FakePeer *fake_qmp_new(const char *path, const FakeStep *script)
{
        static const FakeProtocol qmp = {
            .greeting = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, "
                        "\"capabilities\": []}}\r\n",
            .answer = agree_on_capabilities,
        };
        return fake_peer_new(&qmp, path, script);
}
