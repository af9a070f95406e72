/* cds_fit.c - see the header. Writes below runtime_dir/class-data alone. */
#include "cds_fit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cds_line.h"
#include "child_internal.h"
#include "livy-ha/fd.h"
#include "livy-ha/log.h"

#define FIRST_LINE "livy-ha class data 2\n"
#define CHECK_WITHIN 2000          /* ms */
#define JARS_MAX 10000             /* of one directory; a Livy has some 300 */
#define TEXT_MAX (8 << 20)         /* bytes of our own file, which lies on a disk */
#define UNSAFE " \t\"'$`\\;&|<>()" /* in a word of livy-env.sh that bin/livy-server leaves unquoted */

/* ---- the text ------------------------------------------------------------------------------------------ */

/* "INODE SIZE TIME PATH\n"; where a link leads counts, for that is what Java reads. */
static void put_file(FILE *out, int dir, const char *name, const char *shown)
{
    struct stat st;

    if (fstatat(dir, name, &st, 0) == 0)
        fprintf(out, "%" PRIu64 " %" PRId64 " %" PRId64 ".%09ld %s\n", (uint64_t)st.st_ino,
                (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, shown);
    else
        fprintf(out, "- - - %s\n", shown);
}

/* In the directory's own order, which is the one in which Java's launcher puts them on the class path. */
static void put_jars(FILE *out, const char *path)
{
    char shown[PATH_MAX + NAME_MAX + 2];
    struct dirent *entry;
    int left = JARS_MAX;
    DIR *dir = opendir(path);

    if (dir == NULL) {
        fprintf(out, "- - - %s\n", path);
        return;
    }
    while ((entry = readdir(dir)) != NULL && left-- > 0) {
        if (!cds_line_is_jar(entry->d_name))
            continue;
        snprintf(shown, sizeof(shown), "%s/%s", path, entry->d_name);
        put_file(out, dirfd(dir), entry->d_name, shown);
    }
    closedir(dir);
}

/* Options for Java that are in no file: not in words, as there may be a password among them. */
static uint64_t options_of_environment(void)
{
    static const char *const names[] = {"LIVY_SERVER_JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS",
                                        "_JAVA_OPTIONS"};
    uint64_t hash = 14695981039346656037U;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        for (const char *c = value != NULL ? value : ""; *c != '\0'; c++) /* FNV-1a */
            hash = (hash ^ (unsigned char)*c) * 1099511628211U;
        hash = (hash ^ (unsigned char)'\n') * 1099511628211U;
    }
    return hash;
}

static void put_all(FILE *out, const struct conf *conf, const struct cds_inputs *inputs, int directory)
{
    char path[PATH_MAX];
    const char *home = getenv("JAVA_HOME"), *at = inputs->path;

    fprintf(out, FIRST_LINE "java %s\njvm %s\npath %s\nhome %s\noptions %016" PRIx64 "\n", inputs->java,
            inputs->jvm, inputs->path, home != NULL ? home : "", options_of_environment());
    put_file(out, AT_FDCWD, inputs->java, inputs->java);
    put_file(out, AT_FDCWD, inputs->jvm, inputs->jvm);
    snprintf(path, sizeof(path), "%s/livy-env.sh", conf->livy.conf_dir);
    put_file(out, AT_FDCWD, path, path);
    while (cds_line_entry(&at, path, sizeof(path))) {
        char jars[PATH_MAX];
        if (cds_line_wildcard(path, jars, sizeof(jars)))
            put_jars(out, jars);
        else
            put_file(out, AT_FDCWD, path, path);
    }
    if (directory >= 0)
        put_file(out, directory, CDS_ARCHIVE, CDS_ARCHIVE);
}

char *cds_fit_describe(const struct conf *conf, const struct cds_inputs *inputs, int directory, char *why,
                       size_t size)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out != NULL) {
        put_all(out, conf, inputs, directory);
        bool bad = ferror(out) != 0;
        if (fclose(out) == 0 && !bad && length <= TEXT_MAX)
            return text;
    }
    free(text);
    snprintf(why, size, "what it is made of could not be written down: out of memory");
    return NULL;
}

/* "WORD value\n" at `at`; returns what follows, or NULL. */
static const char *take_line(const char *at, const char *word, char *value, size_t size)
{
    size_t length = strlen(word);

    if (at == NULL || strncmp(at, word, length) != 0 || at[length] != ' ')
        return NULL;
    at += length + 1;
    length = strcspn(at, "\n");
    if (at[length] != '\n' || length == 0 || length >= size)
        return NULL;
    memcpy(value, at, length);
    value[length] = '\0';
    return at + length + 1;
}

