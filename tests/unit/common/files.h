/* files.h - small files and directories for unit tests. All functions fail the test where they fail. Include
 * it after <cmocka.h>.
 */
#ifndef LIVY_HA_TEST_FILES_H
#define LIVY_HA_TEST_FILES_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "livy-ha/props.h"

/* <dir>/<name>, malloc'ed. */
static inline char *join(const char *dir, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static inline void write_file(const char *dir, const char *name, const char *text)
{
    char *path = join(dir, name);
    FILE *file = fopen(path, "w");

    free(path);
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* The file's text, malloc'ed; NULL where there is none. */
static inline char *read_file(const char *dir, const char *name)
{
    char *path = join(dir, name);
    char why[256];
    size_t length;
    char *text = props_read_file(path, &length, why, sizeof why);

    free(path);
    return text;
}

/* What is there, a link itself; all zero where there is nothing. */
static inline struct stat look(const char *dir, const char *name)
{
    char *path = join(dir, name);
    struct stat st = {0};

    (void)lstat(path, &st);
    free(path);
    return st;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void remove_all(const char *dir)
{
    assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
