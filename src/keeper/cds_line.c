/* cds_line.c - see the header. Reads text, touches nothing. */
#include "cds_line.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Options of Java's launcher whose value may be the next argument. */
static const char *const with_value[] = {"-cp",
                                         "-classpath",
                                         "--class-path",
                                         "-p",
                                         "--module-path",
                                         "--upgrade-module-path",
                                         "--add-modules",
                                         "--add-opens",
                                         "--add-exports",
                                         "--add-reads",
                                         "--limit-modules",
                                         "--patch-module",
                                         "--enable-native-access",
                                         "--source"};

/* What is in the archive, and where in memory it can lie, depends on these alone: the heap's size and kind,
 * how wide a reference is, the modules. Everything else is left out; agents, JMX and log files above all,
 * which would be a second one of what Livy has. */
static const char *const wanted[] = {"-Xmx",
                                     "-XX:MaxHeapSize=",
                                     "-XX:MaxRAM",
                                     "-XX:+UseSerialGC",
                                     "-XX:-UseSerialGC",
                                     "-XX:+UseParallelGC",
                                     "-XX:-UseParallelGC",
                                     "-XX:+UseParallelOldGC",
                                     "-XX:+UseG1GC",
                                     "-XX:-UseG1GC",
                                     "-XX:+UseZGC",
                                     "-XX:+UseShenandoahGC",
                                     "-XX:+UseEpsilonGC",
                                     "-XX:+UseConcMarkSweepGC",
                                     "-XX:+ZGenerational",
                                     "-XX:-ZGenerational",
                                     "-XX:+UseCompressedOops",
                                     "-XX:-UseCompressedOops",
                                     "-XX:+UseCompressedClassPointers",
                                     "-XX:-UseCompressedClassPointers",
                                     "-XX:+UseCompactObjectHeaders",
                                     "-XX:-UseCompactObjectHeaders",
                                     "-XX:ObjectAlignmentInBytes=",
                                     "-XX:+UnlockExperimentalVMOptions",
                                     "-XX:+UnlockDiagnosticVMOptions",
                                     "-XX:+IgnoreUnrecognizedVMOptions"};
static const char *const wanted_with_value[] = {"--add-modules", "--add-opens", "--add-exports",
                                                "--add-reads", "--enable-native-access"};

#define N_OF(list) (sizeof(list) / sizeof((list)[0]))

static bool among(const char *word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, list[i]) == 0)
            return true;
    return false;
}

