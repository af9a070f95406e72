/* conf_value.c - one value: from text to its field in struct conf and back, by the key's type. Reads no files
 * and reports nothing itself: it says in a sentence what is wrong, and the caller says where.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_internal.h"

/* Enums are stored through an unsigned; gcc and clang make them one. */
static_assert(sizeof(enum log_level) == sizeof(unsigned), "an enum of struct conf is no unsigned");
static_assert(sizeof(enum conf_front_mode) == sizeof(unsigned), "an enum of struct conf is no unsigned");

static void *value_field(struct conf *conf, const struct conf_key *key)
{
    return (char *)conf + key->offset;
}

static const void *value_field_const(const struct conf *conf, const struct conf_key *key)
{
    return (const char *)conf + key->offset;
}

bool conf_value_is_string(const struct conf_key *key)
{
    switch (key->type) {
    case CONF_TYPE_ID:
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SOCKET:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_URL:
    case CONF_TYPE_HOSTS:
    case CONF_TYPE_ZNODE:
    case CONF_TYPE_DIGEST:
        return true;
    case CONF_TYPE_BOOL:
    case CONF_TYPE_INT:
    case CONF_TYPE_PORT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_ENUM:
        return false;
    }
    return false;
}

void conf_shown(const char *value, char shown[static CONF_SHOWN_SIZE])
{
    enum { ROOM = CONF_SHOWN_SIZE - 10 }; /* one escape, "...", a quote and the NUL after it */
    size_t used = 0;
    shown[used++] = '"';
    for (; *value != '\0' && used < ROOM; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c == 0x7f) {
            static const char hex[] = "0123456789abcdef";
            shown[used++] = '\\';
            shown[used++] = 'x';
            shown[used++] = hex[c >> 4];
            shown[used++] = hex[c & 15];
        } else {
            shown[used++] = *value;
        }
    }
    (void)snprintf(shown + used, CONF_SHOWN_SIZE - used, "%s\"", *value != '\0' ? "..." : "");
}

void conf_duration_format(int64_t ms, char *text, size_t size)
{
    static const struct {
        int64_t from, ms;
        const char *unit;
    } units[] = {
        {86400000, 86400000, "d"}, {3600000, 3600000, "h"}, {600000, 60000, "min"}, {1000, 1000, "s"}};
    if (ms == 0) {
        (void)snprintf(text, size, "0");
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ms >= units[i].from && ms % units[i].ms == 0) {
            (void)snprintf(text, size, "%" PRId64 "%s", ms / units[i].ms, units[i].unit);
            return;
        }
    }
    (void)snprintf(text, size, "%" PRId64 "ms", ms);
}

static void value_expected_enum(const struct conf_key *key, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; key->names[i] != NULL && used < size; i++) {
        const char *between = i == 0 ? "" : key->names[i + 1] == NULL ? " or " : ", ";
        int length = snprintf(text + used, size - used, "%s\"%s\"", between, key->names[i]);
        used += length > 0 ? (size_t)length : 0;
    }
}

static void value_expected_duration(const struct conf_key *key, char *text, size_t size)
{
    char low[32];
    char high[32];
    conf_duration_format(key->min, low, sizeof low);
    conf_duration_format(key->max, high, sizeof high);
    (void)snprintf(text, size, "a duration in quotes from \"%s\" to \"%s\"%s, such as \"10s\"", low, high,
                   key->zero ? ", or \"0\"" : "");
}

void conf_value_expected(const struct conf_key *key, char *text, size_t size)
{
    switch (key->type) {
    case CONF_TYPE_BOOL:
        (void)snprintf(text, size, "true or false");
        return;
    case CONF_TYPE_INT:
        (void)snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64, key->min, key->max);
        return;
    case CONF_TYPE_PORT:
        (void)snprintf(text, size, "a port from 1 to %" PRId64 "%s", key->max,
                       key->min == 0 ? " or \"off\"" : "");
        return;
    case CONF_TYPE_DURATION:
        value_expected_duration(key, text, size);
        return;
    case CONF_TYPE_ENUM:
        value_expected_enum(key, text, size);
        return;
    case CONF_TYPE_ID:
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SOCKET:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_URL:
    case CONF_TYPE_HOSTS:
    case CONF_TYPE_ZNODE:
    case CONF_TYPE_DIGEST:
        (void)snprintf(text, size, "a string in double quotes");
        return;
    }
}

