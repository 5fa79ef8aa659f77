/*
 * The bounded ring of bytes. See queue.h.
 *
 * Knows nothing of what is in it. Used by midi.c.
 */
#include "usb/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool queue_init(Queue *queue, size_t size)
{
        *queue = (Queue){.bytes = malloc(size), .size = size};
        return queue->bytes != NULL;
}

void queue_clear(Queue *queue)
{
        free(queue->bytes);
        *queue = (Queue){0};
}

size_t queue_room(const Queue *queue)
{
        return queue->size - queue->length;
}

void queue_empty(Queue *queue)
{
        queue->first = queue->length = 0;
}

static size_t least(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* Where the next byte goes, and how many fit there in one piece. */
static uint8_t *free_piece(Queue *queue, size_t *ret_length)
{
        size_t at = queue->first + queue->length;

        if (at >= queue->size)
                at -= queue->size;
        *ret_length = least(queue_room(queue), queue->size - at);
        return queue->bytes + at;
}

static void drop_first(Queue *queue, size_t length)
{
        queue->first = (queue->first + length) % queue->size;
        queue->length -= length;
        if (queue->length == 0)
                queue->first = 0; /* so that most reads and writes are of one piece */
}

size_t queue_write(Queue *queue, const uint8_t *bytes, size_t length)
{
        size_t done = 0, piece;

        while (done < length && queue_room(queue) > 0) {
                uint8_t *to = free_piece(queue, &piece);
                piece = least(piece, length - done);
                memcpy(to, bytes + done, piece);
                queue->length += piece;
                done += piece;
        }
        return done;
}

size_t queue_read(Queue *queue, uint8_t *bytes, size_t room)
{
        size_t done = 0;

        while (done < room && queue->length > 0) {
                size_t piece = least(least(queue->length, queue->size - queue->first), room - done);
                memcpy(bytes + done, queue->bytes + queue->first, piece);
                drop_first(queue, piece);
                done += piece;
        }
        return done;
}

static bool only_later(ssize_t result)
{
        return result < 0 && (errno == EAGAIN || errno == EINTR);
}

bool queue_fill_from(Queue *queue, int fd)
{
        size_t piece;
        uint8_t *to = free_piece(queue, &piece);
        ssize_t length = piece > 0 ? read(fd, to, piece) : 0;

        if (length > 0)
                queue->length += (size_t)length;
        return piece == 0 || length > 0 || only_later(length);
}

bool queue_drain_to(Queue *queue, int fd)
{
        size_t piece = least(queue->length, queue->size - queue->first);
        ssize_t length = piece > 0 ? send(fd, queue->bytes + queue->first, piece, MSG_NOSIGNAL) : 0;

        if (length > 0)
                drop_first(queue, (size_t)length);
        return length >= 0 || only_later(length);
}
