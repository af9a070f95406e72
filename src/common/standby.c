/* standby.c - see standby.h. */
#include "livy-ha/standby.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/hostinfo.h"
#include "livy-ha/program.h"

#define ENTRIES_MAX 10000 /* of jars/, which has some 150 */

static bool is_server(const char *name)
{
    static const char begin[] = "livy-server", end[] = ".jar";
    size_t length = strlen(name);

    return strncmp(name, begin, strlen(begin)) == 0 &&
           (name[strlen(begin)] == '-' || name[strlen(begin)] == '_') &&
           strcmp(name + length - strlen(end), end) == 0; /* longer than `begin`, so than `end` */
}

static bool has_server(const char *home)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    bool there = false;

    if (snprintf(path, sizeof(path), "%s/jars", home) >= (int)sizeof(path))
        return false;
    DIR *dir = opendir(path);
    for (int left = ENTRIES_MAX; dir != NULL && !there && left > 0 && (entry = readdir(dir)) != NULL; left--)
        there = is_server(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    return there;
}

static bool is_own(const char *home, const char *command)
{
    size_t length = strlen(home);
    return strncmp(command, home, length) == 0 && strcmp(command + length, "/bin/livy-server") == 0;
}

bool standby_can_hold(const char *home, const char *command, char *why, size_t size)
{
    char path[PATH_MAX];
    int64_t memory = hostinfo_memory();

    if (!program_find(PROGRAM_GATE, R_OK, path, sizeof(path)))
        snprintf(why, size, "cold: %s is not installed", PROGRAM_GATE);
    else if (!is_own(home, command))
        snprintf(why, size, "cold: livy.command is not livy.home's own bin/livy-server");
    else if (!has_server(home))
        snprintf(why, size, "cold: there is no livy-server-*.jar in livy.home's jars");
    else if (memory < STANDBY_MEMORY)
        snprintf(why, size, "cold: there are %lld MB of memory, and %lld are wanted",
                 (long long)(memory >> 20), (long long)(STANDBY_MEMORY >> 20));
    else {
        snprintf(why, size,
                 "hot: the agent is installed, livy.home has Apache Livy, and there is the memory");
        return true;
    }
    return false;
}
