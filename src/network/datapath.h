/*
 * What moves a switch's frames. Linux: net/openvswitch; the family of its calls is looked up as
 * Documentation/userspace-api/netlink/intro.rst has it ("Resolving the Family ID").
 */
#pragma once

#include <stdbool.h>

/*
 * "system" where the kernel has Open vSwitch's datapath, which is then loaded, else "netdev": ovs-vswitchd moves them
 * itself, several times slower. Looked at once. Any thread.
 */
const char *datapath_type(void);
/*
 * Whether it carries packets that somebody has yet to finish: without checksums, or larger than a frame, to be cut to
 * size. The kernel does; ovs-vswitchd would pass them on as they are. Any thread.
 */
bool datapath_takes_offloads(void);
