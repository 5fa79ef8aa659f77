/*
 * What graphics cards and screens have in common: how much memory each model can have, resolutions, where QEMU shows a
 * head to viewers. For video.c, output.c and the vm layer's screenshots and viewers. Any thread; only display_resize()
 * blocks.
 */
#pragma once

#include "device/device.h"

#define DISPLAY_WIDTH 1280
#define DISPLAY_HEIGHT 800

/* A screen: head @head of the card part @card. */
typedef struct {
        const char *card; /* borrowed from the spec */
        int head;
} DisplayHead;

/* The screen of a part; false: it is none, or one without a card. */
bool display_head(const DeviceContext *context, const HostlerPart *part, DisplayHead *ret_head);
/* The part that is looked at when none is named: the first card, else the first output. NULL: there is no screen. */
const HostlerPart *display_first(const HostlerSpec *spec);
/* The name in VMDIR/run of the socket where QEMU shows a head to viewers (RFB). Caller frees. */
char *display_socket(const DisplayHead *head);
/* Tells the guest that the monitor on @head prefers "1024x768"; NULL: the default. "0x0" takes it away. */
bool display_resize(const DeviceContext *context, const DisplayHead *head, const char *resolution, GError **error);

/* ---- for kinds that are cards ---- */

/* Where a card sits that can come and go live: one that is plugged into a running VM needs a port with room for it. */
bool display_seats(const DeviceContext *context, const HostlerPart *part, Seats *ret_seats);
/* Heads of a card that can be more than one, as its model has them; 0: its model has only one. */
int display_heads_max(const HostlerPart *card);
void display_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults);
void display_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan);
/* Viewers' sockets of a card that has gone show something else from then on. */
void display_release(const DeviceContext *context, const HostlerPart *part);
/* A faulty pointer below the part gets the text: "/spec/video0/memory". */
void display_fault(const HostlerPart *part, const char *property, GPtrArray *faults, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* The range of resolutions; false and a fault outside it. */
bool display_check_resolution(const HostlerPart *part, const char *resolution, GPtrArray *faults);
/* Of a change that only a new QEMU can make. */
bool display_set_pending(const DeviceChange *change);

/* What a card's part says of itself in the guest: its driver, its largest window, what is plugged into it. */
#define DISPLAY_GUEST                                                                                                  \
        "case $2 in ramfb) [ -e /sys/firmware/qemu_fw_cfg/by_name/etc/ramfb ] && echo etc/ramfb; exit;;"               \
        " isa-vga) grep -o '[^ ]* : vga+' /proc/ioports; exit;; esac;"                                                 \
        "p=/sys/bus/pci/devices/$1; [ -e $p ] || exit 0; o='no driver';"                                               \
        "for d in $p/driver $p/virtio*/driver; do d=$(readlink $d) && o=${d##*/}; done;"                               \
        "m=0; while read a b c; do s=$((b-a+1)); [ $((c&512)) != 0 ] && [ $s -gt $m ] && m=$s; done < $p/resource;"    \
        "case $2 in virtio-*) ;; *) o=\"$o $((m>>10))k\";; esac;"                                                      \
        "for c in $p/drm/card*/card*-* $p/virtio*/drm/card*/card*-*; do"                                               \
        " [ \"$(cat $c/status 2>/dev/null)\" = connected ] || continue;"                                               \
        " read r < $c/modes; n=${c##*/card}; o=\"$o ${n#*-}=$r\"; done;"                                               \
        "echo $o"
