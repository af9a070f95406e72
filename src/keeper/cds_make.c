/* cds_make.c - see the header. Runs in a child of its own, so it may block, allocate and use stdio. */
#include "cds_make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cds_fit.h"
#include "cds_line.h"
#include "child_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#define OUT_FD 3
#define LIVY_FD 4
#define CMDLINE_MAX (1 << 20)
#define OUTPUT_MAX 65536
#define CLASSES_MAX 100000
#define FILE_LEAST (16LL << 20) /* of an archive: HotSpot's own is 13 MB */
#define FILE_MOST (512LL << 20)
#define IO_LAST (2 << 13 | 7) /* ioprio_set(2): best effort, the last of it */
/* A tenth of a busy processor. With 19, what takes 4 s on a host that has nothing else to do takes minutes on
 * one that is busy; and less than the elector's or Livy's own threads get is this in any case. */
#define NICE 10

struct making {
    const struct conf *conf;
    enum cds_use use;
    pid_t livy;
    int64_t began;
    int directory;
    long long room; /* bytes that the archive may have */
    char *cmdline;  /* of which `line` is a part */
    char *environment;
    struct cds_line line;
    struct cds_inputs inputs;
    char archive[PATH_MAX]; /* as Livy is told its name */
    bool mapped;            /* Livy has the archive in its memory */
    struct cds_answer answer;
};

/* Always false, for `return cannot(…)`. */
static bool end(struct making *m, enum cds_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool end(struct making *m, enum cds_outcome outcome, const char *format, ...)
{
    va_list arguments;

    m->answer.outcome = outcome;
    va_start(arguments, format);
    (void)vsnprintf(m->answer.text, sizeof(m->answer.text), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- what Livy's JVM is -------------------------------------------------------------------------------- */

static FILE *open_proc(pid_t pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return fopen(path, "re");
}

/* All of it, malloc'ed, of one that takes less than CMDLINE_MAX. */
static bool read_proc(struct making *m, const char *name, char **text, size_t *length)
{
    FILE *file = open_proc(m->livy, name);

    *text = malloc(CMDLINE_MAX);
    *length = file != NULL && *text != NULL ? fread(*text, 1, CMDLINE_MAX, file) : 0;
    if (file != NULL)
        fclose(file);
    return *length > 0 && *length < CMDLINE_MAX;
}

/* One line of maps: the path is its sixth word. */
static void read_map(struct making *m, const char *line)
{
    const char *path = strchr(line, '/');
    size_t length = path != NULL ? strlen(path) : 0;

    if (path == NULL)
        return;
    size_t own = strlen(m->archive);
    if (strncmp(path, m->archive, own) == 0 && (path[own] == '\0' || strcmp(path + own, " (deleted)") == 0))
        m->mapped = true;
    if (length > 10 && length < sizeof(m->inputs.jvm) && strcmp(path + length - 10, "/libjvm.so") == 0)
        memcpy(m->inputs.jvm, path, length + 1);
}

static bool read_maps(struct making *m)
{
    char line[PATH_MAX + 256];
    FILE *file = open_proc(m->livy, "maps");

    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        read_map(m, line);
    }
    bool whole = ferror(file) == 0;
    fclose(file);
    return whole;
}

static bool read_java(struct making *m)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)m->livy);
    ssize_t n = readlink(link, m->inputs.java, sizeof(m->inputs.java) - 1);
    m->inputs.java[n > 0 ? n : 0] = '\0';
    return n > 0 && n < (ssize_t)sizeof(m->inputs.java) - 1;
}

/* As the kernel names the files of a process: without links. */
static void name_archive(struct making *m, char *told, size_t size)
{
    char real[PATH_MAX];

    snprintf(told, size, "%s/" CDS_DIRECTORY "/" CDS_ARCHIVE, m->conf->runtime_dir);
    snprintf(m->archive, sizeof(m->archive), "%s",
             realpath(m->conf->runtime_dir, real) != NULL ? real : m->conf->runtime_dir);
    size_t length = strlen(m->archive);
    snprintf(m->archive + length, sizeof(m->archive) - length, "/" CDS_DIRECTORY "/" CDS_ARCHIVE);
}

/* The archives that the class path begins with: HotSpot takes no directory, and what is behind the first one
 * needs not be in the archive. */
