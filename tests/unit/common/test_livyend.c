/* test_livyend.c - what Livy's last lines mean. livyend/ holds the ends of what a real Livy 0.7.1 wrote, one
 * file for each thing that was wrong with it; what other versions and the java launcher say stands below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "livy-ha/livyend.h"

/* A copy without a NUL after it, so that a sanitizer sees every step past the end. */
static struct livyend read_bytes(const char *text, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    struct livyend end;

    assert_non_null(copy);
    memcpy(copy, text, size);
    livyend_read(copy, size, &end);
    (void)livyend_waits(copy, size);
    free(copy);
    assert_in_range(end.why, 0, LIVYEND_WHYS - 1);
    for (const char *at = end.line; *at != '\0'; at++)
        assert_in_range(*at, ' ', '~');
    return end;
}

static size_t read_real(const char *name, char *text, size_t size)
{
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');

    snprintf(path, sizeof(path), "%.*s/livyend/%s.txt", (int)(slash - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("%s is not there", path);
    size_t n = fread(text, 1, size, file);
    assert_true(n > 0 && n < size);
    fclose(file);
    return n;
}

static void test_real_ends(void **state)
{
    static const struct {
        const char *name;
        enum livyend_why why;
        const char *line;
    } reals[] = {
        {"spark-home-not-there", LIVYEND_SPARK,
         "java.lang.IllegalArgumentException: requirement failed: SPARK_HOME path does not exist"},
        {"spark-home-unset", LIVYEND_SPARK,
         "java.lang.IllegalArgumentException: Livy requires the SPARK_HOME environment variable"},
        {"no-java", LIVYEND_JAVA, "/opt/livy/bin/livy-server: 28: exec: /nowhere/bin/java: not found"},
        {"java-option", LIVYEND_JAVA, "Unrecognized VM option 'UseConcMarkSweepGC'"},
        {"port-taken", LIVYEND_PORT, "java.net.BindException: Address already in use"},
        {"store-away", LIVYEND_STORE,
         "org.apache.curator.CuratorConnectionLossException: KeeperErrorCode = ConnectionLoss"},
        {"store-unknown-host", LIVYEND_ZOOKEEPER, NULL},
        {"master-local", LIVYEND_MASTER,
         "java.lang.IllegalArgumentException: requirement failed: Session recovery requires YARN."},
        {"no-log-directory", LIVYEND_LOG_DIR,
         "java.io.IOException: Cannot write log directory /nowhere/logs"},
        {"recovery-mode", LIVYEND_SETTING,
         "java.lang.IllegalArgumentException: Unsupported recovery mode bogus"},
        {"no-store-url", LIVYEND_SETTING,
         "java.lang.IllegalArgumentException: requirement failed: Please config "
         "livy.server.recovery.state-store.url."},
        {"zookeeper-lost", LIVYEND_ZOOKEEPER, NULL},
    };
    char text[65536], told[LIVYEND_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        struct livyend end = read_bytes(text, read_real(reals[i].name, text, sizeof(text)));
        if (end.why != reals[i].why)
            fail_msg("%s: taken for %d: %s", reals[i].name, (int)end.why, end.line);
        if (reals[i].line != NULL)
            assert_string_equal(end.line, reals[i].line);
        livyend_text(&end, told);
        assert_non_null(strstr(told, "(Livy: "));
        assert_non_null(strstr(told, end.line)); /* not cut off */
    }
}

static void test_text(void **state)
{
    char told[LIVYEND_TEXT_SIZE];
    struct livyend end = {.why = LIVYEND_PORT, .line = "java.net.BindException: Address already in use"};

    (void)state;
    livyend_text(&end, told);
    assert_string_equal(told,
                        "its port is taken: stop what listens there (ss -ltnp), or set livy.port (Livy: "
                        "java.net.BindException: Address already in use)");
    end = (struct livyend){.line = "Segmentation fault"};
    livyend_text(&end, told);
    assert_string_equal(told, "Livy's last words: Segmentation fault");
    end = (struct livyend){0};
    livyend_text(&end, told);
    assert_string_equal(told, "");
    memset(end.line, 'x', sizeof(end.line) - 1);
    for (int why = LIVYEND_UNKNOWN + 1; why < LIVYEND_WHYS; why++) {
        end.why = (enum livyend_why)why;
        livyend_text(&end, told);
        assert_non_null(strstr(told, "xxx)")); /* the longest line has its place beside each cause */
    }
}

/* Livy 0.8 and 0.9, Jetty 9.4, the launchers: as their sources have it. */
static void test_others(void **state)
{
    static const struct {
        const char *text;
        enum livyend_why why;
    } others[] = {
        {"Exception in thread \"main\" java.io.IOException: Failed to bind to 0.0.0.0/0.0.0.0:8998\n"
         "\tat org.eclipse.jetty.server.ServerConnector.openAcceptChannel(ServerConnector.java:349)\n"
         "Caused by: java.net.BindException: Address already in use\n",
         LIVYEND_PORT},
        {"Exception in thread \"main\" java.io.IOException: Failed to bind to /10.1.2.3:8998\n"
         "Caused by: java.net.BindException: Cannot assign requested address\n",
         LIVYEND_ADDRESS},
        {"Exception in thread \"main\" java.lang.IllegalArgumentException: requirement failed: Session "
         "recovery requires YARN or Kubernetes.\n",
         LIVYEND_MASTER},
        {"Error: A JNI error has occurred\nException in thread \"main\" "
         "java.lang.UnsupportedClassVersionError: org/apache/livy/server/LivyServer has been compiled by a "
         "more recent version of the Java Runtime (class file version 61.0)\n\tat "
         "java.lang.ClassLoader.x()\n",
         LIVYEND_JAVA},
        {"JAVA_HOME is not set\n", LIVYEND_JAVA},
        {"Could not find Livy jars directory.\n", LIVYEND_INSTALL},
        {"Error: Could not find or load main class org.apache.livy.server.LivyServer\n", LIVYEND_INSTALL},
        {"26/11/23 10:00:00 ERROR LivyServer: Failed to run kinit, stopping the server.\n", LIVYEND_KERBEROS},
        {"Error occurred during initialization of VM\nCould not reserve enough space for object heap\n",
         LIVYEND_MEMORY},
        {"Exception in thread \"main\" java.io.IOException: Unable to determing spark-submit version [127]:\n"
         "bash: spark-submit: not found\n",
         LIVYEND_SPARK},
        /* What Livy says of others is none of its own end. */
        {"26/11/23 INFO LineBufferedStream: java.lang.OutOfMemoryError: Java heap space\n", LIVYEND_UNKNOWN},
        {"26/11/23 ERROR ZooKeeperManager: Fatal Zookeeper error: gone.\n", LIVYEND_UNKNOWN},
        {"Exception in thread \"pool-1\" java.net.BindException: Address already in use\n", LIVYEND_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct livyend end = read_bytes(others[i].text, strlen(others[i].text));
        if (end.why != others[i].why)
            fail_msg("%s: taken for %d", others[i].text, (int)end.why);
    }
}

static void last_words(const char *text, const char *line)
{
    struct livyend end = read_bytes(text, strlen(text));

    assert_int_equal(end.why, LIVYEND_UNKNOWN);
    assert_string_equal(end.line, line);
}

static void test_unknown_ends(void **state)
{
    (void)state;
    last_words("", "");
    last_words("\n \n\n", "");
    last_words("one\ntwo\n", "two");
    last_words("26/11/23 ERROR LivyServer: it is so\n26/11/23 INFO x: bye\n",
               "26/11/23 ERROR LivyServer: it is so");
    last_words("java.lang.Exception: a\n\tat b(c)\n\n", "java.lang.Exception: a");
    last_words("Exception in thread \"main\" java.lang.Error: a\n\tat b(c)\nCaused by: java.lang.Error: d\n"
               "\t... 3 more\n2026 INFO x: bye\n",
               "java.lang.Error: d");
    last_words("a\tb \x1b[31mred\x1b[0m\r\n", "a b ?[31mred?[0m");
    last_words("Stra\xc3\x9f"
               "e \xff\xfe\x80\x80\n",
               "Stra?e ??");
    last_words("x: password=geheim, sasl.token: abc end\n", "x: password=******, sasl.token: *** end");
}

static void test_bounds(void **state)
{
    char text[5000];
    uint32_t random = 1;

    (void)state;
    memset(text, 'y', sizeof(text)); /* no end of a line */
    assert_int_equal(strlen(read_bytes(text, sizeof(text)).line), LIVYEND_LINE_SIZE - 1);
    memset(text, '\0', sizeof(text));
    assert_string_equal(read_bytes(text, sizeof(text)).line, "");
    for (int round = 0; round < 200; round++) {
        size_t size = read_real(round % 2 == 0 ? "port-taken" : "no-java", text, sizeof(text));
        for (int i = 0; i < 20; i++) {
            random = random * 1103515245u + 12345u;
            text[(random >> 8) % size] = (char)(random >> 24);
        }
        size_t from = (random >> 4) % size;
        (void)read_bytes(text + from, size - from);
    }
}

static void test_waits(void **state)
{
    char text[65536];
    static const char connected[] =
        "INFO ClientCnxn: Session establishment complete on server a/1.2.3.4:2181\n";
    static const char opening[] = "INFO ClientCnxn: Opening socket connection to server a/1.2.3.4:2181.\n";
    static const char newer[] = "WARN ClientCnxn: Session 0x0 for server a/1.2.3.4:2181, Closing socket "
                                "connection. Attempting reconnect except it is a SessionExpiredException.\n";

    (void)state;
    assert_false(livyend_waits("", 0));
    assert_true(livyend_waits(opening, sizeof(opening) - 1));
    assert_true(livyend_waits(newer, sizeof(newer) - 1));
    snprintf(text, sizeof(text), "%s%s", opening, connected);
    assert_false(livyend_waits(text, strlen(text)));
    snprintf(text, sizeof(text), "%s%s\nsomething else", connected, newer);
    assert_true(livyend_waits(text, strlen(text)));
    size_t size = read_real("port-taken", text, sizeof(text)); /* it had reached its store */
    assert_false(livyend_waits(text, size));
    size = read_real("store-away", text, sizeof(text));
    assert_true(livyend_waits(text, size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_ends),    cmocka_unit_test(test_text),   cmocka_unit_test(test_others),
        cmocka_unit_test(test_unknown_ends), cmocka_unit_test(test_bounds), cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
