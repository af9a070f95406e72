/* livyend.c - see the header. What comes here is another program's output: any bytes, any length of line. */
#include "livy-ha/livyend.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct line {
    const char *at;
    size_t length;
};

struct rule {
    const char *words;
    enum livyend_why why;
};

/* Words of the exception that ends Livy's main(), and of what caused it; the first rule that fits counts. */
static const struct rule thrown[] = {
    {"UnsupportedClassVersionError", LIVYEND_JAVA},
    {"InaccessibleObjectException", LIVYEND_JAVA},
    {"SPARK_HOME", LIVYEND_SPARK},
    {"spark-submit", LIVYEND_SPARK},
    {"Unsupported Spark", LIVYEND_SPARK},
    {"Session recovery requires", LIVYEND_MASTER},
    {"Cannot write log directory", LIVYEND_LOG_DIR},
    {"Cannot assign requested address", LIVYEND_ADDRESS},
    {"BindException", LIVYEND_PORT},
    {"Failed to bind to", LIVYEND_PORT},
    {"Unsupported recovery mode", LIVYEND_SETTING},
    {"Unsupported state store", LIVYEND_SETTING},
    {"Please config", LIVYEND_SETTING},
    {"retry-policy", LIVYEND_SETTING},
    {"retry policy", LIVYEND_SETTING},
    {"OutOfMemoryError", LIVYEND_MEMORY},
    {"ConnectionLoss", LIVYEND_STORE},
    {"KeeperErrorCode", LIVYEND_STORE},
    {"UnknownHostException", LIVYEND_STORE},
    {"failed on connection exception", LIVYEND_STORE},
    {"SafeModeException", LIVYEND_STORE},
};

/* What is said outside of such an exception; the last line that fits counts. */
static const struct rule said[] = {
    {"Fatal Zookeeper error. Shutting down", LIVYEND_ZOOKEEPER},
    {"Failed to run kinit", LIVYEND_KERBEROS},
    {"java.lang.OutOfMemoryError", LIVYEND_MEMORY},
    {"insufficient memory for the Java Runtime", LIVYEND_MEMORY},
    {"Could not reserve enough space", LIVYEND_MEMORY},
    {"UnsupportedClassVersionError", LIVYEND_JAVA},
    {"JAVA_HOME is not set", LIVYEND_JAVA},
    {"/java: not found", LIVYEND_JAVA},
    {"java: command not found", LIVYEND_JAVA},
    {"/java: No such file or directory", LIVYEND_JAVA},
    {"/java: cannot execute", LIVYEND_JAVA},
    {"/java: Permission denied", LIVYEND_JAVA},
    {"java: not found", LIVYEND_JAVA},
    {"Unrecognized VM option", LIVYEND_JAVA},
    {"Unrecognized option:", LIVYEND_JAVA},
    {"Could not find Livy jars directory", LIVYEND_INSTALL},
    {"Could not find or load main class", LIVYEND_INSTALL},
};

/* Case ignored: ZooKeeper's client has changed its spelling between 3.4 and 3.5. In small letters here. */
static const struct {
    const char *words;
    bool waits;
} signs[] = {
    {"opening socket connection to server", true},
    {"attempting reconnect", true},
    {"connection timed out for connection string", true},
    {"client session timed out", true},
    {"state change: suspended", true},
    {"state change: lost", true},
    {"session establishment complete", false},
    {"state change: connected", false},
    {"state change: reconnected", false},
    {"recovered ", false},
};

/* The next line, without its end. False: there is none. */
static bool next_line(const char **at, const char *end, struct line *line)
{
    if (*at >= end)
        return false;
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    const char *stop = newline != NULL ? newline : end;

    *line = (struct line){.at = *at, .length = (size_t)(stop - *at)};
    *at = newline != NULL ? newline + 1 : end;
    return true;
}

static bool has(const struct line *line, const char *words)
{
    return memmem(line->at, line->length, words, strlen(words)) != NULL;
}

static bool has_any_case(const struct line *line, const char *words)
{
    size_t length = strlen(words);

    for (size_t i = 0; i + length <= line->length; i++)
        if (tolower((unsigned char)line->at[i]) == words[0] && strncasecmp(line->at + i, words, length) == 0)
            return true;
    return false;
}

static bool begins(const struct line *line, const char *words)
{
    return line->length >= strlen(words) && memcmp(line->at, words, strlen(words)) == 0;
}

static bool blank(const struct line *line)
{
    for (size_t i = 0; i < line->length; i++)
        if (line->at[i] > ' ')
            return false;
    return true;
}

/* "\tat …", "\t... 9 more" */
static bool frame(const struct line *line)
{
    return begins(line, "\tat ") || begins(line, "\t...") || begins(line, "    at ");
}

static enum livyend_why apply(const struct rule *rules, size_t n, const struct line *line)
{
    for (size_t i = 0; i < n; i++)
        if (has(line, rules[i].words))
            return rules[i].why;
    return LIVYEND_UNKNOWN;
}

/* The text of `password=x`, `token: x` and the like is nobody's to read: a history is open to all. */
static void mask(char *text)
{
    static const char *const secrets[] = {"password", "passwd", "secret", "token", "credential"};

    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        for (char *at = text; (at = strcasestr(at, secrets[i])) != NULL;) {
            at += strlen(secrets[i]);
            char *value = strpbrk(at, "=:");
            if (value == NULL)
                break;
            for (value += strspn(value, "=: "); *value > ' ' && *value != ','; value++)
                *value = '*';
            at = value;
        }
    }
}

