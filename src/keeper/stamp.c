/* stamp.c - see the header. */
#include "stamp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child_internal.h"

#define ENTRIES_MAX 10000 /* of one directory; a Livy has some 300 jars */

/* What comes through the pipe. */
struct answer {
    struct hcore_stamp stamp;
    char why[256]; /* "": it is good */
};

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++) /* FNV-1a */
        hash = (hash ^ bytes[i]) * 1099511628211U;
    return hash;
}

/* One file; where a link leads counts, for that is what Livy reads. One that is not there counts as that. */
static uint64_t file_stamp(int dir, const char *name)
{
    struct stat st;
    uint64_t hash = mix(14695981039346656037U, name, strlen(name));

    if (fstatat(dir, name, &st, 0) != 0)
        return hash;
    hash = mix(hash, &st.st_ino, sizeof(st.st_ino));
    hash = mix(hash, &st.st_size, sizeof(st.st_size));
    hash = mix(hash, &st.st_mtim, sizeof(st.st_mtim));
    return hash;
}

/* The sum of all: a directory has no order. 0, or -1 with errno. */
static int directory_stamp(const char *path, uint64_t *sum)
{
    struct dirent *entry;
    int left = ENTRIES_MAX;
    DIR *dir = opendir(path);

    if (dir == NULL)
        return -1;
    while ((errno = 0, entry = readdir(dir)) != NULL && left-- > 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            *sum += file_stamp(dirfd(dir), entry->d_name);
    int saved = errno;
    closedir(dir);
    errno = saved;
    return saved == 0 ? 0 : -1;
}

static bool holds_jars(const char *name)
{
    size_t length = strlen(name);
    return length >= 4 && strcmp(name + length - 4, "jars") == 0; /* jars, rsc-jars, repl_2.12-jars */
}

/* The directories of livy.home that hold jars. */
static int jars_stamp(const char *home, uint64_t *sum)
{
    char path[PATH_MAX];
    struct dirent *entry;
    int left = ENTRIES_MAX, rc = 0;
    DIR *dir = opendir(home);

    if (dir == NULL)
        return -1;
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL && left-- > 0) {
        if (!holds_jars(entry->d_name) ||
            snprintf(path, sizeof(path), "%s/%s", home, entry->d_name) >= (int)sizeof(path))
            continue;
        rc = directory_stamp(path, sum);
        if (rc != 0 && errno == ENOTDIR)
            rc = 0;
    }
    int saved = errno;
    closedir(dir);
    errno = saved;
    return saved == 0 ? rc : -1;
}

int stamp_make(const struct conf *conf, struct hcore_stamp *stamp, char *why, size_t size)
{
    *stamp = (struct hcore_stamp){0};
    if (directory_stamp(conf->livy.conf_dir, &stamp->conf) != 0) {
        snprintf(why, size, "livy.conf_dir cannot be read: %.150s: %s", conf->livy.conf_dir, strerror(errno));
        return -1;
    }
    if (jars_stamp(conf->livy.home, &stamp->jars) != 0) {
        snprintf(why, size, "livy.home cannot be read: %.150s: %s", conf->livy.home, strerror(errno));
        return -1;
    }
    stamp->jars += file_stamp(AT_FDCWD, conf->livy.command);
    return 0;
}

__attribute__((noreturn)) static void look(const struct conf *conf, pid_t keeper, int out)
{
    struct answer answer = {0};

    out = child_begin_look(keeper, out);
    (void)stamp_make(conf, &answer.stamp, answer.why, sizeof(answer.why));
    _exit(write(out, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
}

int stamp_begin(const struct conf *conf, struct child *child, char *why, size_t size)
{
    int out;
    pid_t keeper = getpid(), pid = child_fork_piped(child, &out, why, size);

    if (pid == 0)
        look(conf, keeper, out);
    return pid > 0 ? 0 : -1;
}

bool stamp_read(const struct child *child, struct hcore_stamp *stamp, char *why, size_t size)
{
    struct answer answer = {0};
    ssize_t n = read(child->status, &answer, sizeof(answer));

    if (n != (ssize_t)sizeof(answer)) {
        snprintf(why, size,
                 "the files of livy.conf_dir and livy.home could not be looked at: does their file "
                 "system answer?");
        return false;
    }
    answer.why[sizeof(answer.why) - 1] = '\0';
    snprintf(why, size, "%s", answer.why);
    *stamp = answer.stamp;
    return answer.why[0] == '\0';
}
