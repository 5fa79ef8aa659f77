/* Undo and finish operations of the verbs on unattached volumes; idempotent. */
#pragma once

#include "vm/manager.h"

/* {pool, file}: a volume that was being made is gone. */
bool operation_volume_remove(Manager *manager, const json_t *args, GError **error);
/* {path}: what was exported gets its name, or, undone, is gone. */
bool operation_export_place(Manager *manager, const json_t *args, GError **error);
bool operation_export_remove(Manager *manager, const json_t *args, GError **error);