bool cds_fit_inputs(const char *text, struct cds_inputs *inputs)
{
    const char *at = text;

    if (strncmp(at, FIRST_LINE, sizeof(FIRST_LINE) - 1) != 0)
        return false;
    at = take_line(at + sizeof(FIRST_LINE) - 1, "java", inputs->java, sizeof(inputs->java));
    at = take_line(at, "jvm", inputs->jvm, sizeof(inputs->jvm));
    return take_line(at, "path", inputs->path, sizeof(inputs->path)) != NULL;
}

/* The name in a line: what follows its three numbers. */
static const char *file_of(const char *line)
{
    for (int i = 0; i < 3; i++) {
        size_t length = strcspn(line, " \n");
        if (line[length] != ' ')
            return NULL;
        line += length + 1;
    }
    return line;
}

static bool has_file(const char *text, const char *file)
{
    size_t length = strcspn(file, "\n");

    for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
        const char *own = file_of(text);
        if (own != NULL && strcspn(own, "\n") == length && memcmp(own, file, length) == 0)
            return true;
    }
    return false;
}

static void say_file(char *what, size_t size, const char *file, const char *verb)
{
    snprintf(what, size, "%.*s %s", (int)strcspn(file, "\n"), file, verb);
}

bool cds_fit_differs(const char *before, const char *now, char *what, size_t size)
{
    const char *a = before, *b = now;

    if (strcmp(before, now) == 0)
        return false;
    for (size_t length; *a != '\0' && *b != '\0'; a += length, b += length) {
        length = strcspn(a, "\n") + 1;
        if (strncmp(a, b, length) != 0)
            break;
    }
    const char *old = file_of(a), *new = file_of(b);
    if (strncmp(a, "home ", 5) == 0)
        snprintf(what, size, "JAVA_HOME is another one");
    else if (strncmp(a, "options ", 8) == 0)
        snprintf(what, size, "the options for Java in the daemon's environment are other ones");
    else if (old != NULL && !has_file(now, old))
        say_file(what, size, old, "is gone");
    else if (new != NULL && !has_file(before, new))
        say_file(what, size, new, "is new");
    else if (old != NULL && new != NULL && strcspn(old, "\n") == strcspn(new, "\n") &&
             strncmp(old, new, strcspn(old, "\n")) == 0)
        say_file(what, size, old, "has changed");
    else
        snprintf(what, size, "the order of the class path is another one");
    return true;
}

/* ---- the files ----------------------------------------------------------------------------------------- */

int cds_fit_open(const struct conf *conf, bool make, char *why, size_t size)
{
    char path[PATH_MAX];
    struct stat st;

    why[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/" CDS_DIRECTORY, conf->runtime_dir) >= (int)sizeof(path) ||
        strpbrk(path, UNSAFE) != NULL) {
        snprintf(why, size,
                 "runtime_dir is too long, or has characters in it that a shell takes for its own");
        return -1;
    }
    int fd = -1;
    if (!make || mkdir(path, 0700) == 0 || errno == EEXIST)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (make || errno != ENOENT)
            snprintf(why, size, "%.150s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return fd;
    snprintf(why, size, "%.150s is not this user's own: remove it", path);
    close(fd);
    return -1;
}

/* A file of ours, whole, malloc'ed; NULL with errno. */
static char *read_own(int directory, const char *name)
{
    struct stat st;
    char *text = NULL;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size <= TEXT_MAX &&
        (text = calloc(1, (size_t)st.st_size + 1)) != NULL &&
        read(fd, text, (size_t)st.st_size) != (ssize_t)st.st_size) {
        free(text);
        text = NULL;
    }
    close(fd);
    errno = EINVAL;
    return text;
}

