/* paths.c - see the header. */
#include "paths.h"

#include <stdio.h>
#include <stdlib.h>

void path_make(char path[PATH_SIZE], const char *root, const char *directory, const char *name)
{
    int n = directory == NULL ? snprintf(path, PATH_SIZE, "%s/%s", root, name)
                              : snprintf(path, PATH_SIZE, "%s/%s/%s", root, directory, name);
    if (n < 0 || n >= PATH_SIZE)
        abort(); /* conf.c bounds the root and the id, the core bounds node names */
}

void path_release(char path[PATH_SIZE], char marker[PATH_SIZE], const char *root, const char *node)
{
    path_make(path, root, "leader", node);
    path_make(marker, root, NULL, "handover");
}
