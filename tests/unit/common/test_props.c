/* test_props.c - the reader of Java properties files against the documented rules of
 * java.util.Properties.load. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "livy-ha/props.h"

/* One text, one key, the value that Java gives (trimmed) and the line where the entry begins; NULL: no such
 * key. */
struct sample {
    const char *text;
    const char *key;
    const char *value;
    int line;
};

/* Parses a copy without a NUL after it, so that a sanitizer sees every step past the end. */
static struct props *parse(const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    struct props *props;

    assert_non_null(copy);
    memcpy(copy, text, length);
    props = props_parse(copy, length);
    int error = errno;
    free(copy);
    errno = error;
    return props;
}

static void check(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct props *props = parse(samples[i].text, strlen(samples[i].text));
        int line = -1;
        assert_non_null(props);
        const char *value = props_get(props, samples[i].key, &line);
        if (samples[i].value == NULL) {
            if (value != NULL)
                fail_msg("sample %zu: \"%s\" has key \"%s\"", i, samples[i].text, samples[i].key);
        } else if (value == NULL) {
            fail_msg("sample %zu: \"%s\" has no key \"%s\"", i, samples[i].text, samples[i].key);
        } else {
            assert_string_equal(value, samples[i].value);
            assert_int_equal(line, samples[i].line);
        }
        props_free(props);
    }
}
#define CHECK(samples) check(samples, sizeof(samples) / sizeof *(samples))

static void test_separators(void **state)
{
    static const struct sample samples[] = {
        {"a=b", "a", "b", 1},       {"a:b", "a", "b", 1},
        {"a b", "a", "b", 1},       {"a\tb", "a", "b", 1},
        {"a\fb", "a", "b", 1},      {"  a  =  b  ", "a", "b", 1},
        {"a = = b", "a", "= b", 1}, {"a : = b", "a", "= b", 1},
        {"a==b", "a", "=b", 1},     {"a b=c", "a", "b=c", 1},
        {"a", "a", "", 1},          {"a=", "a", "", 1},
        {"=b", "", "b", 1},         {"a\\=b=c", "a=b", "c", 1},
        {"a\\:b:c", "a:b", "c", 1}, {"a\\ b c", "a b", "c", 1},
        {"a\\\\=c", "a\\", "c", 1}, {"livy.server.port 8998", "livy.server.port", "8998", 1},
    };

    (void)state;
    CHECK(samples);
}

static void test_comments_and_lines(void **state)
{
    static const struct sample samples[] = {
        {"# a=b\nc=d", "c", "d", 2},   {"! a=b\nc=d", "c", "d", 2},  {"  # a=b", "a", NULL, 0},
        {"#a=b", "#a", NULL, 0},       {"# x \\\na=b", "a", "b", 2}, {"a=b # c", "a", "b # c", 1},
        {"\n\n \t\na=b", "a", "b", 4}, {"x=1\ra=b", "a", "b", 2},    {"x=1\r\na=b", "a", "b", 2},
        {"x=1\n\ra=b", "a", "b", 3},   {"", "a", NULL, 0},           {"# only", "only", NULL, 0},
    };

    (void)state;
    CHECK(samples);
}

static void test_continuations(void **state)
{
    static const struct sample samples[] = {
        {"a=b\\\n   c", "a", "bc", 1},
        {"a=b\\\r\n   c\nd=e", "d", "e", 3},
        {"a=b\\\r   c", "a", "bc", 1},
        {"a=b\\\\\nc=d", "c", "d", 2},
        {"a=b\\\\\\\nc=d", "a", "b\\c=d", 1},
        {"a=b\\\n# c", "a", "b# c", 1},
        {"a=b\\\n\nc=d", "c", "d", 3},
        {"a=b\\\n\nc=d", "a", "b", 1},
        {"a\\\n  =b", "a", "b", 1},
        {"a=b\\", "a", "b", 1},
        {"a=b\\\n", "a", "b", 1},
        {"x=1\n\n  a=\\\n  b,\\\n  c\nd=e", "a", "b,c", 3},
        {"x=1\n\n  a=\\\n  b,\\\n  c\nd=e", "d", "e", 6},
        {"\\\n#a=b", "a", NULL, 0},
        {"\\", "", "", 1},
    };

    (void)state;
    CHECK(samples);
}

static void test_escapes(void **state)
{
    static const struct sample samples[] = {
        {"a=x\\ty\\nz\\rw\\fv", "a", "x\ty\nz\rw\fv", 1},
        {"a=\\q\\'\\\"", "a", "q'\"", 1},
        {"a=\\u0041\\u00e9\\u20AC", "a", "A\xc3\xa9\xe2\x82\xac", 1},
        {"a=\\uD83D\\uDE00", "a", "\xf0\x9f\x98\x80", 1},
        {"a=\\uD83Dx\\uDE00", "a", "\xef\xbf\xbdx\xef\xbf\xbd", 1},
        {"a=x\\u0000y", "a", "x\xc0\x80y", 1},
        {"\\u0061=b", "a", "b", 1},
        {"a\\u003d=b", "a=", "b", 1},
        {"a=\\\\u12", "a", "\\u12", 1},
        {"a=\xc3\xa9", "a", "\xc3\xa9", 1},
    };

    (void)state;
    CHECK(samples);
}

