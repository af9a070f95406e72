/* test_cds_line.c - what an archive of Livy's classes takes from a JVM's command line, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cds_line.h"

/* The arguments in `words`, one blank between two, as /proc/PID/cmdline has them; `line` points into it. */
static char text[65536];

static bool parse(const char *words, struct cds_line *line)
{
    const char *why = NULL;
    size_t size = strlen(words) + 1;

    assert_true(size <= sizeof(text));
    memcpy(text, words, size);
    for (char *c = text; *c != '\0'; c++)
        if (*c == ' ')
            *c = '\0';
    bool good = cds_line_parse(text, size, line, &why);
    assert_int_equal(good, why == NULL);
    return good;
}

static void test_what_is_taken(void **state)
{
    struct cds_line line;
    static const char *const taken[] = {"-Xmx4g",
                                        "-XX:+UseG1GC",
                                        "-XX:MaxRAMPercentage=50",
                                        "-XX:ObjectAlignmentInBytes=16",
                                        "--add-opens",
                                        "java.base/java.lang=ALL-UNNAMED",
                                        "--add-modules=ALL-SYSTEM",
                                        "-XX:-UseCompressedOops"};

    (void)state;
    assert_true(parse("/usr/bin/java -Xmx4g -Xms1g -XX:+UseG1GC -XX:MaxRAMPercentage=50 -Xlog:gc:file=/x "
                      "-XX:ObjectAlignmentInBytes=16 --add-opens java.base/java.lang=ALL-UNNAMED "
                      "--add-modules=ALL-SYSTEM -Dcom.sun.management.jmxremote.port=1 -javaagent:/a.jar "
                      "-agentpath:/gate.so=hold -XX:+HeapDumpOnOutOfMemoryError -XX:-UseCompressedOops "
                      "-XX:ErrorFile=/e -XX:+UseG1GCwhatever --patch-module x=y -cp /livy/jars/*:/conf "
                      "org.apache.livy.server.LivyServer -Xmx1 -cp other",
                      &line));
    assert_string_equal(line.class_path, "/livy/jars/*:/conf");
    assert_int_equal(line.n_options, sizeof(taken) / sizeof(taken[0]));
    for (size_t i = 0; i < line.n_options; i++)
        assert_string_equal(line.options[i], taken[i]);
    assert_null(line.archive);
    assert_false(line.off);
}

static void test_the_last_one_counts(void **state)
{
    struct cds_line line;

    (void)state;
    assert_true(parse("java -XX:SharedArchiveFile=/ours -cp /a.jar -classpath /b.jar "
                      "-XX:SharedArchiveFile=/theirs -Xshare:off Main",
                      &line));
    assert_string_equal(line.class_path, "/b.jar");
    assert_string_equal(line.archive, "/theirs");
    assert_true(line.off);
    assert_true(parse("java --class-path=/c.jar -Xshare:off -Xshare:auto Main", &line));
    assert_string_equal(line.class_path, "/c.jar");
    assert_false(line.off);
    assert_true(parse("java -cp /a.jar -jar /livy.jar -cp /x", &line));
    assert_string_equal(line.class_path, "/livy.jar");
}

static void test_what_cannot_be_understood(void **state)
{
    struct cds_line line;
    const char *why = NULL;
    char many[8192] = "java";

    (void)state;
    assert_false(parse("java Main", &line));
    assert_false(parse("java", &line));
    assert_false(parse("java -cp", &line));
    assert_false(parse("java -cp /a.jar --add-opens", &line));
    assert_false(parse("java -jar", &line));
    assert_false(parse("java -cp /a\n/b.jar Main", &line));
    assert_false(cds_line_parse("", 0, &line, &why));
    assert_false(cds_line_parse("java", 4, &line, &why)); /* the end is not there */
    for (int i = 0; i < CDS_OPTIONS_MAX + 1; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), " -Xmx%dg", i);
    assert_false(parse(many, &line));
}

/* Any bytes at all: nothing is read beyond them, and what is found lies in them. */
static void test_any_bytes(void **state)
{
    static const char *const pieces[] = {
        "-cp",      "--add-opens", "-Xmx", "",         "-jar", "=",  "/a.jar",
        "-Xshare:", "--",          "-",    "\xff\xfe", "\n",   "/*", "-XX:SharedArchiveFile="};
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char *bytes = malloc(256); /* of just this size: the sanitizer sees a step beyond */
        size_t size = 0;
        assert_non_null(bytes);
        for (int i = rand_r(&seed) % 12; i >= 0; i--) {
            const char *piece = pieces[(unsigned)rand_r(&seed) % (sizeof(pieces) / sizeof(pieces[0]))];
            size_t length = strlen(piece) + (unsigned)rand_r(&seed) % 2;
            memcpy(bytes + size, piece, length);
            size += length;
        }
        char *exact = realloc(bytes, size > 0 ? size : 1);
        struct cds_line line;
        const char *why = NULL;
        assert_non_null(exact);
        bool good = cds_line_parse(exact, size, &line, &why);
        assert_int_equal(good, why == NULL);
        if (good)
            assert_true(line.class_path >= exact && line.class_path < exact + size);
        assert_true(line.n_options <= CDS_OPTIONS_MAX);
        free(exact);
    }
}

