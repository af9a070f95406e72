/* conf_text.c - the configuration file and all that it includes, as one text for libconfig, with a map from
 * its lines back to files and lines.
 *
 * Done here and not by libconfig 1.5, which ends the process on an included directory, looks for relative
 * includes in the working directory, cuts numbers to 32 bits in silence, and says no more than "syntax error"
 * to 10s without quotes. Knows libconfig's words, not our keys.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf_internal.h"

enum { NESTING_LIMIT = 16, WORD_SIZE = 64 };

struct text_reader {
    struct conf_text *text;
    struct conf_report *report;
    size_t capacity;
    size_t budget;                         /* bytes that may still be read */
    unsigned line;                         /* of the text, where the next byte goes */
    char groups[NESTING_LIMIT][WORD_SIZE]; /* the names before the braces that are open */
    size_t depth;
    char word[WORD_SIZE]; /* the newest word: the key, where a number follows */
};

/* One file being read. */
struct text_file {
    const char *path;
    const char *at;
    const char *end;
    unsigned line;
    size_t index;
};

char *conf_slurp(const char *path, size_t limit, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return NULL;
    }
    char *data = malloc(limit + 2);
    size_t used = 0;
    int error = data == NULL ? ENOMEM : 0;
    while (error == 0 && used <= limit) {
        ssize_t got = read(fd, data + used, limit + 1 - used);
        if (got == 0) {
            break;
        }
        if (got > 0) {
            used += (size_t)got;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    (void)close(fd); /* Only read from: nothing can be lost. */
    if (error == 0 && used > limit) {
        error = EFBIG;
    }
    if (data != NULL && error == 0) {
        data[used] = '\0';
        *length = used;
        return data;
    }
    if (data != NULL) {
        explicit_bzero(data, used);
        free(data);
    }
    errno = error;
    return NULL;
}

static bool text_put(struct text_reader *reader, const char *bytes, size_t length)
{
    struct conf_text *text = reader->text;
    if (reader->capacity - text->length <= length) {
        size_t capacity = 2 * (reader->capacity + length) + 64;
        char *data = realloc(text->data, capacity);
        if (data == NULL) {
            conf_report_error(reader->report, "out of memory");
            return false;
        }
        text->data = data;
        reader->capacity = capacity;
    }
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
    for (size_t i = 0; i < length; i++) {
        reader->line += bytes[i] == '\n';
    }
    return true;
}

/* Hands on the next `length` bytes of the file. */
static bool text_pass(struct text_reader *reader, struct text_file *file, size_t length)
{
    if (!text_put(reader, file->at, length)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        file->line += file->at[i] == '\n';
    }
    file->at += length;
    return true;
}

/* From here on the text's lines are those of `file`, from its current one. */
static bool text_mark(struct text_reader *reader, const struct text_file *file)
{
    struct conf_text *text = reader->text;
    struct conf_span *spans = realloc(text->spans, (text->n_spans + 1) * sizeof *spans);
    if (spans == NULL) {
        conf_report_error(reader->report, "out of memory");
        return false;
    }
    text->spans = spans;
    spans[text->n_spans++] =
        (struct conf_span){.from = reader->line, .line = file->line, .file = file->index};
    return true;
}

static bool text_add_file(struct text_reader *reader, struct text_file *file)
{
    struct conf_text *text = reader->text;
    char **files = realloc(text->files, (text->n_files + 1) * sizeof *files);
    if (files != NULL) {
        text->files = files;
        files[text->n_files] = strdup(file->path);
    }
    if (files == NULL || files[text->n_files] == NULL) {
        conf_report_error(reader->report, "out of memory");
        return false;
    }
    file->index = text->n_files++;
    return text_mark(reader, file);
}

static bool text_error(struct text_reader *reader, const struct text_file *file, const char *message)
{
    conf_report_error(reader->report, "%s:%u: %s", file->path, file->line, message);
    return false;
}

/* A string, to its closing quote. */
static bool text_string(struct text_reader *reader, struct text_file *file)
{
    for (const char *c = file->at + 1; c < file->end; c++) {
        if (*c == '"') {
            return text_pass(reader, file, (size_t)(c + 1 - file->at));
        }
        if (*c == '\\') {
            c++;
            /* libconfig would end the value there without a word. */
            if (file->end - c >= 3 && strncasecmp(c, "x00", 3) == 0) {
                return text_error(reader, file, "a string holds \\x00, which no value may");
            }
        }
    }
    return text_error(reader, file, "the string that begins here is not closed: a \" is missing");
}

static bool text_comment(struct text_reader *reader, struct text_file *file)
{
    if (file->at[0] == '/' && file->at[1] == '*') {
        const char *close = memmem(file->at + 2, (size_t)(file->end - file->at - 2), "*/", 2);
        if (close == NULL) {
            return text_error(reader, file, "the comment that begins here is not closed: */ is missing");
        }
        return text_pass(reader, file, (size_t)(close + 2 - file->at));
    }
    const char *newline = memchr(file->at, '\n', (size_t)(file->end - file->at));
    return text_pass(reader, file, (size_t)((newline != NULL ? newline : file->end) - file->at));
}

static bool text_word(struct text_reader *reader, struct text_file *file)
{
    size_t length = 0;
    while (file->at + length < file->end &&
           (isalnum((unsigned char)file->at[length]) || strchr("-_*", file->at[length]) != NULL)) {
        length++;
    }
    (void)snprintf(reader->word, sizeof reader->word, "%.*s", (int)(length < WORD_SIZE ? length : WORD_SIZE),
                   file->at);
    return text_pass(reader, file, length);
}

/* "livy.kill_margin", as far as it is known here. */
static void text_key(const struct text_reader *reader, char *key, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < reader->depth && used < size; i++) {
        int length = snprintf(key + used, size - used, "%s.", reader->groups[i]);
        used += length > 0 ? (size_t)length : 0;
    }
    if (used < size) {
        (void)snprintf(key + used, size - used, "%s", reader->word);
    }
}