static bool archive_is_ours(int directory)
{
    struct stat st;
    return fstatat(directory, CDS_ARCHIVE, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_uid == geteuid();
}

enum cds_fit cds_fit_check(const struct conf *conf, int directory, char *why, size_t size)
{
    struct cds_inputs *inputs = malloc(sizeof(*inputs));
    char *before = read_own(directory, CDS_FIT), *now = NULL;
    enum cds_fit fit = CDS_FIT_NOT;

    why[0] = '\0';
    if (before == NULL)
        fit = errno == ENOENT ? CDS_FIT_NONE : CDS_FIT_NOT;
    if (fit == CDS_FIT_NOT &&
        (before == NULL || inputs == NULL || !archive_is_ours(directory) || !cds_fit_inputs(before, inputs)))
        snprintf(why, size, "it is none of ours, or incomplete");
    else if (fit == CDS_FIT_NOT && (now = cds_fit_describe(conf, inputs, directory, why, size)) != NULL &&
             !cds_fit_differs(before, now, why, size))
        fit = CDS_FIT_GOOD;
    free(inputs);
    free(before);
    free(now);
    return fit;
}

int cds_fit_write(int directory, const char *text)
{
    if (unlinkat(directory, CDS_FIT CDS_FRESH, 0) != 0 && errno != ENOENT)
        return -1;
    int fd = openat(directory, CDS_FIT CDS_FRESH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int rc = fd_write_all(fd, text, strlen(text));
    if (close(fd) != 0 || rc != 0)
        return -1;
    return renameat(directory, CDS_FIT CDS_FRESH, directory, CDS_FIT);
}

int cds_fit_begin(int directory)
{
    struct stat st;
    int fd = openat(directory, CDS_BEGUN, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    int before = fstat(fd, &st) == 0 && st.st_size < 100 ? (int)st.st_size : 100;
    int rc = before < CDS_FAILURES ? fd_write_all(fd, "+", 1) : 0;
    close(fd);
    return rc == 0 ? before : -1;
}

void cds_fit_ended(int directory)
{
    (void)unlinkat(directory, CDS_BEGUN, 0);
}

void cds_fit_drop(int directory)
{
    /* The text first: without it the rest is nothing. */
    static const char *const names[] = {CDS_FIT, CDS_ARCHIVE, CDS_FIT CDS_FRESH, CDS_ARCHIVE CDS_FRESH};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unlinkat(directory, names[i], 0) != 0 && errno != ENOENT)
            log_warn("class data: %s/%s cannot be removed: %s", CDS_DIRECTORY, names[i], strerror(errno));
}

struct verdict {
    enum cds_fit fit;
    char why[CDS_REASON_SIZE];
};

__attribute__((noreturn)) static void tell_verdict(const struct conf *conf, int directory, int out,
                                                   pid_t parent)
{
    struct verdict verdict = {0};

    (void)dup2(directory, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    child_close_from(STDERR_FILENO + 1); /* of Livy's child: nobody's end of file waits for this one */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    verdict.fit = cds_fit_check(conf, STDIN_FILENO, verdict.why, sizeof(verdict.why));
    _exit(write(STDOUT_FILENO, &verdict, sizeof(verdict)) == (ssize_t)sizeof(verdict) ? 0 : 1);
}

/* By a child, which is not waited for any longer. */
static enum cds_fit check_within(const struct conf *conf, int directory, char *why, size_t size)
{
    struct verdict verdict = {.fit = CDS_FIT_UNKNOWN};
    int ends[2] = {-1, -1};
    pid_t self = getpid(), pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    struct pollfd answer = {.fd = ends[0], .events = POLLIN};

    if (pid == 0)
        tell_verdict(conf, directory, ends[1], self);
    snprintf(verdict.why, sizeof(verdict.why), "%s", pid < 0 ? strerror(errno) : "its files do not answer");
    if (ends[1] >= 0)
        close(ends[1]);
    struct verdict heard;
    if (pid > 0 && poll(&answer, 1, CHECK_WITHIN) == 1 &&
        read(ends[0], &heard, sizeof(heard)) == (ssize_t)sizeof(heard))
        verdict = heard;
    if (ends[0] >= 0)
        close(ends[0]);
    if (pid > 0) {
        kill(pid, SIGKILL);
        for (int i = 0; i < 50 && waitpid(pid, NULL, WNOHANG) == 0; i++)
            (void)poll(NULL, 0, 1); /* one that hangs in the kernel is left behind */
    }
    snprintf(why, size, "%s", verdict.why);
    return verdict.fit;
}

void cds_fit_option(const struct conf *conf, enum cds_use use, char *option, size_t size)
{
    char why[CDS_REASON_SIZE];
    int directory = use != CDS_USE_NOT ? cds_fit_open(conf, false, why, sizeof(why)) : -1;

    option[0] = '\0';
    if (directory < 0) {
        if (use != CDS_USE_NOT && why[0] != '\0')
            log_warn("class data: %s: Livy is started without", why);
        return;
    }
    enum cds_fit fit = use == CDS_USE ? check_within(conf, directory, why, sizeof(why)) : CDS_FIT_NONE;
    /* Unlocked, as a Java 8 that has come in the place of a later one ends itself where it is not. */
    if (fit == CDS_FIT_GOOD)
        snprintf(option, size,
                 "-XX:+UnlockDiagnosticVMOptions -XX:SharedArchiveFile=%s/" CDS_DIRECTORY "/" CDS_ARCHIVE " ",
                 conf->runtime_dir);
    else if (fit == CDS_FIT_UNKNOWN)
        log_warn("class data is not used: whether it fits is not known (%s): Livy is started without", why);
    else if (fit == CDS_FIT_NOT)
        log_info(
            "class data ready -> unfit: %s: Livy is started without, and it is made anew once that serves",
            why);
    if (fit == CDS_FIT_NOT || use == CDS_DROP)
        cds_fit_drop(directory);
    close(directory);
}
