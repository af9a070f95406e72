/* session.c - see the header. */
#include "session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"

#define CIFS_MAGIC 0xFF534D42
#define CEPH_MAGIC 0x00C36400

void session_boot_id(char *boot, size_t size)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    boot[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(boot, (int)size, file) == NULL)
        boot[0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    fclose(file);
}

int session_save(const char *runtime_dir, const struct ipc_session *session)
{
    char path[PATH_MAX], fresh[PATH_MAX + 8], boot[64], hex[33];

    if (lockfile_session_path(runtime_dir, path, sizeof(path)) != 0)
        return -1;
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    session_boot_id(boot, sizeof(boot));
    for (size_t i = 0; i < sizeof(session->password); i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)session->password[i]);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    int n = dprintf(
        fd, "livy-ha session 2\nboot %s\nid %016" PRIx64 "\npassword %s\ntimeout %" PRId64 "\nnode %s\n",
        boot, (uint64_t)session->id, hex, session->timeout, session->node[0] != '\0' ? session->node : "-");
    if (close(fd) != 0 || n < 0 || rename(fresh, path) != 0) {
        int saved = errno;
        unlink(fresh);
        errno = saved;
        return -1;
    }
    return 0;
}

void session_unlink(const char *runtime_dir)
{
    char path[PATH_MAX];
    if (lockfile_session_path(runtime_dir, path, sizeof(path)) == 0 && unlink(path) != 0 && errno != ENOENT)
        log_warn("%s: %s", path, strerror(errno));
}

/* Locks on a network file system may be held by another host that does not know of ours. */
static int on_local_disk(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return 0;
    unsigned type = (unsigned)fs.f_type;
    return type != NFS_SUPER_MAGIC && type != SMB_SUPER_MAGIC && type != CIFS_MAGIC && type != CEPH_MAGIC &&
           type != 0xFE534D42u /* SMB2 */ && type != FUSE_SUPER_MAGIC;
}

static_assert(IPC_NODE_SIZE == 128, "parse() reads at most 127 characters of a node's name");

static int parse(const char *text, struct ipc_session *session, char *boot)
{
    char hex[33];
    uint64_t id;
    int end = 0;

    /* Each number is as wide as its type holds: nothing can overflow. */
    if (sscanf(text, // NOLINT(cert-err34-c)
               "livy-ha session 2\nboot %63s\nid %16" SCNx64 "\npassword %32[0-9a-f]\ntimeout %18" SCNd64
               "\nnode %127s\n%n",
               boot, &id, hex, &session->timeout, session->node, &end) != 5 ||
        end == 0 || text[end] != '\0' || text[end - 1] != '\n' || strlen(hex) != 32 || id == 0 ||
        session->timeout <= 0)
        return -1;
    session->id = (int64_t)id;
    session->uuid[0] = '\0';
    if (strcmp(session->node, "-") == 0)
        session->node[0] = '\0';
    for (size_t i = 0; i < sizeof(session->password); i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) // NOLINT(cert-err34-c)
            return -1;
        session->password[i] = (char)byte;
    }
    return 0;
}

int session_load(const char *runtime_dir, struct ipc_session *session, char *why, size_t size)
{
    char path[PATH_MAX], text[512], boot[64], now[64];

    if (lockfile_session_path(runtime_dir, path, sizeof(path)) != 0) {
        snprintf(why, size, "runtime_dir is too long a path");
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        snprintf(why, size, "%.300s: %s", path, strerror(errno));
        return -1;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    int local = on_local_disk(fd);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    session_boot_id(now, sizeof(now));
    if (!local)
        snprintf(why, size, "%.300s is on a network file system: put runtime_dir on a local one", path);
    else if (parse(text, session, boot) != 0)
        snprintf(why, size, "%.300s is not a session file", path);
    else if (now[0] == '\0' || strcmp(boot, now) != 0)
        snprintf(why, size, "%.300s is of an earlier boot", path);
    else
        return 0;
    return -1;
}