/* One line of printable ASCII: what is not of it becomes one '?', a tab a blank. */
static void keep(struct livyend *end, const struct line *line)
{
    static const char main_thrown[] = "Exception in thread \"main\" ", caused[] = "Caused by: ";
    const char *at = line->at;
    size_t left = line->length, used = 0;
    const char *prefixes[] = {main_thrown, caused};

    for (size_t i = 0; i < 2; i++) {
        struct line rest = {.at = at, .length = left};
        if (!begins(&rest, prefixes[i]))
            continue;
        at += strlen(prefixes[i]);
        left -= strlen(prefixes[i]);
    }
    for (; left > 0 && used < sizeof(end->line) - 1; at++, left--) {
        unsigned char c = (unsigned char)*at;
        if (c == '\r' || (c & 0xc0) == 0x80) /* the rest of a character of several bytes */
            continue;
        end->line[used++] = (char)(c == '\t' ? ' ' : c < ' ' || c >= 0x7f ? '?' : c);
    }
    while (used > 0 && end->line[used - 1] == ' ')
        used--;
    end->line[used] = '\0';
    mask(end->line);
}

/* The last exception that has left main(): its own line and those of its causes. False: there is none. */
static bool read_thrown(const char *text, size_t size, struct livyend *end)
{
    const char *at = text, *stop = text + size;
    struct line line;
    bool inside = false, any = false;

    while (next_line(&at, stop, &line)) {
        bool first = begins(&line, "Exception in thread \"main\"");
        if (first)
            *end = (struct livyend){0};
        inside = first || (inside && (frame(&line) || begins(&line, "Caused by: ")));
        any = any || first;
        if (!inside || frame(&line))
            continue;
        enum livyend_why why = apply(thrown, sizeof(thrown) / sizeof(thrown[0]), &line);
        if (why != LIVYEND_UNKNOWN ||
            end->why == LIVYEND_UNKNOWN) { /* the last cause is nearest to the truth */
            end->why = why;
            keep(end, &line);
        }
    }
    return any;
}

/* What else it may have said, or the last line that has the look of an error, or the last one of all. */
static void read_said(const char *text, size_t size, struct livyend *end)
{
    const char *at = text, *stop = text + size;
    struct line line;
    bool error = false;

    while (next_line(&at, stop, &line)) {
        enum livyend_why why = apply(said, sizeof(said) / sizeof(said[0]), &line);
        bool looks = has(&line, " ERROR ") || has(&line, "Error: ") || has(&line, "Exception: ");
        if (has(&line, "LineBufferedStream")) /* what spark-submit has said */
            continue;
        if (blank(&line) || frame(&line) || (why == LIVYEND_UNKNOWN && end->why != LIVYEND_UNKNOWN))
            continue;
        if (why == LIVYEND_UNKNOWN && error && !looks)
            continue;
        end->why = why;
        error = error || looks;
        keep(end, &line);
    }
}

void livyend_read(const char *text, size_t size, struct livyend *end)
{
    *end = (struct livyend){0};
    if (read_thrown(text, size, end) && end->why != LIVYEND_UNKNOWN)
        return;
    struct livyend other = {0};
    read_said(text, size, &other);
    if (end->line[0] == '\0' || other.why != LIVYEND_UNKNOWN)
        *end = other;
}

static const char *cause(enum livyend_why why)
{
    switch (why) {
    case LIVYEND_UNKNOWN:
    case LIVYEND_WHYS:
        return "";
    case LIVYEND_SPARK:
        return "no usable Spark: set SPARK_HOME in livy-env.sh or in the daemon's environment";
    case LIVYEND_JAVA:
        return "the wrong Java, or none: set JAVA_HOME, and the options in livy-env.sh that it takes";
    case LIVYEND_PORT:
        return "its port is taken: stop what listens there (ss -ltnp), or set livy.port";
    case LIVYEND_ADDRESS:
        return "livy.server.host is no address of this host: mend it in livy.conf";
    case LIVYEND_STORE:
        return "its state store is not to be reached: look at it, and at livy.state_store_url";
    case LIVYEND_MASTER:
        return "recovery needs YARN: set livy.spark.master in livy.conf";
    case LIVYEND_LOG_DIR:
        return "no log directory: let livy.log_dir (LIVY_LOG_DIR in livy-env.sh) be one it may write to";
    case LIVYEND_SETTING:
        return "a recovery setting of livy.conf is wrong: mend it there";
    case LIVYEND_INSTALL:
        return "Livy's jars are not there: look at livy.home";
    case LIVYEND_KERBEROS:
        return "kinit fails: look at keytab and principal in livy.conf";
    case LIVYEND_MEMORY:
        return "out of memory: look at -Xmx in livy-env.sh, and at the host's memory";
    case LIVYEND_ZOOKEEPER:
        return "it ends itself, as its ZooKeeper is away: look there, and at livy.state_store_url";
    case LIVYEND_UNHELD:
        return "it cannot be held: it is started cold";
    }
    return "";
}

void livyend_text(const struct livyend *end, char text[static LIVYEND_TEXT_SIZE])
{
    const char *what = cause(end->why);

    if (what[0] != '\0' && end->line[0] != '\0')
        (void)snprintf(text, LIVYEND_TEXT_SIZE, "%s (Livy: %s)", what, end->line);
    else if (end->line[0] != '\0')
        (void)snprintf(text, LIVYEND_TEXT_SIZE, "Livy's last words: %s", end->line);
    else
        (void)snprintf(text, LIVYEND_TEXT_SIZE, "%s", what);
}

bool livyend_waits(const char *text, size_t size)
{
    const char *at = text, *stop = text + size;
    struct line line;
    bool waits = false;

    while (next_line(&at, stop, &line))
        for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
            if (has_any_case(&line, signs[i].words))
                waits = signs[i].waits;
    return waits;
}
