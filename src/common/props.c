/* props.c - a reader of Java properties files. It does character by character what java.util.Properties
 * does (JDK 9 and later), quirks included, because livy-ha must see in livy.conf exactly what Livy sees.
 * libc only: it runs in the keeper and in its forked child. It writes to no file.
 */
#include "livy-ha/props.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
    char *key;
    char *value;
    int line;
};

struct props {
    struct entry *entries;
    size_t count;
    size_t room;
};

/* A position in the text, and the logical line that was taken from it last. */
struct reader {
    const char *text;
    size_t length;
    size_t at;
    int line; /* of the character at `at`, from 1 */
    char *logical;
    int logical_line; /* where the logical line began */
};

/* ---- logical lines ------------------------------------------------------------------------------------- */

/* Takes one character and counts lines: "\n", "\r" and "\r\n" each end one. */
static char reader_take(struct reader *reader)
{
    char c = reader->text[reader->at++];

    if (c == '\r' || (c == '\n' && !(reader->at >= 2 && reader->text[reader->at - 2] == '\r')))
        reader->line++;
    return c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_end(char c)
{
    return c == '\n' || c == '\r';
}

static void reader_skip_comment(struct reader *reader)
{
    while (reader->at < reader->length && !is_end(reader->text[reader->at]))
        reader->at++;
}

/* Skips what may stand before the first character of a line: blanks and, unless the line continues another
 * one, empty lines. */
static void reader_skip_white(struct reader *reader, bool continued)
{
    while (reader->at < reader->length) {
        char c = reader->text[reader->at];
        if (!is_blank(c) && (continued || !is_end(c)))
            return;
        (void)reader_take(reader);
    }
}

/* Reads the next logical line, comments and empty lines skipped, continued lines joined, into
 * reader->logical. Returns its length, or -1 at the end of the text. A length of 0 is possible: a lone
 * backslash before the end of the file is an entry with an empty key to Java. */
static ssize_t reader_next(struct reader *reader)
{
    size_t length = 0;
    bool backslash = false; /* the last character is a backslash that is not itself escaped */

    reader_skip_white(reader, false);
    while (reader->at < reader->length) {
        if (length == 0) {
            char first = reader->text[reader->at];
            if (first == '#' || first == '!') {
                reader_skip_comment(reader);
                reader_skip_white(reader, false);
                continue;
            }
            reader->logical_line = reader->line;
        }
        char c = reader_take(reader);
        if (!is_end(c)) {
            reader->logical[length++] = c;
            backslash = c == '\\' && !backslash;
            continue;
        }
        if (length == 0) {
            /* Only after a continuation that brought nothing: begin anew. */
            reader_skip_white(reader, false);
            continue;
        }
        if (!backslash)
            return (ssize_t)length;
        if (reader->at >= reader->length)
            return (ssize_t)length - 1;
        length--;
        backslash = false;
        if (c == '\r' && reader->text[reader->at] == '\n')
            (void)reader_take(reader);
        reader_skip_white(reader, true);
    }
    if (length == 0)
        return -1;
    return (ssize_t)length - (backslash ? 1 : 0);
}

/* ---- escapes ------------------------------------------------------------------------------------------- */

/* Java's strings are UTF-16 and \uXXXX gives one unit of it: a pair of them may make up one character. */
struct output {
    char *data;
    size_t length;
    uint32_t high; /* a high surrogate that waits for its other half, or 0 */
};

static void output_utf8(struct output *out, uint32_t c)
{
    if (c == 0) {
        out->data[out->length++] = (char)0xC0;
        out->data[out->length++] = (char)0x80;
    } else if (c < 0x80) {
        out->data[out->length++] = (char)c;
    } else if (c < 0x800) {
        out->data[out->length++] = (char)(0xC0 | c >> 6);
        out->data[out->length++] = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out->data[out->length++] = (char)(0xE0 | c >> 12);
        out->data[out->length++] = (char)(0x80 | (c >> 6 & 0x3F));
        out->data[out->length++] = (char)(0x80 | (c & 0x3F));
    } else {
        out->data[out->length++] = (char)(0xF0 | c >> 18);
        out->data[out->length++] = (char)(0x80 | (c >> 12 & 0x3F));
        out->data[out->length++] = (char)(0x80 | (c >> 6 & 0x3F));
        out->data[out->length++] = (char)(0x80 | (c & 0x3F));
    }
}

static void output_flush(struct output *out)
{
    if (out->high != 0)
        output_utf8(out, 0xFFFD);
    out->high = 0;
}

static void output_byte(struct output *out, char c)
{
    output_flush(out);
    if (c == '\0')
        output_utf8(out, 0);
    else
        out->data[out->length++] = c;
}

static void output_unit(struct output *out, uint32_t unit)
{
    bool low = unit >= 0xDC00 && unit <= 0xDFFF;

    if (low && out->high != 0) {
        output_utf8(out, 0x10000 + ((out->high - 0xD800) << 10) + (unit - 0xDC00));
        out->high = 0;
        return;
    }
    output_flush(out);
    if (unit >= 0xD800 && unit <= 0xDBFF)
        out->high = unit;
    else
        output_utf8(out, low ? 0xFFFD : unit);
}

static bool parse_unit(const char *text, size_t length, uint32_t *unit)
{
    if (length < 4)
        return false;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            return false;
        *unit = *unit << 4 | digit;
    }
    return true;
}

