/* Network namespaces of a thread. What a child process that it starts is in, and where its sockets are made. Linux:
 * network_namespaces(7). */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The one the calling thread is in; the caller closes it. -1 and error. */
int namespace_here(GError **error);
/* That of a process; -1: it is gone. */
int namespace_of(int pid);
bool namespace_enter(int fd, GError **error);
/* Ends the program when it cannot: anything else this thread did would be done in the wrong place. */
void namespace_return(int fd);
/* A new one, in which a guest's packets meet no address and no neighbour table of ours but those that are made. */
bool namespace_enter_new(GError **error);
/* "/proc/sys/net/…" of the one the thread is in; what fails is logged. */
void namespace_set(const char *path, const char *value);
/* ip(8) reads @lines, one command each, and ends at the first that fails. Blocks. */
bool namespace_ip(const char *lines, GError **error);
/* A network device makes no packets that somebody else has to finish (ethtool(8): tx, tso, gso off): see
 * datapath_takes_offloads(). */
bool namespace_no_offloads(const char *device, GError **error);
