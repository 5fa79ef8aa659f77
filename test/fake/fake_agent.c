/* A scripted guest agent for tests: the part of its protocol that every exchange begins with. */
#include "fake/fake_agent.h"

#include <string.h>

static json_t *answer_sync(const json_t *command)
{
        const char *name = json_string_value(json_object_get(command, "execute"));
        if (!name || strcmp(name, "guest-sync-delimited") != 0)
                return NULL;
        return json_pack("{s:O}", "return", json_object_get(json_object_get(command, "arguments"), "id"));
}

FakePeer *fake_agent_new(const char *path, const FakeStep *script)
{
        static const FakeProtocol agent = {.answer = answer_sync, .prefix_of = "guest-sync-delimited"};
        return fake_peer_new(&agent, path, script);
}