/* A whole number, decimal or hexadecimal, that libconfig would cut to 32 bits. */
static bool text_is_long(const char *number, long long *value)
{
    char *end;
    *value = strtoll(number, &end, strncasecmp(number, "0x", 2) == 0 ? 16 : 10);
    return *end == '\0' && (*value > INT_MAX || *value < INT_MIN);
}

/* A number; one with a unit is reported and handed on in quotes, so that the rest of the file is read too. */
static bool text_number(struct text_reader *reader, struct text_file *file)
{
    size_t length = 1;
    while (file->at + length < file->end &&
           (isalnum((unsigned char)file->at[length]) || file->at[length] == '.')) {
        length++;
    }
    char number[WORD_SIZE];
    if (length >= sizeof number) {
        return text_error(reader, file, "a number of more than 63 digits");
    }
    (void)snprintf(number, sizeof number, "%.*s", (int)length, file->at);
    size_t digits = strspn(number, "+-.0123456789");
    char quoted[WORD_SIZE + 3];
    long long value;
    if (isalpha((unsigned char)number[digits]) && strchr("eExXL", number[digits]) == NULL) {
        char key[256];
        text_key(reader, key, sizeof key);
        conf_report_error(reader->report,
                          "%s:%u: %s: found %s without quotes, expected \"%s\" in double quotes", file->path,
                          file->line, key, number, number);
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", number);
    } else if (text_is_long(number, &value)) {
        (void)snprintf(quoted, sizeof quoted, "%lldL", value);
    } else {
        return text_pass(reader, file, length);
    }
    file->at += length;
    return text_put(reader, quoted, strlen(quoted));
}

static bool text_brace(struct text_reader *reader, struct text_file *file)
{
    if (strchr("{[(", *file->at) != NULL) {
        if (reader->depth == NESTING_LIMIT) {
            return text_error(reader, file, "groups and lists nested deeper than 16 levels");
        }
        memcpy(reader->groups[reader->depth++], reader->word, sizeof reader->word);
    } else if (reader->depth > 0) {
        reader->depth--; /* One too many is libconfig's to find. */
    }
    return text_pass(reader, file, 1);
}

static bool text_file(struct text_reader *reader, const char *path, int depth);

/* A relative name is looked for beside the file that includes it. */
static char *text_include_path(const struct text_file *file, const char *name, size_t length)
{
    const char *slash = strrchr(file->path, '/');
    char *path = NULL;
    if (name[0] == '/' || slash == NULL) {
        return strndup(name, length);
    }
    return asprintf(&path, "%.*s%.*s", (int)(slash + 1 - file->path), file->path, (int)length, name) < 0
               ? NULL
               : path;
}

