/* buf.c - see buf.h. */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_LEAST 1024

static bool make_room(struct buf *buf, size_t n)
{
    size_t before = buf->memory != NULL ? (size_t)(buf->data - buf->memory) : 0;
    size_t size = buf->size > 0 ? buf->size : BUF_LEAST;

    if (buf->size - before - buf->length >= n)
        return true;
    if (before > 0)
        memmove(buf->memory, buf->data, buf->length);
    buf->data = buf->memory;
    if (buf->size - buf->length >= n)
        return true;
    while (size < buf->length + n)
        size *= 2;
    char *memory = realloc(buf->memory, size);
    if (memory == NULL)
        return false;
    buf->data = buf->memory = memory;
    buf->size = size;
    return true;
}

bool buf_append(struct buf *buf, const char *bytes, size_t n)
{
    if (n == 0)
        return true;
    if (!make_room(buf, n))
        return false;
    memcpy(buf->data + buf->length, bytes, n);
    buf->length += n;
    return true;
}

void buf_consume(struct buf *buf, size_t n)
{
    buf->data += n;
    buf->length -= n;
    if (buf->length == 0)
        buf_clear(buf);
}

void buf_clear(struct buf *buf)
{
    free(buf->memory);
    *buf = (struct buf){0};
}
