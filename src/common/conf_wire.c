/* conf_wire.c - a loaded configuration as text, for another process of livy-ha.
 *
 *     livy-ha-conf 1
 *     host<TAB>-<TAB>node1.example.com
 *     path<TAB>-<TAB>/etc/livy-ha/livy-ha.conf
 *     front<TAB>-<TAB>forward                                       what front.mode comes to
 *     zookeeper.hosts<TAB>/etc/livy-ha/livy-ha.conf:3<TAB>h1:2181     one line a key
 *     end
 *
 * Backslash, tab and control characters are escaped, "\N" is no value, an origin of "-" is the default. The
 * writer may be an older livy-ha than the reader (USR2 replaces the elector alone), so a key that is missing
 * has its default; anything that the reader does not know is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_internal.h"
#include "livy-ha/fd.h"

#define WIRE_HEAD "livy-ha-conf 1"
#define WIRE_END "end"
#define WIRE_NONE "\\N"
#define WIRE_DEFAULT "-"
#define WIRE_REDIRECT "redirect"
#define WIRE_FORWARD "forward"
enum { WIRE_LIMIT = 1024 * 1024 };

static void wire_put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f || c == '\\') {
            (void)fprintf(out, "\\x%02x", c);
        } else {
            (void)fputc(c, out);
        }
    }
}

static void wire_put_line(FILE *out, const char *key, const char *origin, const char *value)
{
    (void)fprintf(out, "%s\t", key);
    wire_put_escaped(out, origin != NULL ? origin : WIRE_DEFAULT);
    (void)fputc('\t', out);
    if (value == NULL) {
        (void)fputs(WIRE_NONE, out);
    } else {
        wire_put_escaped(out, value);
    }
    (void)fputc('\n', out);
}

static bool wire_put_keys(FILE *out, const struct conf *conf)
{
    for (size_t i = 0; i < conf_n_keys; i++) {
        bool none;
        char *text = conf_value_text(conf, &conf_keys[i], &none);
        if (text == NULL && !none) {
            return false;
        }
        wire_put_line(out, conf_keys[i].key, conf_places(conf)[i].origin, text);
        if (text != NULL) {
            explicit_bzero(text, strlen(text));
        }
        free(text);
    }
    return true;
}

int conf_write(const struct conf *conf, int fd)
{
    char *data = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&data, &length);
    if (out == NULL) {
        return -1;
    }
    (void)fprintf(out, "%s\n", WIRE_HEAD);
    wire_put_line(out, "host", NULL, conf->host);
    wire_put_line(out, "path", NULL, conf->path);
    if (conf->front.mode_in_force != CONF_FRONT_AUTO) {
        wire_put_line(out, "front", NULL,
                      conf->front.mode_in_force == CONF_FRONT_REDIRECT ? WIRE_REDIRECT : WIRE_FORWARD);
    }
    bool complete = wire_put_keys(out, conf);
    (void)fprintf(out, "%s\n", WIRE_END);
    /* A memory stream fails for want of memory only, and keeps that in its error flag. */
    complete = ferror(out) == 0 && complete;
    complete = fclose(out) == 0 && complete;
    int result = -1;
    if (!complete) {
        errno = ENOMEM;
    } else {
        result = fd_write_all(fd, data, length);
    }
    int error = errno;
    if (data != NULL) {
        explicit_bzero(data, length);
    }
    free(data);
    errno = error;
    return result;
}

/* ---- reading ---- */

struct wire_reader {
    struct conf *conf;
    struct conf_report *report;
    unsigned line;
    bool *seen; /* a flag a key, then host and path */
};

static bool wire_refuse(const struct wire_reader *reader, const char *what)
{
    conf_report_error(
        reader->report,
        "the configuration handed over by livy-ha: line %u: %s; are both programs of one version?",
        reader->line, what);
    return false;
}

static int wire_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. False where it is not what wire_put_escaped writes. */
static bool wire_unescape(char *text)
{
    char *out = text;
    for (; *text != '\0'; text++) {
        if (*text != '\\') {
            *out++ = *text;
            continue;
        }
        int high = text[1] == 'x' ? wire_hex(text[2]) : -1;
        int low = high >= 0 ? wire_hex(text[3]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            return false;
        }
        *out++ = (char)(high * 16 + low);
        text += 3;
    }
    *out = '\0';
    return true;
}

static bool wire_take_name(struct wire_reader *reader, char **name, size_t flag, const char *value)
{
    if (reader->seen[flag]) {
        return wire_refuse(reader, "a line stands twice");
    }
    reader->seen[flag] = true;
    free(*name);
    *name = value != NULL ? strdup(value) : NULL;
    return value == NULL || *name != NULL || wire_refuse(reader, "out of memory");
}

static bool wire_take_front(struct wire_reader *reader, const char *value)
{
    if (reader->conf->front.mode_in_force != CONF_FRONT_AUTO) {
        return wire_refuse(reader, "a line stands twice");
    }
    if (strcmp(value, WIRE_REDIRECT) != 0 && strcmp(value, WIRE_FORWARD) != 0) {
        return wire_refuse(reader, "a mode of the front that is unknown");
    }
    reader->conf->front.mode_in_force =
        strcmp(value, WIRE_REDIRECT) == 0 ? CONF_FRONT_REDIRECT : CONF_FRONT_FORWARD;
    return true;
}

