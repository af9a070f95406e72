/* buf.h - bytes that wait: grows when it must, and has no memory while it is empty. Whoever appends sees to
 * the bound. */
#ifndef LIVY_HA_RELAY_BUF_H
#define LIVY_HA_RELAY_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;    /* the first byte that waits */
    size_t length; /* of what waits */
    char *memory;
    size_t size;
};

/* False for want of memory; nothing has changed then. */
bool buf_append(struct buf *buf, const char *bytes, size_t n);
void buf_consume(struct buf *buf, size_t n); /* n at most length */
void buf_clear(struct buf *buf);

#endif
