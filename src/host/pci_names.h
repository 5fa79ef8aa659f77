/*
 * Names of PCI classes, makers and devices, out of pci.ids(5) where the host has it; without it classes have their
 * general names (PCI Code and ID Assignment Specification) and devices none. Any thread; one struct per thread.
 */
#pragma once

#include "host/host_facts.h"

typedef struct PciNames PciNames;

PciNames *pci_names_open(const HostPaths *paths);
void pci_names_free(PciNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PciNames, pci_names_free)
/* Of "020000". Never NULL. Caller frees. */
char *pci_names_class(const PciNames *names, const char *code);
/* Of "8086", "10d3": maker and device, or the maker alone. NULL: not known. Caller frees. */
char *pci_names_device(const PciNames *names, const char *vendor, const char *device);
