/*
 * A scripted guest agent behind QEMU's socket: answers guest-sync-delimited by itself (0xFF first) unless the script
 * expects it, then plays the script. See fake_peer.h for the steps.
 */
#pragma once

#include "fake/fake_peer.h"

FakePeer *fake_agent_new(const char *path, const FakeStep *script);