static bool value_refuse(const struct conf_key *key, const char *text, const char *expected,
                         char why[static CONF_WHY_SIZE])
{
    char shown[CONF_SHOWN_SIZE];
    char usual[200];
    conf_shown(text, shown);
    if (expected == NULL) {
        conf_value_expected(key, usual, sizeof usual);
        expected = usual;
    }
    (void)snprintf(why, CONF_WHY_SIZE, "found %s, expected %s",
                   key->secret ? "a value not shown here" : shown, expected);
    return false;
}

static const char *value_check(const struct conf_key *key, const char *text)
{
    switch (key->type) {
    case CONF_TYPE_ID:
        return conf_check_id(text);
    case CONF_TYPE_PATH:
        return conf_check_path(text);
    case CONF_TYPE_SOCKET:
        return conf_check_socket(text);
    case CONF_TYPE_LISTEN:
        return conf_check_listen(text);
    case CONF_TYPE_URL:
        return conf_check_url(text);
    case CONF_TYPE_HOSTS:
        return conf_check_hosts(text);
    case CONF_TYPE_ZNODE:
        return conf_check_znode(text);
    case CONF_TYPE_DIGEST:
        return conf_check_digest(text);
    case CONF_TYPE_STRING:
    case CONF_TYPE_BOOL:
    case CONF_TYPE_INT:
    case CONF_TYPE_PORT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_ENUM:
        break;
    }
    return conf_check_string(text);
}

static void value_free(const struct conf_key *key, char *text)
{
    if (key->secret && text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
}

/* What is the same for two spellings is kept in one: no slash at the end, ":8998" for all IPv4 addresses. */
static char *value_normal(const struct conf_key *key, const char *text)
{
    char *copy = NULL;
    if (key->type == CONF_TYPE_LISTEN && text[0] == ':') {
        return asprintf(&copy, "0.0.0.0%s", text) < 0 ? NULL : copy;
    }
    copy = strdup(text);
    if (copy != NULL && (key->type == CONF_TYPE_URL || key->type == CONF_TYPE_PATH)) {
        for (size_t length = strlen(copy); length > 1 && copy[length - 1] == '/'; length--) {
            copy[length - 1] = '\0';
        }
    }
    return copy;
}

static bool value_set_string(struct conf *conf, const struct conf_key *key, const char *text,
                             char why[static CONF_WHY_SIZE])
{
    const char *expected = value_check(key, text);
    if (expected != NULL) {
        return value_refuse(key, text, expected, why);
    }
    char **field = value_field(conf, key);
    char *copy = value_normal(key, text);
    if (copy == NULL) {
        (void)snprintf(why, CONF_WHY_SIZE, "out of memory");
        return false;
    }
    value_free(key, *field);
    *field = copy;
    return true;
}

/* Digits with an optional minus, nothing before or after. */
static bool value_parse_int(const char *text, int64_t *number, const char **end)
{
    char *stop;
    if (!isdigit((unsigned char)text[text[0] == '-'])) {
        return false;
    }
    errno = 0;
    *number = strtoll(text, &stop, 10);
    *end = stop;
    return errno == 0;
}

static bool value_set_int(struct conf *conf, const struct conf_key *key, const char *text,
                          char why[static CONF_WHY_SIZE])
{
    int64_t number = 0;
    const char *end = "";
    bool off = key->type == CONF_TYPE_PORT && key->min == 0 && strcmp(text, "off") == 0;
    if (!off &&
        (!value_parse_int(text, &number, &end) || *end != '\0' || number < key->min || number > key->max)) {
        return value_refuse(key, text, NULL, why);
    }
    *(int *)value_field(conf, key) = (int)number;
    return true;
}

static bool value_set_duration(struct conf *conf, const struct conf_key *key, const char *text,
                               char why[static CONF_WHY_SIZE])
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t number;
    const char *end;
    int64_t factor = 0;
    if (!value_parse_int(text, &number, &end)) {
        return value_refuse(key, text, NULL, why);
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) == 0) {
            factor = units[i].ms;
        }
    }
    if (factor == 0 && !(number == 0 && *end == '\0')) {
        return value_refuse(key, text, "a number with one of the units ms, s, min, h, d, such as \"10s\"",
                            why);
    }
    int64_t ms;
    bool fits = !__builtin_mul_overflow(number, factor, &ms) && ms >= key->min && ms <= key->max;
    if (!fits && !(key->zero && number == 0)) {
        return value_refuse(key, text, NULL, why);
    }
    *(int64_t *)value_field(conf, key) = ms;
    return true;
}