static bool take_path(struct making *m)
{
    char entry[PATH_MAX], directory[PATH_MAX];
    const char *at = m->line.class_path, *first = at;
    size_t length = 0;
    struct stat st;

    while (cds_line_entry(&at, entry, sizeof(entry))) {
        bool wildcard = cds_line_wildcard(entry, directory, sizeof(directory));
        if (entry[0] != '/' || stat(wildcard ? directory : entry, &st) != 0 ||
            !(wildcard ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode)))
            break;
        length = (size_t)((at != NULL ? at - 1 : first + strlen(first)) - first);
    }
    if (length == 0)
        return end(m, CDS_OUTCOME_CANNOT,
                   "Livy's class path begins with \"%.120s\", which is no jar (nor a DIRECTORY/* of jars)",
                   entry);
    if (length >= sizeof(m->inputs.path))
        return end(m, CDS_OUTCOME_CANNOT, "Livy's class path is too long");
    snprintf(m->inputs.path, sizeof(m->inputs.path), "%.*s", (int)length, first);
    return true;
}

static bool look(struct making *m, char *told, size_t size)
{
    struct pollfd ended = {.fd = LIVY_FD, .events = POLLIN};
    const char *why = NULL, *base;
    size_t length = 0, more = 0;

    name_archive(m, told, size);
    bool read = read_java(m) && read_maps(m) && read_proc(m, "cmdline", &m->cmdline, &length) &&
                read_proc(m, "environ", &m->environment, &more);
    int error = errno;
    if (poll(&ended, 1, 0) != 0) /* then its number in /proc may be another's */
        return end(m, CDS_OUTCOME_FAILED, "the Livy that served has ended");
    if (!read)
        return end(m, CDS_OUTCOME_FAILED, "Livy's process cannot be looked at: %s", strerror(error));
    base = strrchr(m->inputs.java, '/');
    if (base == NULL || strcmp(base, "/java") != 0 || m->inputs.jvm[0] == '\0')
        return end(m, CDS_OUTCOME_CANNOT, "Livy runs by %.120s, which is no Java that is still there",
                   m->inputs.java);
    if (!cds_line_parse(m->cmdline, length, &m->line, &why))
        return end(m, CDS_OUTCOME_CANNOT, "%s", why);
    if (m->line.off || m->line.on)
        return end(m, CDS_OUTCOME_CANNOT, "Livy's Java has -Xshare:%s", m->line.off ? "off" : "on");
    if (m->line.aot != NULL)
        return end(m, CDS_OUTCOME_CANNOT, "Livy's Java has %.120s, which goes with no archive of ours",
                   m->line.aot);
    const char *variable = cds_line_environment(m->environment, more);
    if (variable != NULL)
        return end(m, CDS_OUTCOME_CANNOT, "Livy's Java is told about archives by %.160s", variable);
    if (m->line.archive != NULL && strcmp(m->line.archive, told) != 0)
        return end(m, CDS_OUTCOME_CANNOT,
                   "Livy's Java has an archive of its own, -XX:SharedArchiveFile=%.120s", m->line.archive);
    return take_path(m);
}

/* From Java 11 on: before that, it takes no classes of an application, or takes more options to do so. */
static bool version_is_good(struct making *m)
{
    char path[PATH_MAX + 16], text[4096];

    snprintf(path, sizeof(path), "%s", m->inputs.java);
    for (int i = 0; i < 2; i++) /* JAVA_HOME/bin/java */
        *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/release");
    FILE *file = fopen(path, "re");
    size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    text[n] = '\0';
    int version = cds_line_version(text);
    if (version == 0 || version >= 11) /* unknown: the trial tells */
        return true;
    return end(m, CDS_OUTCOME_CANNOT, "Livy's Java is version %d, and it takes 11 or newer", version);
}

/* ---- running Java -------------------------------------------------------------------------------------- */