static void test_a_class_path(void **state)
{
    const char *at = "/livy/jars/*::x:/conf";
    char entry[16], directory[16];

    (void)state;
    assert_true(cds_line_entry(&at, entry, sizeof(entry)));
    assert_string_equal(entry, "/livy/jars/*");
    assert_true(cds_line_wildcard(entry, directory, sizeof(directory)));
    assert_string_equal(directory, "/livy/jars");
    assert_true(cds_line_entry(&at, entry, sizeof(entry)));
    assert_string_equal(entry, "");
    assert_true(cds_line_entry(&at, entry, sizeof(entry)));
    assert_string_equal(entry, "x");
    assert_true(cds_line_entry(&at, entry, sizeof(entry)));
    assert_string_equal(entry, "/conf");
    assert_false(cds_line_wildcard(entry, directory, sizeof(directory)));
    assert_false(cds_line_entry(&at, entry, sizeof(entry)));
    at = "/longer/than/the/buffer.jar";
    assert_true(cds_line_entry(&at, entry, sizeof(entry)));
    assert_string_equal(entry, "");
    assert_true(cds_line_wildcard("/*", directory, sizeof(directory)));
    assert_string_equal(directory, "/");
    assert_false(cds_line_wildcard("*", directory, sizeof(directory)));
    assert_false(cds_line_wildcard("/a/directory/that/is/long/*", directory, sizeof(directory)));
    assert_true(cds_line_is_jar("a.jar") && cds_line_is_jar("A.JAR"));
    assert_false(cds_line_is_jar(".jar") || cds_line_is_jar("a.zip") || cds_line_is_jar("a.Jar"));
}

static void test_a_class(void **state)
{
    char good[] = "org.apache.livy.Main$1\n", accent[] = "org.\xc3\xa9t\xc3\xa9\n";
    static const char *const bad[] = {"",      "\n",         "whole line is not there",
                                      "[B\n",  "a b\n",      "@lambda-proxy x\n",
                                      "# x\n", ".a\n",       "a.\n",
                                      "a;b\n", "../../x\r\n"};

    (void)state;
    assert_true(cds_line_class(good));
    assert_string_equal(good, "org/apache/livy/Main$1\n");
    assert_true(cds_line_class(accent));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s", bad[i]);
        assert_false(cds_line_class(line));
    }
}

static void test_a_version(void **state)
{
    (void)state;
    assert_int_equal(cds_line_version("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\nOS=\"x\"\n"), 17);
    assert_int_equal(cds_line_version("JAVA_VERSION=\"1.8.0_402\"\n"), 8);
    assert_int_equal(cds_line_version("JAVA_VERSION=\"11\"\n"), 11);
    assert_int_equal(cds_line_version("XJAVA_VERSION=\"11\"\n"), 0);
    assert_int_equal(cds_line_version("JAVA_VERSION=\"-3\"\n"), 0);
    assert_int_equal(cds_line_version("JAVA_VERSION=\"99999999999999999999\"\n"), 0);
    assert_int_equal(cds_line_version(""), 0);
}

static void test_a_reason(void **state)
{
    char reason[40];

    (void)state;
    cds_line_reason("An error has occurred while processing the shared archive file.\n"
                    "Unable to write to shared archive file.\nError occurred during initialization of VM\n"
                    "Unable to use shared archive.\n",
                    reason, sizeof(reason));
    assert_string_equal(reason, "Unable to write to shared archive file.");
    cds_line_reason("Error occurred during initialization of VM\n", reason, sizeof(reason));
    assert_string_equal(reason, "Error occurred during initialization of");
    cds_line_reason("\n\na\tb\x1b[2J\nc", reason, sizeof(reason));
    assert_string_equal(reason, "a b [2J");
    cds_line_reason("", reason, sizeof(reason));
    assert_string_equal(reason, "");
}

static void test_what_rules_an_archive_out(void **state)
{
    struct cds_line line;
    static const char environment[] =
        "A=-Xshare:on\0JAVA_TOOL_OPTIONSX=-Xshare:on\0JAVA_TOOL_OPTIONS=-Xmx1g\0"
        "_JAVA_OPTIONS=-Da=b -XX:SharedArchiveFile=/own\0B=";

    (void)state;
    assert_true(parse("java -Xshare:on -cp /c.jar Main", &line) && line.on && !line.off);
    assert_true(parse("java -Xshare:on -Xshare:auto -cp /c.jar Main", &line) && !line.on && line.aot == NULL);
    assert_true(parse("java -XX:AOTCache=/a -cp /c.jar Main", &line));
    assert_string_equal(line.aot, "-XX:AOTCache=/a");
    const char *found = cds_line_environment(environment, sizeof(environment));
    assert_string_equal(found, "_JAVA_OPTIONS=-Da=b -XX:SharedArchiveFile=/own");
    assert_null(cds_line_environment(environment, 60));
    assert_null(cds_line_environment(environment, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_the_last_one_counts),
        cmocka_unit_test(test_what_cannot_be_understood),
        cmocka_unit_test(test_what_rules_an_archive_out),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_a_class_path),
        cmocka_unit_test(test_a_class),
        cmocka_unit_test(test_a_version),
        cmocka_unit_test(test_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
