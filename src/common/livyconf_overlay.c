/* livyconf_overlay.c - makes the directory that Livy is started with. It writes below runtime_dir and makes
 * livy.log_dir, nothing else; the user's directory is only read. Runs in the keeper's forked child: libc
 * only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "livy-ha/fd.h"
#include "livyconf_internal.h"

#define OVERLAY_NAME "livy-conf"
#define OVERLAY_FRESH "livy-conf.new"

enum { ENTRIES_LIMIT = 4096, DEPTH_LIMIT = 32 };

/* An overlay under way. */
struct overlay {
    const struct conf *conf;
    const struct livyconf *livyconf;
    int64_t session_ms;
    const char *java_first;   /* with a blank behind each */
    const char *java_options; /* with a blank before each */
    char *why;
    size_t size;
    int runtime; /* runtime_dir */
    int fresh;   /* the directory that is being filled */
};

/* Writes the sentence; returns -1, for `return overlay_fail(…)`. */
static int overlay_fail(struct overlay *overlay, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int overlay_fail(struct overlay *overlay, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(overlay->why, overlay->size, format, arguments);
    va_end(arguments);
    return -1;
}

void livyconf_overlay_path(const struct conf *conf, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/%s", conf->runtime_dir, OVERLAY_NAME);
}

/* ---- directories --------------------------------------------------------------------------------------- */

/* mkdir -p; `path` is changed and put right again. Returns 0, or -1 with errno and `path` cut after the part
 * that failed. */
static int make_path(char *path, mode_t mode)
{
    struct stat st;

    for (char *slash = path + 1;; slash++) {
        char kept = *slash;
        if (kept != '/' && kept != '\0')
            continue;
        *slash = '\0';
        /* stat first: mkdir on a read-only or automounted parent may say EROFS or EACCES for what exists. */
        if (stat(path, &st) != 0 && mkdir(path, mode) != 0 && errno != EEXIST)
            return -1;
        *slash = kept;
        if (kept == '\0')
            break;
    }
    if (stat(path, &st) != 0)
        return -1;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode) ? 0 : -1;
}

/* Livy makes no log directory when it runs in the foreground, and ends some seconds later without one. */
static int make_log_dir(struct overlay *overlay)
{
    const char *dir = overlay->conf->livy.log_dir;
    char *path = strdup(dir);
    int result = 0;

    if (path == NULL)
        return overlay_fail(overlay, "out of memory while making %s", dir);
    if (make_path(path, 0750) != 0)
        result = overlay_fail(
            overlay,
            "cannot make Livy's log directory %s: %s: %s; set livy.log_dir to a directory that the "
            "daemon's user may write to",
            dir, path, strerror(errno));
    else if (access(path, W_OK | X_OK) != 0)
        result =
            overlay_fail(overlay,
                         "cannot write to Livy's log directory %s: %s; give it to the daemon's user, or set "
                         "livy.log_dir to another one",
                         dir, strerror(errno));
    free(path);
    return result;
}

/* Removes `name` in the directory `at` with all that is in it. A symbolic link is removed, never followed, so
 * nothing outside is touched. Returns 0 (also where there was none), or -1 with errno. */
static int remove_tree(int at, const char *name, int depth)
{
    struct dirent *entry;
    DIR *dir;
    int fd;
    int result = 0;

    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth >= DEPTH_LIMIT) {
        errno = ELOOP;
        return -1;
    }
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return -1;
    }
    while (result == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_tree(fd, entry->d_name, depth + 1);
    }
    if (result == 0 && errno != 0)
        result = -1;
    int error = errno;
    (void)closedir(dir);
    errno = error;
    return result == 0 ? unlinkat(at, name, AT_REMOVEDIR) : -1;
}

static int overlay_remove(struct overlay *overlay, const char *name)
{
    if (remove_tree(overlay->runtime, name, 0) == 0)
        return 0;
    return overlay_fail(overlay,
                        "cannot remove the old %s/%s: %s; remove it by hand, or set another runtime_dir",
                        overlay->conf->runtime_dir, name, strerror(errno));
}

/* ---- files --------------------------------------------------------------------------------------------- */