int cds_make_list(const char *path)
{
    char name[1024];
    FILE *in = fopen(path, "re");
    int fd = in != NULL ? memfd_create("livy-ha-classes", MFD_CLOEXEC) : -1;
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;

    for (int i = 0; out != NULL && i < CLASSES_MAX && fgets(name, sizeof(name), in) != NULL; i++)
        if (cds_line_class(name))
            fputs(name, out);
    bool good = out != NULL && ferror(in) == 0;
    if (out == NULL && copy >= 0)
        close(copy);
    if (out != NULL && fclose(out) != 0)
        good = false;
    if (in != NULL)
        fclose(in);
    if (good && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void set_limit(int which, rlim_t most)
{
    struct rlimit limit;

    if (getrlimit(which, &limit) == 0 && limit.rlim_max > most)
        limit.rlim_max = most;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(which, &limit);
}

/* Nothing of Livy's or the daemon's own: an option of JAVA_TOOL_OPTIONS would be in it as well. */
static int clean_environment(void)
{
    static const char *const kept[] = {"PATH", "HOME", "LD_LIBRARY_PATH", "TZ"};
    const char *values[4];

    for (size_t i = 0; i < 4; i++)
        values[i] = getenv(kept[i]);
    environ = NULL; /* not clearenv: what the values point to stays */
    for (size_t i = 0; i < 4; i++)
        if (values[i] != NULL && setenv(kept[i], values[i], 1) != 0)
            return -1;
    return 0;
}

__attribute__((noreturn)) static void become_java(const struct making *m, char *const argv[], pid_t parent,
                                                  int list, int output)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || clean_environment() != 0 ||
        fchdir(m->directory) != 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    umask(0177);
    set_limit(RLIMIT_FSIZE, (rlim_t)m->room);
    set_limit(RLIMIT_CORE, 0);
    if (dup2(list, OUT_FD) < 0 || child_cloexec_from(OUT_FD + 1) != 0)
        _exit(126);
    execv(m->inputs.java, argv);
    (void)!write(STDERR_FILENO, strerror(errno), strlen(strerror(errno)));
    _exit(127);
}

/* What it wrote. */
static void read_output(int fd, char *reason, size_t size)
{
    char *text = calloc(1, OUTPUT_MAX);
    ssize_t n = text != NULL ? pread(fd, text, OUTPUT_MAX - 1, 0) : -1;

    reason[0] = '\0';
    if (n > 0)
        cds_line_reason(text, reason, size);
    free(text);
}

/* Its exit status, 256 + signal; -1 where it took too long and was killed. */
static int wait_for(pid_t pid, int64_t until)
{
    int status = 0, pidfd = child_open_pidfd(pid);
    struct pollfd look = {.fd = pidfd, .events = POLLIN};
    int64_t left;
    bool late = pidfd < 0;

    while (!late && (left = until - clock_boot_ms()) > 0 && poll(&look, 1, (int)left) == 0)
        ;
    late |= clock_boot_ms() >= until;
    if (late)
        kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || late)
        return -1;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Java with Livy's own options and class path, and `more` before the class path. */
static bool run_java(struct making *m, const char *const *more, const char *last, int list, const char *what)
{
    const char *argv[CDS_OPTIONS_MAX + 16];
    char reason[CDS_REASON_SIZE];
    size_t n = 0;

    argv[n++] = m->inputs.java;
    for (size_t i = 0; i < m->line.n_options; i++)
        argv[n++] = m->line.options[i];
    for (; *more != NULL; more++)
        argv[n++] = *more;
    argv[n++] = "-cp";
    argv[n++] = m->inputs.path;
    argv[n++] = last;
    argv[n] = NULL;
    int output = memfd_create("livy-ha-output", MFD_CLOEXEC);
    pid_t parent = getpid(), pid = output >= 0 ? fork() : -1;
    if (pid == 0)
        become_java(m, (char *const *)argv, parent, list, output);
    if (pid < 0) {
        if (output >= 0)
            close(output);
        return end(m, CDS_OUTCOME_FAILED, "Java could not be run: %s", strerror(errno));
    }
    int status = wait_for(pid, m->began + CDS_MAKE_WITHIN);
    read_output(output, reason, sizeof(reason));
    close(output);
    if (status == 0)
        return true;
    if (status < 0)
        return end(m, CDS_OUTCOME_FAILED, "Java took longer than %d s", CDS_MAKE_WITHIN / 1000);
    return end(m, CDS_OUTCOME_FAILED, "%s ended with %s %d: %s", what, status >= 256 ? "signal" : "status",
               status >= 256 ? status - 256 : status, reason[0] != '\0' ? reason : "it wrote nothing");
}

static const char fresh_option[] = "-XX:SharedArchiveFile=" CDS_ARCHIVE CDS_FRESH;

static bool dump(struct making *m, int list)
{
    static const char *const more[] = {"-Xshare:dump",
                                       "-XX:SharedClassListFile=/proc/self/fd/3",
                                       fresh_option,
                                       "-XX:-UsePerfData",
                                       "-XX:ErrorFile=/dev/null",
                                       "-Xlog:disable",
                                       "-Xlog:all=error:stderr",
                                       NULL};
    return run_java(m, more, NULL, list, "Java");
}

/* What the JVM would ignore without a word is of no use, and what it does not start with would do harm. */
static bool try(struct making *m, int list)
{
    static const char *const more[] = {"-Xshare:on",
                                       fresh_option,
                                       "-XX:-UsePerfData",
                                       "-XX:ErrorFile=/dev/null",
                                       "-Xlog:disable",
                                       "-Xlog:all=error:stderr",
                                       NULL};
    return run_java(m, more, "-version", list, "Java, tried with the new archive,");
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* At the most half of what the file system has left: Livy's own output needs room there. */
static bool room_is_there(struct making *m)
{
    struct statvfs fs;

    if (fstatvfs(m->directory, &fs) != 0)
        return end(m, CDS_OUTCOME_FAILED, "runtime_dir: %s", strerror(errno));
    m->room = (long long)fs.f_bavail * (long long)fs.f_frsize / 2;
    if (m->room > FILE_MOST)
        m->room = FILE_MOST;
    if (m->room >= FILE_LEAST)
        return true;
    return end(m, CDS_OUTCOME_FAILED, "runtime_dir has %lld MB left, and it may take half of that only",
               m->room * 2 >> 20);
}

/* Of what it was made must be what it was when that began. */
static bool put_in_place(struct making *m, const char *before)
{
    char what[CDS_REASON_SIZE], why[CDS_REASON_SIZE] = "";
    struct stat st;

    char *now = cds_fit_describe(m->conf, &m->inputs, -1, why, sizeof(why));
    bool same = now != NULL && !cds_fit_differs(before, now, what, sizeof(what));
    if (now != NULL && !same)
        snprintf(why, sizeof(why), "%.150s while it was made", what);
    free(now);
    if (!same)
        return end(m, CDS_OUTCOME_FAILED, "%s", why);
    bool placed = fstatat(m->directory, CDS_ARCHIVE CDS_FRESH, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                  (unlinkat(m->directory, CDS_FIT, 0) == 0 || errno == ENOENT) &&
                  renameat(m->directory, CDS_ARCHIVE CDS_FRESH, m->directory, CDS_ARCHIVE) == 0;
    now = placed ? cds_fit_describe(m->conf, &m->inputs, m->directory, why, sizeof(why)) : NULL;
    placed = now != NULL && cds_fit_write(m->directory, now) == 0;
    free(now);
    m->answer.size = st.st_size;
    m->answer.ms = clock_boot_ms() - m->began;
    return placed || end(m, CDS_OUTCOME_FAILED, "it could not be put into its place: %s", strerror(errno));
}

static int attempt_in = -1; /* the directory, while an attempt is on record */

/* A start of Livy comes first, or the daemon ends: that is no attempt that has failed. */
static void on_term(int number)
{
    (void)number;
    if (attempt_in >= 0)
        cds_fit_ended(attempt_in);
    _exit(1);
}

/* Where the kernel ends a whole container for the memory that this takes, nobody is left who could count. So
 * it is written down before. */
static bool begin(struct making *m)
{
    attempt_in = m->directory;
    int before = cds_fit_begin(m->directory);
    if (before >= 0 && before < CDS_FAILURES)
        return true;
    attempt_in = -1; /* what is on record stays */
    if (before < 0)
        return end(m, CDS_OUTCOME_FAILED, CDS_DIRECTORY "/" CDS_BEGUN ": %s", strerror(errno));
    return end(m, CDS_OUTCOME_CANNOT,
               "%d times it was begun, and all ended with it (out of memory?): see to that, then remove "
               "%.120s/" CDS_DIRECTORY "/" CDS_BEGUN,
               CDS_FAILURES, m->conf->runtime_dir);
}

static bool make(struct making *m)
{
    char path[PATH_MAX], why[CDS_REASON_SIZE];

    snprintf(path, sizeof(path), "%s/livy-classes", m->conf->runtime_dir);
    int list = cds_make_list(path);
    char *before = cds_fit_describe(m->conf, &m->inputs, -1, why, sizeof(why));
    bool good = false;
    if (list < 0)
        (void)end(m, CDS_OUTCOME_FAILED, "%.150s: %s", path, strerror(errno));
    else if (before == NULL)
        (void)end(m, CDS_OUTCOME_FAILED, "%s", why);
    else
        good = room_is_there(m) && begin(m) && dump(m, list) && try(m, list) && put_in_place(m, before);
    if (attempt_in >= 0)
        cds_fit_ended(attempt_in);
    free(before);
    if (!good)
        cds_fit_drop(m->directory);
    m->answer.outcome = good ? CDS_OUTCOME_MADE : m->answer.outcome;
    return good;
}

/* Whether what is there will do. Where not, it is gone. */
static bool there_is_one(struct making *m)
{
    char why[CDS_REASON_SIZE];
    const char *from = "none", *because = "Livy has served";
    enum cds_fit fit =
        m->use == CDS_DROP ? CDS_FIT_NONE : cds_fit_check(m->conf, m->directory, why, sizeof(why));

    m->answer.refused = fit == CDS_FIT_GOOD && m->line.archive != NULL && !m->mapped;
    if (fit == CDS_FIT_GOOD && !m->answer.refused)
        return true;
    if (m->answer.refused)
        from = "refused", because = "Livy's Java does not take what fits by its files";
    else if (fit == CDS_FIT_NOT)
        from = "unfit", because = why;
    cds_fit_drop(m->directory);
    log_info("class data %s -> making: %s", from, because);
    return false;
}

static void work(struct making *m)
{
    char why[CDS_REASON_SIZE], told[PATH_MAX];

    if (!look(m, told, sizeof(told)) || !version_is_good(m))
        return;
    m->directory = cds_fit_open(m->conf, true, why, sizeof(why));
    if (m->directory < 0)
        (void)end(m, CDS_OUTCOME_FAILED, "%s", why);
    else if (there_is_one(m))
        m->answer.outcome = CDS_OUTCOME_FITS;
    else
        (void)make(m);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, text, strlen(text)); /* without it, it is only less modest */
    close(fd);
}

/* Behind everything else that this host has to do, and the first to go where its memory runs out. */
static void be_modest(void)
{
    if (getpriority(PRIO_PROCESS, 0) < NICE)
        (void)setpriority(PRIO_PROCESS, 0, NICE);
    (void)syscall(SYS_ioprio_set, 1, 0, IO_LAST);
    put("/proc/self/autogroup", "10"); /* a session of its own is a group of its own, where there are such */
    put("/proc/self/oom_score_adj", "1000");
}

__attribute__((noreturn)) static void become_maker(const struct conf *conf, const struct child *livy,
                                                   enum cds_use use, pid_t keeper, int out)
{
    struct making *m = calloc(1, sizeof(*m));

    child_reset_dispositions();
    (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    child_unblock_signals();
    setsid();
    int high = fcntl(out, F_DUPFD, LIVY_FD + 1), pidfd = fcntl(livy->pidfd, F_DUPFD, LIVY_FD + 1);
    if (m == NULL || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper || high < 0 || pidfd < 0 ||
        dup2(high, OUT_FD) < 0 || dup2(pidfd, LIVY_FD) < 0)
        _exit(1);
    child_close_from(LIVY_FD + 1); /* what it shared with the keeper: nobody's end of file waits for it */
    (void)fcntl(OUT_FD, F_SETFD, FD_CLOEXEC);
    (void)fcntl(LIVY_FD, F_SETFD, FD_CLOEXEC);
    child_no_stdin();
    be_modest();
    *m = (struct making){
        .conf = conf, .use = use, .livy = livy->pid, .began = clock_boot_ms(), .directory = -1};
    work(m);
    _exit(write(OUT_FD, &m->answer, sizeof(m->answer)) == (ssize_t)sizeof(m->answer) ? 0 : 1);
}

int cds_make_begin(const struct conf *conf, const struct child *livy, enum cds_use use, struct child *child,
                   char *why, size_t size)
{
    int out;
    pid_t keeper = getpid(), pid = child_fork_piped(child, &out, why, size);

    if (pid == 0)
        become_maker(conf, livy, use, keeper, out);
    return pid > 0 ? 0 : -1;
}

void cds_make_read(const struct child *child, struct cds_answer *answer)
{
    ssize_t n = child->status >= 0 ? read(child->status, answer, sizeof(*answer)) : -1;

    if (n != (ssize_t)sizeof(*answer))
        *answer = (struct cds_answer){.outcome = CDS_OUTCOME_NONE};
    answer->text[sizeof(answer->text) - 1] = '\0';
}