/* "name=value"; returns the value, NULL where the argument is not this option. */
static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static bool is_wanted(const char *argument)
{
    for (size_t i = 0; i < N_OF(wanted); i++) {
        size_t length = strlen(wanted[i]);
        bool open = wanted[i][length - 1] == '=' || i == 0 || strcmp(wanted[i], "-XX:MaxRAM") == 0;
        if (open ? strncmp(argument, wanted[i], length) == 0 : strcmp(argument, wanted[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < N_OF(wanted_with_value); i++)
        if (value_of(argument, wanted_with_value[i]) != NULL)
            return true;
    return false;
}

static bool keep(struct cds_line *line, const char *argument, const char **why)
{
    if (line->n_options == CDS_OPTIONS_MAX) {
        *why = "its Java has too many options";
        return false;
    }
    line->options[line->n_options++] = argument;
    return true;
}

static bool take(struct cds_line *line, const char *argument, const char *value, const char **why)
{
    const char *found = value_of(argument, "--class-path");

    if (found != NULL) {
        line->class_path = found;
    } else if (strcmp(argument, "-cp") == 0 || strcmp(argument, "-classpath") == 0 ||
               strcmp(argument, "--class-path") == 0) {
        line->class_path = value;
    } else if ((found = value_of(argument, "-XX:SharedArchiveFile")) != NULL) {
        line->archive = found;
    } else if (strncmp(argument, "-Xshare:", 8) == 0) {
        line->off = strcmp(argument + 8, "off") == 0;
        line->on = strcmp(argument + 8, "on") == 0;
    } else if (strncmp(argument, "-XX:AOT", 7) == 0) {
        line->aot = argument;
    } else if (is_wanted(argument)) {
        return keep(line, argument, why);
    } else if (among(argument, wanted_with_value, N_OF(wanted_with_value))) {
        return keep(line, argument, why) && keep(line, value, why);
    }
    return true;
}

static bool is_path_safe(const char *class_path, const char **why)
{
    if (class_path == NULL)
        *why = "its Java has no -cp";
    else if (strchr(class_path, '\n') != NULL)
        *why = "its class path has a line feed in it";
    else
        return true;
    return false;
}

bool cds_line_parse(const char *text, size_t size, struct cds_line *line, const char **why)
{
    const char *at, *end = text + size;

    *line = (struct cds_line){0};
    if (size == 0 || text[size - 1] != '\0') {
        *why = size == 0 ? "its command line is empty" : "its command line is too long";
        return false;
    }
    for (at = text + strlen(text) + 1; at < end; at += strlen(at) + 1) {
        const char *argument = at;
        if (argument[0] != '-') /* the main class: what follows is Livy's */
            break;
        if (strcmp(argument, "-jar") == 0) {
            line->class_path = at + strlen(at) + 1 < end ? at + strlen(at) + 1 : NULL;
            break;
        }
        if (among(argument, with_value, N_OF(with_value)) && (at += strlen(at) + 1) >= end) {
            *why = "its command line ends within an option";
            return false;
        }
        if (!take(line, argument, at, why))
            return false;
    }
    return is_path_safe(line->class_path, why);
}

const char *cds_line_environment(const char *text, size_t size)
{
    static const char *const variables[] = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"};
    static const char *const about[] = {"-XX:SharedArchiveFile", "-Xshare:", "-XX:AOT"};
    const char *end = text + size;

    if (size == 0 || text[size - 1] != '\0')
        return NULL;
    for (const char *at = text; at < end; at += strlen(at) + 1)
        for (size_t i = 0; i < N_OF(variables); i++)
            for (size_t j = 0; value_of(at, variables[i]) != NULL && j < N_OF(about); j++)
                if (strstr(at, about[j]) != NULL)
                    return at;
    return NULL;
}

bool cds_line_entry(const char **at, char *entry, size_t size)
{
    if (*at == NULL)
        return false;
    size_t length = strcspn(*at, ":");
    /* One that is too long is told as an empty one, which is no file either. */
    snprintf(entry, size, "%.*s", length < size ? (int)length : 0, *at);
    *at = (*at)[length] == ':' ? *at + length + 1 : NULL;
    return true;
}

bool cds_line_wildcard(const char *entry, char *directory, size_t size)
{
    size_t length = strlen(entry);

    if (length < 2 || length >= size || strcmp(entry + length - 2, "/*") != 0)
        return false;
    snprintf(directory, size, "%.*s", (int)(length == 2 ? 1 : length - 2), entry);
    return true;
}

bool cds_line_is_jar(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && (strcmp(name + length - 4, ".jar") == 0 || strcmp(name + length - 4, ".JAR") == 0);
}

bool cds_line_class(char *line)
{
    size_t length = strcspn(line, "\n");

    if (length == 0 || line[length] != '\n' || line[0] == '.' || line[length - 1] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c == '.')
            line[i] = '/';
        else if (!isalnum(c) && c != '_' && c != '$' && c != '-' && c < 0x80)
            return false; /* of a class's name Java allows more, of which no list of ours is made */
    }
    return true;
}

int cds_line_version(const char *release)
{
    static const char key[] = "JAVA_VERSION=\"";
    const char *at = release;

    while (at != NULL && strncmp(at, key, sizeof(key) - 1) != 0) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return 0;
    at += sizeof(key) - 1;
    if (strncmp(at, "1.", 2) == 0)
        at += 2;
    long version = strtol(at, NULL, 10);
    return version > 0 && version < 1000 ? (int)version : 0;
}

/* What HotSpot says besides, before and after the thing itself. */
static bool is_said_always(const char *line, size_t length)
{
    static const char *const always[] = {"Error occurred during initialization of VM",
                                         "An error has occurred while processing the shared archive file.",
                                         "Unable to use shared archive.",
                                         "Error: Could not create the Java Virtual Machine.",
                                         "Error: A fatal exception has occurred. Program will exit.",
                                         "OpenJDK 64-Bit Server VM warning:"};

    for (size_t i = 0; i < N_OF(always); i++)
        if (length >= strlen(always[i]) && memcmp(line, always[i], strlen(always[i])) == 0)
            return true;
    return false;
}

void cds_line_reason(const char *text, char *reason, size_t size)
{
    const char *first = NULL, *best = NULL;

    for (const char *at = text; best == NULL && *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t length = strcspn(at, "\n");
        if (length > 0 && first == NULL)
            first = at;
        if (length > 0 && !is_said_always(at, length))
            best = at;
    }
    best = best != NULL ? best : first != NULL ? first : "";
    snprintf(reason, size, "%.*s", (int)strcspn(best, "\n"), best);
    for (char *c = reason; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}