static int overlay_write(struct overlay *overlay, const char *name, const char *data, size_t length)
{
    /* 0600: livy.conf may hold the keystore's password. */
    int fd = openat(overlay->fresh, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int error = 0;

    if (fd < 0) {
        error = errno;
    } else {
        if (fd_write_all(fd, data, length) != 0)
            error = errno;
        if (close(fd) != 0 && error == 0)
            error = errno;
    }
    if (error == 0)
        return 0;
    return overlay_fail(overlay, "cannot write %s/%s/%s: %s; make room there, or set another runtime_dir",
                        overlay->conf->runtime_dir, OVERLAY_FRESH, name, strerror(error));
}

/* What Livy will read must be what was checked when `livyconf` was loaded: the file may have been edited
 * since. All but the port and the store is the user's to change at any time. */
static int verify(struct overlay *overlay, const struct props *props)
{
    const struct livyconf *livyconf = overlay->livyconf;
    const char *dir = overlay->conf->livy.conf_dir;
    const char *mode = props_get(props, LIVYCONF_MODE, NULL);
    const char *type = props_get(props, LIVYCONF_STORE, NULL);
    const char *prefix = props_get(props, LIVYCONF_PREFIX, NULL);
    const char *url = livyconf_effective_url(props, livyconf->store_type);
    const char *port = props_get(props, LIVYCONF_PORT, NULL);
    char expected[16];
    const char *key = NULL;

    (void)snprintf(expected, sizeof expected, "%d", overlay->conf->livy.port);
    if (port == NULL || strcmp(port, expected) != 0)
        key = LIVYCONF_PORT;
    else if ((mode != NULL && strcmp(mode, "recovery") == 0) != livyconf->recovery)
        key = LIVYCONF_MODE;
    else if (livyconf->recovery &&
             strcmp(type != NULL && *type != '\0' ? type : "none", livyconf->store_type) != 0)
        key = LIVYCONF_STORE;
    else if (livyconf->recovery && strcmp(url != NULL ? url : "", livyconf->store_url) != 0)
        key = strcmp(livyconf->store_type, "zookeeper") == 0 ? LIVYCONF_ZOOKEEPER_URL : LIVYCONF_STORE_URL;
    else if (livyconf->recovery && strcmp(prefix != NULL ? prefix : "livy", livyconf->store_prefix) != 0)
        key = LIVYCONF_PREFIX;
    if (key == NULL)
        return 0;
    return overlay_fail(
        overlay,
        "%s/livy.conf was edited since livy-ha checked it, and %s is no longer what it was: undo the "
        "edit, or restart livy-ha on every member to take it over",
        dir, key);
}

static int verify_text(struct overlay *overlay, const char *text, size_t length)
{
    struct props *props = props_parse(text, length);
    int result;

    if (props == NULL && errno == EBADMSG)
        return overlay_fail(
            overlay,
            "%s/livy.conf has a \\u that four hexadecimal digits do not follow, at which Java refuses "
            "the whole file: mend it (livy-ha --check-config names the line)",
            overlay->conf->livy.conf_dir);
    if (props == NULL)
        return overlay_fail(overlay, "out of memory while writing livy.conf");
    result = verify(overlay, props);
    props_free(props);
    return result;
}

/* The user's bytes as they are, and the additions after them. */
static int overlay_conf(struct overlay *overlay)
{
    char path[PATH_MAX];
    char why[LIVYCONF_WHY_SIZE];
    size_t added = strlen(overlay->livyconf->additions);
    size_t length = 0;
    char *text = NULL;
    char *longer;
    int result;

    if (snprintf(path, sizeof path, "%s/livy.conf", overlay->conf->livy.conf_dir) >= (int)sizeof path)
        return overlay_fail(overlay, "%s: the path is too long; set livy.conf_dir to a shorter one",
                            overlay->conf->livy.conf_dir);
    text = props_read_file(path, &length, why, sizeof why);
    if (text == NULL && errno != ENOENT)
        return overlay_fail(overlay, "%s (livy.conf_dir says where Livy's configuration is)", why);
    longer = realloc(text, length + added + 1);
    if (longer == NULL) {
        free(text);
        return overlay_fail(overlay, "out of memory while copying %s", path);
    }
    memcpy(longer + length, overlay->livyconf->additions, added + 1);
    result = verify_text(overlay, longer, length + added);
    if (result == 0)
        result = overlay_write(overlay, "livy.conf", longer, length + added);
    free(longer);
    return result;
}

/* Quotes for a shell: nothing is special between single quotes but the single quote. */
static void put_quoted(FILE *file, const char *text)
{
    (void)fputc('\'', file);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            (void)fputs("'\\''", file);
        else
            (void)fputc(*text, file);
    }
    (void)fputc('\'', file);
}

