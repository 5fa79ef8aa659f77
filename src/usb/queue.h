/*
 * A ring of bytes that never grows: what does not fit stays with whoever brought it, who then has to wait. It is what
 * "memory" of an adapter means here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
        uint8_t *bytes;
        size_t size;   /* the bound */
        size_t first;  /* index of the oldest byte */
        size_t length; /* how many are in it */
} Queue;

/* False without memory. queue_clear() gives it back. */
bool queue_init(Queue *queue, size_t size);
void queue_clear(Queue *queue);
size_t queue_room(const Queue *queue);
/* As many as fit. */
size_t queue_write(Queue *queue, const uint8_t *bytes, size_t length);
/* As many as there are, at most @room. */
size_t queue_read(Queue *queue, uint8_t *bytes, size_t room);
void queue_empty(Queue *queue);
/*
 * One read(2) or write(2) on a descriptor that does not block. False when the other side is gone; that it has nothing,
 * or takes nothing just now, is true.
 */
bool queue_fill_from(Queue *queue, int fd);
bool queue_drain_to(Queue *queue, int fd);