static void test_values_are_trimmed_as_livy_does(void **state)
{
    static const struct sample samples[] = {
        {"a=b \t ", "a", "b", 1},
        {"a=\\ b\\ ", "a", "b", 1},
        {"a=\\n\\tb\\r", "a", "b", 1},
        {"a=\\u0000b\\u0000\\u0001", "a", "b", 1},
        {"a=b c", "a", "b c", 1},
        {"a=\\u00a0b", "a",
         "\xc2\xa0"
         "b",
         1},
        {"a=\\u0020\\u0000", "a", "", 1},
    };

    (void)state;
    CHECK(samples);
}

static void test_last_duplicate_wins(void **state)
{
    static const struct sample samples[] = {
        {"a=1\na=2\nb=3", "a", "2", 2},
        {"a=1\n\\u0061 : 2", "a", "2", 2},
        {"a=1\na", "a", "", 2},
    };

    (void)state;
    CHECK(samples);
}

static void test_malformed_unicode_is_refused(void **state)
{
    static const char *const texts[] = {"a=\\u12", "a=\\u12g4", "a=1\nb\\u=2", "a=\\u", "a=\\u00\\\n41x\\u1"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        errno = 0;
        assert_null(parse(texts[i], strlen(texts[i])));
        assert_int_equal(errno, EBADMSG);
    }
}

static void test_nul_byte_does_not_cut_a_value(void **state)
{
    struct props *props = parse("a=yarn\0x\nb=c", 12);

    (void)state;
    assert_non_null(props);
    assert_string_equal(props_get(props, "a", NULL), "yarn\xc0\x80x");
    assert_string_equal(props_get(props, "b", NULL), "c");
    props_free(props);
}

static void test_many_entries(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    char key[32];
    struct props *props;
    int line = 0;

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        fprintf(file, "key%d = value%d\n", i, i);
    fclose(file);
    props = parse(text, length);
    assert_non_null(props);
    for (int i = 0; i < 5000; i += 499) {
        snprintf(key, sizeof key, "key%d", i);
        assert_memory_equal(props_get(props, key, &line), "value", 5);
        assert_int_equal(line, i + 1);
    }
    props_free(props);
    free(text);
}

/* ---- files --------------------------------------------------------------------------------------------- */

struct place {
    char dir[64];
    char path[96];
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    assert_non_null(place);
    snprintf(place->dir, sizeof place->dir, "/tmp/livy-ha-props.XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->path, sizeof place->path, "%s/livy.conf", place->dir);
    *state = place;
    return 0;
}

static int clear_place(void **state)
{
    struct place *place = *state;

    (void)unlink(place->path);
    (void)rmdir(place->path);
    assert_int_equal(rmdir(place->dir), 0);
    free(place);
    return 0;
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void expect_refused(const char *path, int error, const char *part)
{
    char why[256] = "";

    errno = 0;
    assert_null(props_load(path, why, sizeof why));
    assert_int_equal(errno, error);
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, part));
}

static void test_load(void **state)
{
    struct place *place = *state;
    char why[256] = "";
    struct props *props;

    write_file(place->path, "a=b\n", 4);
    props = props_load(place->path, why, sizeof why);
    assert_non_null(props);
    assert_string_equal(props_get(props, "a", NULL), "b");
    assert_null(props_get(props, "b", NULL));
    props_free(props);
    write_file(place->path, "", 0);
    props = props_load(place->path, why, sizeof why);
    assert_non_null(props);
    props_free(props);
}

static void test_load_says_what_is_wrong(void **state)
{
    struct place *place = *state;

    expect_refused(place->path, ENOENT, "No such file");
    write_file(place->path, "a=b\n\nc=\\u00", 11);
    expect_refused(place->path, EBADMSG, "livy.conf:3: ");
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(mkdir(place->path, 0700), 0);
    expect_refused(place->path, EISDIR, "Is a directory");
    assert_int_equal(rmdir(place->path), 0);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    expect_refused(place->path, EINVAL, "not a regular file"); /* and does not wait for a writer */
}

static void test_load_is_bounded(void **state)
{
    struct place *place = *state;
    char *text = malloc(PROPS_MAX_FILE + 1);
    char why[256];
    struct props *props;

    assert_non_null(text);
    memset(text, '#', PROPS_MAX_FILE + 1);
    write_file(place->path, text, PROPS_MAX_FILE);
    props = props_load(place->path, why, sizeof why);
    assert_non_null(props);
    props_free(props);
    write_file(place->path, text, PROPS_MAX_FILE + 1);
    expect_refused(place->path, EFBIG, "1 MiB");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separators),
        cmocka_unit_test(test_comments_and_lines),
        cmocka_unit_test(test_continuations),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_values_are_trimmed_as_livy_does),
        cmocka_unit_test(test_last_duplicate_wins),
        cmocka_unit_test(test_malformed_unicode_is_refused),
        cmocka_unit_test(test_nul_byte_does_not_cut_a_value),
        cmocka_unit_test(test_many_entries),
        cmocka_unit_test_setup_teardown(test_load, make_place, clear_place),
        cmocka_unit_test_setup_teardown(test_load_says_what_is_wrong, make_place, clear_place),
        cmocka_unit_test_setup_teardown(test_load_is_bounded, make_place, clear_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