/* Our settings come after the user's file, which may have overwritten them. Nothing relies on the set -a that
 * bin/livy-server has around this. */
static void put_env(const struct overlay *overlay, FILE *file)
{
    char path[PATH_MAX];
    char *user = NULL;

    livyconf_overlay_path(overlay->conf, path, sizeof path);
    if (asprintf(&user, "%s/livy-env.sh", overlay->conf->livy.conf_dir) < 0)
        return;
    (void)fputs("# Written by livy-ha at each start of Livy; the file to edit is in livy.conf_dir.\nif [ -f ",
                file);
    put_quoted(file, user);
    (void)fputs(" ]; then\n    . ", file);
    put_quoted(file, user);
    (void)fputs("\nfi\nLIVY_CONF_DIR=", file);
    put_quoted(file, path);
    (void)fputs("\nexport LIVY_CONF_DIR\n[ -n \"${LIVY_LOG_DIR:-}\" ] || LIVY_LOG_DIR=", file);
    put_quoted(file, overlay->conf->livy.log_dir);
    (void)fprintf(
        file,
        "\nexport LIVY_LOG_DIR\n"
        "[ -d \"$LIVY_LOG_DIR\" ] || mkdir -p -m 0750 \"$LIVY_LOG_DIR\" || :\n"
        "LIVY_SERVER_JAVA_OPTS=\"%s${LIVY_SERVER_JAVA_OPTS:-} -Dcurator-default-session-timeout=%lld%s\"\n"
        "export LIVY_SERVER_JAVA_OPTS\n",
        overlay->java_first, (long long)overlay->session_ms, overlay->java_options);
    free(user);
}

static int overlay_env(struct overlay *overlay)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    int result;

    if (file == NULL)
        return overlay_fail(overlay, "out of memory while writing livy-env.sh");
    put_env(overlay, file);
    if (fclose(file) != 0 || text == NULL || length == 0)
        result = overlay_fail(overlay, "out of memory while writing livy-env.sh");
    else
        result = overlay_write(overlay, "livy-env.sh", text, length);
    free(text);
    return result;
}

/* ---- links --------------------------------------------------------------------------------------------- */

static int overlay_link(struct overlay *overlay, const char *name)
{
    char target[PATH_MAX];

    if (snprintf(target, sizeof target, "%s/%s", overlay->conf->livy.conf_dir, name) >= (int)sizeof target)
        return overlay_fail(overlay, "%s/%s: the path is too long; set livy.conf_dir to a shorter one",
                            overlay->conf->livy.conf_dir, name);
    if (symlinkat(target, overlay->fresh, name) == 0)
        return 0;
    return overlay_fail(overlay,
                        "cannot link %s/%s/%s to %s: %s; make room there, or set another runtime_dir",
                        overlay->conf->runtime_dir, OVERLAY_FRESH, name, target, strerror(errno));
}

static bool is_ours(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "livy.conf") == 0 ||
           strcmp(name, "livy-env.sh") == 0;
}

