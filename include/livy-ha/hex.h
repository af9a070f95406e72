/* hex.h - hexadecimal digits, whatever the locale says of letters. */
#ifndef LIVY_HA_HEX_H
#define LIVY_HA_HEX_H

/* Its value, -1 where `c` is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

#endif
