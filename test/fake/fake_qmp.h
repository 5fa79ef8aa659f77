/* A scripted QEMU: greets, agrees on capabilities by itself, then plays the script. See fake_peer.h for the steps. */
#pragma once

#include "fake/fake_peer.h"

FakePeer *fake_qmp_new(const char *path, const FakeStep *script);