/* @include "path": replaced by the file, on lines of its own. */
static bool text_include(struct text_reader *reader, struct text_file *file, int depth)
{
    const char *name = file->at + strlen("@include");
    while (name < file->end && (*name == ' ' || *name == '\t')) {
        name++;
    }
    const char *close = name < file->end ? memchr(name + 1, '"', (size_t)(file->end - name - 1)) : NULL;
    const char *newline = memchr(name, '\n', (size_t)(file->end - name));
    if (close == NULL || *name != '"' || (newline != NULL && newline < close)) {
        return text_error(reader, file, "@include needs a file in double quotes: @include \"more.conf\"");
    }
    if (depth == CONF_INCLUDE_DEPTH) {
        return text_error(reader, file, "@include nested deeper than 10 files: does a file include itself?");
    }
    char *path = text_include_path(file, name + 1, (size_t)(close - name - 1));
    if (path == NULL) {
        conf_report_error(reader->report, "out of memory");
        return false;
    }
    file->at = close + 1;
    bool fine = text_put(reader, "\n", 1) && text_file(reader, path, depth + 1) &&
                text_put(reader, "\n", 1) && text_mark(reader, file);
    if (!fine) {
        conf_report_error(reader->report, "%s:%u: included %s from here", file->path, file->line, path);
    }
    free(path);
    return fine;
}

/* One token. `fresh`: nothing but blanks before it on its line. */
static bool text_token(struct text_reader *reader, struct text_file *file, bool fresh, int depth)
{
    const char *at = file->at;
    if (*at == '"') {
        return text_string(reader, file);
    }
    if (*at == '#' || (*at == '/' && (at[1] == '/' || at[1] == '*'))) {
        return text_comment(reader, file);
    }
    if (fresh && strncmp(at, "@include", strlen("@include")) == 0) {
        return text_include(reader, file, depth);
    }
    if (isalpha((unsigned char)*at) || *at == '*') {
        return text_word(reader, file);
    }
    if (isdigit((unsigned char)*at) || ((*at == '-' || *at == '+') && isdigit((unsigned char)at[1]))) {
        return text_number(reader, file);
    }
    if (strchr("{}[]()", *at) != NULL) {
        return text_brace(reader, file);
    }
    return text_pass(reader, file, 1);
}

static bool text_tokens(struct text_reader *reader, struct text_file *file, int depth)
{
    bool fresh = true;
    while (file->at < file->end) {
        char c = *file->at;
        if (!text_token(reader, file, fresh, depth)) {
            return false;
        }
        fresh = c == '\n' || (fresh && (c == ' ' || c == '\t' || c == '\r'));
    }
    return true;
}

static bool text_file(struct text_reader *reader, const char *path, int depth)
{
    size_t length;
    char *data = conf_slurp(path, reader->budget, &length);
    if (data == NULL) {
        conf_report_error(reader->report, "%s: cannot be read: %s", path,
                          errno == EFBIG ? "larger than 64 KiB with what it includes" : strerror(errno));
        return false;
    }
    reader->budget -= length;
    struct text_file file = {.path = path, .at = data, .end = data + length, .line = 1};
    const char *nul = memchr(data, '\0', length);
    bool fine = text_add_file(reader, &file);
    if (fine && nul != NULL) {
        for (const char *c = data; c < nul; c++) {
            file.line += *c == '\n';
        }
        fine = text_error(reader, &file, "a NUL byte: this is no text file");
    }
    fine = fine && text_tokens(reader, &file, depth);
    explicit_bzero(data, length); /* A password may stand in it. */
    free(data);
    return fine;
}

bool conf_text_read(struct conf_text *text, const char *path, struct conf_report *report)
{
    struct text_reader reader = {.text = text, .report = report, .budget = CONF_FILE_LIMIT, .line = 1};
    memset(text, 0, sizeof *text);
    return text_put(&reader, "", 0) && text_file(&reader, path, 0);
}

void conf_text_clear(struct conf_text *text)
{
    if (text->data != NULL) {
        explicit_bzero(text->data, text->length);
    }
    for (size_t i = 0; i < text->n_files; i++) {
        free(text->files[i]);
    }
    free(text->data);
    free(text->files);
    free(text->spans);
    memset(text, 0, sizeof *text);
}

void conf_text_where(const struct conf_text *text, unsigned line, char *where, size_t size)
{
    const struct conf_span *span = &text->spans[0];
    for (size_t i = 1; i < text->n_spans && text->spans[i].from <= line; i++) {
        span = &text->spans[i];
    }
    (void)snprintf(where, size, "%s:%u", text->files[span->file],
                   span->line + (line > span->from ? line - span->from : 0));
}