static int overlay_links(struct overlay *overlay)
{
    const char *path = overlay->conf->livy.conf_dir;
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0;
    int result = 0;

    if (dir == NULL)
        return overlay_fail(overlay, "cannot read Livy's configuration directory %s: %s; set livy.conf_dir",
                            path, strerror(errno));
    while (result == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (is_ours(entry->d_name))
            continue;
        if (++count > ENTRIES_LIMIT)
            result = overlay_fail(overlay,
                                  "%s has more than %d entries, which is no configuration directory: set "
                                  "livy.conf_dir to the one with livy.conf in it",
                                  path, ENTRIES_LIMIT);
        else
            result = overlay_link(overlay, entry->d_name);
    }
    if (result == 0 && errno != 0)
        result =
            overlay_fail(overlay, "cannot read Livy's configuration directory %s: %s", path, strerror(errno));
    (void)closedir(dir);
    return result;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* bin/livy-server puts the directory on the class path and leaves the command line unquoted. */
static int check_runtime_dir(struct overlay *overlay)
{
    const char *dir = overlay->conf->runtime_dir;
    const char *bad = strpbrk(dir, " \t\r\n:*?[\\");

    if (bad == NULL)
        return 0;
    return overlay_fail(
        overlay,
        "runtime_dir is \"%s\": a '%c' in it would break Livy's class path, as bin/livy-server does "
        "not quote it; set runtime_dir to a path without blanks, colons and wildcards",
        dir, *bad);
}

/* Where LIVY_CONF_DIR was inherited from a Livy that livy-ha had started, the overlay would link to itself
 * and then be removed as the old one. */
static int check_conf_dir(struct overlay *overlay)
{
    char path[PATH_MAX];
    char user[PATH_MAX];
    char own[PATH_MAX];
    size_t length;

    if (realpath(overlay->conf->livy.conf_dir, user) == NULL)
        return overlay_fail(overlay, "cannot find Livy's configuration directory %s: %s; set livy.conf_dir",
                            overlay->conf->livy.conf_dir, strerror(errno));
    livyconf_overlay_path(overlay->conf, path, sizeof path);
    if (realpath(path, own) == NULL)
        return 0;
    length = strlen(own);
    if (strncmp(user, own, length) != 0 || (user[length] != '\0' && user[length] != '/'))
        return 0;
    return overlay_fail(
        overlay,
        "livy.conf_dir is %s, which is livy-ha's own copy: set it to the directory that is edited by "
        "hand (LIVY_CONF_DIR in the environment may have given it)",
        overlay->conf->livy.conf_dir);
}

static int overlay_fill(struct overlay *overlay)
{
    if (overlay_links(overlay) != 0 || overlay_conf(overlay) != 0 || overlay_env(overlay) != 0)
        return -1;
    if (overlay_remove(overlay, OVERLAY_NAME) != 0)
        return -1;
    if (renameat(overlay->runtime, OVERLAY_FRESH, overlay->runtime, OVERLAY_NAME) == 0)
        return 0;
    return overlay_fail(overlay, "cannot rename %s/%s to %s: %s", overlay->conf->runtime_dir, OVERLAY_FRESH,
                        OVERLAY_NAME, strerror(errno));
}

static int overlay_build(struct overlay *overlay)
{
    int result;

    if (overlay_remove(overlay, OVERLAY_FRESH) != 0)
        return -1;
    if (mkdirat(overlay->runtime, OVERLAY_FRESH, 0700) != 0)
        return overlay_fail(overlay,
                            "cannot make %s/%s: %s; set runtime_dir to a directory of the daemon's user",
                            overlay->conf->runtime_dir, OVERLAY_FRESH, strerror(errno));
    overlay->fresh = openat(overlay->runtime, OVERLAY_FRESH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (overlay->fresh < 0)
        return overlay_fail(overlay, "cannot open %s/%s: %s", overlay->conf->runtime_dir, OVERLAY_FRESH,
                            strerror(errno));
    result = overlay_fill(overlay);
    (void)close(overlay->fresh);
    if (result != 0) /* What was in the way is told already; what is left here goes at the next start. */
        (void)remove_tree(overlay->runtime, OVERLAY_FRESH, 0);
    return result;
}

int livyconf_overlay(const struct conf *conf, const struct livyconf *livyconf, int64_t session_ms,
                     const char *java_first, const char *java_options, char *why, size_t size)
{
    struct overlay overlay = {.conf = conf,
                              .livyconf = livyconf,
                              .session_ms = session_ms,
                              .java_first = java_first,
                              .java_options = java_options,
                              .fresh = -1};
    int result;

    overlay.why = why;
    overlay.size = size;
    if (session_ms <= 0 || session_ms > INT_MAX) /* Curator reads it as a Java int */
        return overlay_fail(
            &overlay, "a session time-out of %lld ms cannot be given to Livy: zookeeper.session_timeout",
            (long long)session_ms);
    if (check_runtime_dir(&overlay) != 0 || check_conf_dir(&overlay) != 0 || make_log_dir(&overlay) != 0)
        return -1;
    overlay.runtime = open(conf->runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (overlay.runtime < 0)
        return overlay_fail(&overlay, "cannot open %s: %s; make it, or set runtime_dir to another directory",
                            conf->runtime_dir, strerror(errno));
    result = overlay_build(&overlay);
    (void)close(overlay.runtime);
    return result;
}
