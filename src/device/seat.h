/*
 * Seats: where each part's device sits.
 *
 * A bus is the hot-pluggable root ports, the board (pcie.0 itself, cold only), or what a controller part or the board
 * offers: USB ports, SCSI targets, IDE units, legacy indices. Each part that sits on one gets a number of its own that
 * stays the same for the run and is stored with it, so that a VM comes back from disk with every device where it was. A
 * second device on a used root port would be accepted by QEMU and invisible to the guest.
 *
 * Pure; any thread.
 */
#pragma once

#include "hostler-records.h"

typedef struct DeviceContext DeviceContext;

/* Names of the buses that no part offers. */
#define BUS_PORTS "ports"       /* root ports rp0, rp1, … */
#define BUS_BOARD "board"       /* slots of pcie.0 */
#define BUS_CHANNELS "channels" /* the chassis's virtio-serial controller */
#define BUS_ISA_SERIAL "isa-serial"
#define BUS_ISA_PARALLEL "isa-parallel"
#define DEVICE_PORTS 16
#define WIDE_PORTS 4 /* the last ones: with a window for a card with memory that is plugged live */
#define WIDE_PORT_BYTES (64LL * 1024 * 1024)
#define BOARD_FIRST 0x9
#define BOARD_COUNT 0x15

typedef struct {
        const char
            *bus; /* one of the names above, a kind's own ("isa-serial"), or the controller part's name; borrowed */
        int first, count; /* numbers of its seats */
} Seats;

/*
 * The bus that @part's device sits on; false: it has no seat (it is no device, has a fixed place, or its controller is
 * missing).
 */
bool seats_of(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats);
/* The same by its model's row alone, for a kind's own seats() that leaves some models to it. */
bool seats_by_model(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats);
/* Whether it takes one of the hot-pluggable root ports. */
bool seats_is_port(const DeviceContext *context, const HostlerPart *part);
/*
 * Gives every part of the context's spec that wants a seat and has none in @slots the lowest free one of its bus, in
 * the order of the spec. With every seat taken a part gets none; seats_check() has refused that before.
 */
void seats_give(const DeviceContext *context, HostlerSlotList *slots);
/* The part's number on its bus; -1: none. */
int seats_find(const HostlerSlotList *slots, const char *part);
/* The bus that its seat is on, borrowed; NULL: none. */
const char *seats_bus(const HostlerSlotList *slots, const char *part);
/* Takes the part's seat back; nothing to do is fine. */
void seats_forget(HostlerSlotList *slots, const char *part);
/* The same for a part that lingers: nobody gets its seat in this run. */
void seats_spend(HostlerSlotList *slots, const char *part);
/* The name of the part that spent this seat; NULL: it is in use. */
const char *seats_spent_by(const HostlerSlot *slot);
/* A fault for each bus with more parts than seats. */
void seats_check(const DeviceContext *context, GPtrArray *faults);
