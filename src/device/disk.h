/* What the files of the disk share. */
#pragma once

#include "device/block.h"

/* A disk's graph with what it points into. */
typedef struct {
        BlockGraph graph;
        GArray *layers;     /* of BlockLayer, owned */
        GPtrArray *strings; /* theirs, owned */
        json_t *nodes;      /* theirs, owned: an array */
} DiskGraph;
/* False when its image is missing: then the graph lacks it. Clear it in any case. */
bool disk_graph(const DeviceContext *context, const HostlerPart *part, DiskGraph *ret_disk);
void disk_graph_clear(DiskGraph *disk);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DiskGraph, disk_graph_clear)
/* The layer that the guest writes to. */
const BlockLayer *disk_graph_head(const DiskGraph *disk);

/* The serial number that the guest sees; borrowed. */
const char *disk_serial(const HostlerPart *part);
/* Has a running QEMU keep to the disk's limits, or lift them; nothing is said of a disk that never had one. */
bool disk_tell_limits(const HostlerPart *part, Qmp *qmp, GError **error);
/* Arguments of block_set_io_throttle: the disk's own limits, and with them at most so much, 0: no ceiling. A disk that
 * limits reads and writes apart gets no ceiling of that kind, because QEMU takes only one of the two. */
json_t *disk_throttle(const HostlerPart *part, int64_t iops_ceiling, int64_t bandwidth_ceiling);
extern const DeviceSetter disk_setters[];