static bool wire_take_key(struct wire_reader *reader, size_t i, const char *origin, const char *value)
{
    struct conf_place *place = &conf_places(reader->conf)[i];
    char why[CONF_WHY_SIZE];
    if (reader->seen[i]) {
        return wire_refuse(reader, "a key stands twice");
    }
    reader->seen[i] = true;
    if (value == NULL && (!conf_value_is_string(&conf_keys[i]) || conf_keys[i].fallback != NULL)) {
        return wire_refuse(reader, "a key without a value that must have one");
    }
    if (value != NULL && !conf_value_set(reader->conf, &conf_keys[i], value, why)) {
        return wire_refuse(reader, why);
    }
    if (origin != NULL) {
        place->origin = strdup(origin);
    }
    return origin == NULL || place->origin != NULL || wire_refuse(reader, "out of memory");
}

/* "key<TAB>origin<TAB>value", without its newline. */
static bool wire_take_line(struct wire_reader *reader, char *line)
{
    char *origin = strchr(line, '\t');
    char *value = origin != NULL ? strchr(origin + 1, '\t') : NULL;
    if (value == NULL || strchr(value + 1, '\t') != NULL) {
        return wire_refuse(reader, "expected a key, its origin and its value");
    }
    *origin++ = '\0';
    *value++ = '\0';
    if (strcmp(value, WIRE_NONE) == 0) {
        value = NULL;
    }
    if (!wire_unescape(origin) || (value != NULL && !wire_unescape(value)) || *origin == '\0') {
        return wire_refuse(reader, "an escape that livy-ha does not write");
    }
    if (strcmp(line, "host") == 0 && value != NULL) {
        return wire_take_name(reader, &reader->conf->host, conf_n_keys, value);
    }
    if (strcmp(line, "path") == 0) {
        return wire_take_name(reader, &reader->conf->path, conf_n_keys + 1, value);
    }
    if (strcmp(line, "front") == 0 && value != NULL) {
        return wire_take_front(reader, value);
    }
    int row = conf_key_find(line);
    if (row < 0) {
        return wire_refuse(reader, "an unknown key");
    }
    return wire_take_key(reader, (size_t)row, strcmp(origin, WIRE_DEFAULT) == 0 ? NULL : origin, value);
}

/* What the writer did not know has its default; what it must have known is there. */
static bool wire_complete(struct wire_reader *reader)
{
    char why[CONF_WHY_SIZE];
    const struct conf *conf = reader->conf;
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (!reader->seen[i] && conf_keys[i].fallback != NULL &&
            !conf_value_set(reader->conf, &conf_keys[i], conf_keys[i].fallback, why)) {
            return wire_refuse(reader, why);
        }
    }
    if (!reader->seen[conf_n_keys] || conf->id == NULL || conf->zookeeper.hosts == NULL ||
        conf->livy.home == NULL || conf->livy.command == NULL || conf->livy.conf_dir == NULL ||
        conf->livy.log_dir == NULL || conf->front.advertise == NULL || conf->control_socket == NULL) {
        return wire_refuse(reader, "a key that every livy-ha writes is missing");
    }
    return true;
}

static bool wire_take_text(struct wire_reader *reader, char *text)
{
    for (reader->line = 1;; reader->line++) {
        char *newline = strchr(text, '\n');
        if (newline == NULL) {
            return wire_refuse(reader, "it ends too early");
        }
        *newline = '\0';
        if (reader->line == 1) {
            if (strcmp(text, WIRE_HEAD) != 0) {
                return wire_refuse(reader, "it does not begin with " WIRE_HEAD);
            }
        } else if (strcmp(text, WIRE_END) == 0) {
            return newline[1] == '\0' ? wire_complete(reader) : wire_refuse(reader, "text after its end");
        } else if (!wire_take_line(reader, text)) {
            return false;
        }
        text = newline + 1;
    }
}

static char *wire_slurp(int fd, size_t *length)
{
    /* From the start, whoever read or wrote before; a pipe has no start to go back to. */
    if (lseek(fd, 0, SEEK_SET) < 0 && errno != ESPIPE) {
        return NULL;
    }
    char *data = malloc(WIRE_LIMIT + 1);
    ssize_t got = 1;
    *length = 0;
    while (data != NULL && got > 0 && *length < WIRE_LIMIT) {
        got = read(fd, data + *length, WIRE_LIMIT - *length);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        if (got < 0) {
            int error = errno;
            free(data);
            errno = error;
            return NULL;
        }
        *length += (size_t)got;
    }
    if (data != NULL) {
        data[*length] = '\0';
    }
    return data;
}

struct conf *conf_read(int fd, struct conf_report *report)
{
    size_t length;
    char *text = wire_slurp(fd, &length);
    if (text == NULL) {
        conf_report_error(report, "the configuration handed over by livy-ha: cannot be read: %s",
                          strerror(errno));
        return NULL;
    }
    struct wire_reader reader = {.conf = conf_new(""), .report = report};
    reader.seen = calloc(conf_n_keys + 2, sizeof *reader.seen);
    bool fine = false;
    if (reader.conf == NULL || reader.seen == NULL) {
        conf_report_error(report, "out of memory");
    } else if (length == WIRE_LIMIT || memchr(text, '\0', length) != NULL) {
        fine = wire_refuse(&reader, length == WIRE_LIMIT ? "it is larger than 1 MiB" : "a NUL byte");
    } else {
        fine = wire_take_text(&reader, text);
    }
    explicit_bzero(text, length);
    free(text);
    free(reader.seen);
    if (!fine) {
        conf_free(reader.conf);
        return NULL;
    }
    return reader.conf;
}
