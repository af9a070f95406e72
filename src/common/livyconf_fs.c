/* livyconf_fs.c - tells a directory that all members see from one on this host's own disk: Livy's sessions
 * must not be kept where the next active member cannot read them. Looks, changes nothing.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>

#include "livy-ha/hex.h"
#include "livyconf_internal.h"

/* Livy takes the path by java.net.URI.getPath(), which decodes %XX. */
static void decode_percent(char *path)
{
    char *to = path;

    for (const char *from = path; *from != '\0'; from++) {
        int high = from[0] == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high << 4 | low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* The length of "scheme:" at the start, or 0. */
static size_t scheme_length(const char *url)
{
    size_t length = 0;

    if (!isalpha((unsigned char)url[0]))
        return 0;
    while (isalnum((unsigned char)url[length]) || (url[length] != '\0' && strchr("+-.", url[length]) != NULL))
        length++;
    return url[length] == ':' ? length + 1 : 0;
}

char *livyconf_fs_path(const char *url)
{
    size_t scheme = scheme_length(url);
    const char *rest = url + scheme;
    char *path;

    errno = 0;
    if (scheme != 0 && strncasecmp(url, "file:", 5) != 0)
        return NULL;
    if (scheme != 0 && strncmp(rest, "//", 2) == 0) {
        const char *slash = strchr(rest + 2, '/'); /* after an authority, which is mostly empty */
        rest = slash != NULL ? slash : "/";
    }
    path = strdup(*rest != '\0' ? rest : "/");
    if (path != NULL && scheme != 0)
        decode_percent(path);
    return path;
}

/* The numbers of <linux/magic.h> and, where the kernel's tree has no such file system, of statfs(2). */
bool livyconf_fs_type_shared(uint32_t type)
{
    static const uint32_t shared[] = {
        0x6969,     /* NFS */
        0x517B,     /* SMB */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB2 */
        0x00C36400, /* Ceph */
        0x0BD00BD0, /* Lustre */
        0x47504653, /* GPFS */
        0x65735546, /* FUSE, by way of which GlusterFS and many others are mounted */
        0x5346414F, /* AFS, as OpenAFS has it */
        0x6B414653, /* AFS, the kernel's own */
        0x7461636F, /* OCFS2 */
        0x01161970, /* GFS2 */
    };

    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        if (shared[i] == type)
            return true;
    }
    return false;
}

/* Cuts the last part off `path`; false where nothing is left to cut. */
static bool cut_last(char *path)
{
    size_t length = strlen(path);
    char *slash;

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    slash = strrchr(path, '/');
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
        return false;
    if (slash == NULL)
        memcpy(path, ".", 2); /* a relative path has at least one character, so there is room */
    else
        slash[slash == path ? 1 : 0] = '\0';
    return true;
}

int livyconf_fs_shared(const char *path, char *where, size_t size, uint32_t *type)
{
    struct statfs fs;

    if (snprintf(where, size, "%s", path) >= (int)size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    while (statfs(where, &fs) != 0) {
        if ((errno != ENOENT && errno != ENOTDIR) || !cut_last(where))
            return -1;
    }
    *type = (uint32_t)fs.f_type;
    return livyconf_fs_type_shared(*type) ? 1 : 0;
}