static char unescape_letter(char c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    case 'f':
        return '\f';
    default: /* a character, not an enum: any other one stands for itself */
        return c;
    }
}

/* The string that `length` characters of a logical line stand for; NULL with EBADMSG or ENOMEM. */
static char *unescape(const char *text, size_t length)
{
    /* No escape grows: \uXXXX is six characters for at most three bytes; a NUL is one for two. */
    struct output out = {.data = malloc(2 * length + 4)};

    if (out.data == NULL)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        uint32_t unit;
        if (text[i] != '\\' || i + 1 >= length) {
            output_byte(&out, text[i]);
        } else if (text[++i] != 'u') {
            output_byte(&out, unescape_letter(text[i]));
        } else if (parse_unit(text + i + 1, length - i - 1, &unit)) {
            output_unit(&out, unit);
            i += 4;
        } else {
            free(out.data);
            errno = EBADMSG;
            return NULL;
        }
    }
    output_flush(&out);
    out.data[out.length] = '\0';
    return out.data;
}

/* String.trim(): every character up to the space, so the control characters and NUL as well. */
static void trim(char *value)
{
    unsigned char *start = (unsigned char *)value;
    size_t length;

    for (;;) {
        if (*start != '\0' && *start <= ' ')
            start++;
        else if (start[0] == 0xC0 && start[1] == 0x80)
            start += 2;
        else
            break;
    }
    length = strlen((char *)start);
    for (;;) {
        if (length > 0 && start[length - 1] <= ' ')
            length--;
        else if (length > 1 && start[length - 2] == 0xC0 && start[length - 1] == 0x80)
            length -= 2;
        else
            break;
    }
    memmove(value, start, length);
    value[length] = '\0';
}

/* ---- entries ------------------------------------------------------------------------------------------- */

/* Room for one more entry. */
static int props_grow(struct props *props)
{
    size_t room = props->room == 0 ? 64 : 2 * props->room;
    struct entry *entries;

    if (props->count < props->room)
        return 0;
    entries = reallocarray(props->entries, room, sizeof *entries);
    if (entries == NULL)
        return -1;
    props->entries = entries;
    props->room = room;
    return 0;
}

/* Splits a logical line at the first separator that no backslash escapes, and keeps both halves. */
static int props_add_line(struct props *props, const char *line, size_t length, int number)
{
    size_t key_end = 0;
    size_t start;
    bool escaped = false;
    bool separated = false; /* '=' or ':' was there, not white space alone: a second one is the value's */
    struct entry *entry;

    for (; key_end < length; key_end++) {
        char c = line[key_end];
        if (!escaped && (c == '=' || c == ':' || is_blank(c)))
            break;
        escaped = c == '\\' && !escaped;
    }
    for (start = key_end; start < length; start++) {
        char c = line[start];
        if (!separated && (c == '=' || c == ':'))
            separated = true;
        else if (!is_blank(c))
            break;
    }
    if (props_grow(props) != 0)
        return -1;
    entry = &props->entries[props->count];
    entry->line = number;
    entry->key = unescape(line, key_end);
    if (entry->key == NULL)
        return -1;
    entry->value = unescape(line + start, length - start);
    if (entry->value == NULL) {
        int error = errno;
        free(entry->key);
        errno = error;
        return -1;
    }
    trim(entry->value);
    props->count++;
    return 0;
}