static bool value_set_enum(struct conf *conf, const struct conf_key *key, const char *text,
                           char why[static CONF_WHY_SIZE])
{
    for (unsigned i = 0; key->names[i] != NULL; i++) {
        if (strcmp(text, key->names[i]) == 0) {
            *(unsigned *)value_field(conf, key) = i;
            return true;
        }
    }
    return value_refuse(key, text, NULL, why);
}

static bool value_set_bool(struct conf *conf, const struct conf_key *key, const char *text,
                           char why[static CONF_WHY_SIZE])
{
    bool yes = strcasecmp(text, "true") == 0;
    if (!yes && strcasecmp(text, "false") != 0) {
        return value_refuse(key, text, NULL, why);
    }
    *(bool *)value_field(conf, key) = yes;
    return true;
}

bool conf_value_set(struct conf *conf, const struct conf_key *key, const char *text,
                    char why[static CONF_WHY_SIZE])
{
    switch (key->type) {
    case CONF_TYPE_BOOL:
        return value_set_bool(conf, key, text, why);
    case CONF_TYPE_INT:
    case CONF_TYPE_PORT:
        return value_set_int(conf, key, text, why);
    case CONF_TYPE_DURATION:
        return value_set_duration(conf, key, text, why);
    case CONF_TYPE_ENUM:
        return value_set_enum(conf, key, text, why);
    case CONF_TYPE_ID:
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SOCKET:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_URL:
    case CONF_TYPE_HOSTS:
    case CONF_TYPE_ZNODE:
    case CONF_TYPE_DIGEST:
        break;
    }
    return value_set_string(conf, key, text, why);
}

char *conf_value_text(const struct conf *conf, const struct conf_key *key, bool *none)
{
    const void *field = value_field_const(conf, key);
    char text[32];
    *none = false;
    switch (key->type) {
    case CONF_TYPE_BOOL:
        return strdup(*(const bool *)field ? "true" : "false");
    case CONF_TYPE_INT:
    case CONF_TYPE_PORT:
        if (key->type == CONF_TYPE_PORT && *(const int *)field == 0) {
            return strdup("off");
        }
        (void)snprintf(text, sizeof text, "%d", *(const int *)field);
        return strdup(text);
    case CONF_TYPE_DURATION:
        conf_duration_format(*(const int64_t *)field, text, sizeof text);
        return strdup(text);
    case CONF_TYPE_ENUM:
        return strdup(key->names[*(const unsigned *)field]);
    case CONF_TYPE_ID:
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SOCKET:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_URL:
    case CONF_TYPE_HOSTS:
    case CONF_TYPE_ZNODE:
    case CONF_TYPE_DIGEST:
        break;
    }
    const char *string = *(char *const *)field;
    *none = string == NULL;
    return string == NULL ? NULL : strdup(string);
}

/* As libconfig reads a string: backslash and quote escaped. Control characters do not get this far. */
static char *value_quote(const char *text)
{
    char *quoted = malloc(2 * strlen(text) + 3);
    if (quoted == NULL) {
        return NULL;
    }
    char *out = quoted;
    *out++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            *out++ = '\\';
        }
        *out++ = *text;
    }
    *out++ = '"';
    *out = '\0';
    return quoted;
}

char *conf_value_show(const struct conf *conf, const struct conf_key *key)
{
    bool none;
    char *text = conf_value_text(conf, key, &none);
    if (none) {
        return strdup("none");
    }
    if (key->secret) {
        value_free(key, text);
        return strdup("***");
    }
    bool bare = key->type == CONF_TYPE_BOOL || key->type == CONF_TYPE_INT ||
                (key->type == CONF_TYPE_PORT && text != NULL && isdigit((unsigned char)text[0]));
    if (bare || text == NULL) {
        return text;
    }
    char *quoted = value_quote(text);
    free(text);
    return quoted;
}

bool conf_value_equal(const struct conf *a, const struct conf *b, const struct conf_key *key)
{
    bool a_none;
    bool b_none;
    char *a_text = conf_value_text(a, key, &a_none);
    char *b_text = conf_value_text(b, key, &b_none);
    bool equal =
        a_none == b_none && (a_none || (a_text != NULL && b_text != NULL && strcmp(a_text, b_text) == 0));
    value_free(key, a_text);
    value_free(key, b_text);
    return equal;
}

bool conf_value_copy(struct conf *to, const struct conf *from, const struct conf_key *key)
{
    char why[CONF_WHY_SIZE];
    bool none;
    char *text = conf_value_text(from, key, &none);
    if (none) {
        char **field = value_field(to, key);
        value_free(key, *field);
        *field = NULL;
        return true;
    }
    bool copied = text != NULL && conf_value_set(to, key, text, why);
    value_free(key, text);
    return copied;
}
