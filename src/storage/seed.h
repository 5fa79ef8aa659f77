/*
 * NoCloud seeds: a small ISO 9660 volume labelled "cidata" from which cloud-init configures a guest at its first boot.
 * Blocks briefly. Format: cloud-init's documentation, "NoCloud" and "Networking config version 2".
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A network adapter; lists are NULL-terminated, NULL: none. */
typedef struct {
        const char *mac;
        bool dhcp;              /* its IPv4 address is asked for */
        bool dhcp6;             /* an IPv6 address too */
        char *const *addresses; /* "10.1.2.5/24", "fd00::5/64" */
        char *const *gateways, *const *dns, *const *search;
        int64_t mtu; /* 0: nothing is said */
} SeedNic;

typedef struct {
        const char *instance_id; /* changes when cloud-init shall take the guest for a new one */
        const char *host_name;
        const char *user;      /* first user, who may become root; NULL: the image's default user */
        const char *ssh_keys;  /* public keys, one a line, or NULL */
        const char *user_data; /* whole user-data document in place of what is made of user and keys, or NULL */
        const SeedNic *nics;
        size_t n_nics;
} Seed;

/* Writes the volume to @path, atomically, mode 0600. */
bool seed_write(const char *path, const Seed *seed, GError **error);
/* The same three documents as text, for tests and for the curious. Caller frees. */
char *seed_meta_data(const Seed *seed);
char *seed_user_data(const Seed *seed);
char *seed_network_config(const Seed *seed);