/* `line` gets the line of a malformed escape. */
static struct props *parse(const char *text, size_t length, int *line)
{
    struct reader reader = {.text = text, .length = length, .line = 1};
    struct props *props = calloc(1, sizeof *props);
    ssize_t got = -1;

    reader.logical = malloc(length + 1);
    if (props == NULL || reader.logical == NULL)
        goto fail;
    while ((got = reader_next(&reader)) >= 0) {
        if (props_add_line(props, reader.logical, (size_t)got, reader.logical_line) != 0)
            goto fail;
    }
    free(reader.logical);
    return props;
fail:
    *line = reader.logical_line;
    int error = errno;
    free(reader.logical);
    props_free(props);
    errno = error;
    return NULL;
}

struct props *props_parse(const char *text, size_t length)
{
    int line;

    return parse(text, length, &line);
}

void props_free(struct props *props)
{
    if (props == NULL)
        return;
    for (size_t i = 0; i < props->count; i++) {
        free(props->entries[i].key);
        free(props->entries[i].value);
    }
    free(props->entries);
    free(props);
}

const char *props_get(const struct props *props, const char *key, int *line)
{
    for (size_t i = props->count; i-- > 0;) {
        if (strcmp(props->entries[i].key, key) == 0) {
            if (line != NULL)
                *line = props->entries[i].line;
            return props->entries[i].value;
        }
    }
    return NULL;
}

/* ---- files --------------------------------------------------------------------------------------------- */

/* Reads up to the end or to one byte past the limit; a file may grow while it is read. */
static char *read_all(int fd, size_t *length)
{
    char *data = malloc(PROPS_MAX_FILE + 1);
    size_t have = 0;
    char *fitted;

    if (data == NULL)
        return NULL;
    while (have <= PROPS_MAX_FILE) {
        ssize_t got = read(fd, data + have, PROPS_MAX_FILE + 1 - have);
        if (got == 0)
            break;
        if (got > 0) {
            have += (size_t)got;
        } else if (errno != EINTR) {
            int error = errno;
            free(data);
            errno = error;
            return NULL;
        }
    }
    if (have > PROPS_MAX_FILE) {
        free(data);
        errno = EFBIG;
        return NULL;
    }
    data[have] = '\0';
    *length = have;
    fitted = realloc(data, have + 1);
    return fitted != NULL ? fitted : data;
}

/* A FIFO or a device in the place of a file must not make the daemon hang: hence O_NONBLOCK and the look
 * at the type. */
static int open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -1;
    int error = 0;
    if (fstat(fd, &st) != 0)
        error = errno;
    else if (!S_ISREG(st.st_mode))
        error = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (error == 0)
        return fd;
    (void)close(fd);
    errno = error;
    return -1;
}

char *props_read_file(const char *path, size_t *length, char *why, size_t size)
{
    int fd = open_regular(path);
    char *data = fd >= 0 ? read_all(fd, length) : NULL;
    int error = errno;

    if (fd >= 0)
        (void)close(fd);
    if (data != NULL)
        return data;
    if (error == EFBIG)
        (void)snprintf(why, size, "%s is larger than 1 MiB, which is no settings file: check what it is",
                       path);
    else if (error == EINVAL)
        (void)snprintf(why, size, "%s is not a regular file: put one in its place", path);
    else
        (void)snprintf(why, size, "cannot read %s: %s", path, strerror(error));
    errno = error;
    return NULL;
}

struct props *props_load(const char *path, char *why, size_t size)
{
    size_t length;
    int line = 0;
    char *text = props_read_file(path, &length, why, size);
    struct props *props;
    int error;

    if (text == NULL)
        return NULL;
    props = parse(text, length, &line);
    error = errno;
    free(text);
    if (props != NULL)
        return props;
    if (error == EBADMSG)
        (void)snprintf(
            why, size,
            "%s:%d: a \\u that four hexadecimal digits do not follow: Java refuses the whole file; "
            "write \\\\u for a backslash and a u",
            path, line);
    else
        (void)snprintf(why, size, "cannot keep %s: %s", path, strerror(error));
    errno = error;
    return NULL;
}
