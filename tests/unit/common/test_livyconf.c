/* test_livyconf.c - what is read from livy.conf and livy-env.sh, and what is refused in them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "livyconf_bed.h"

/* ---- master, deploy mode, what else is read ------------------------------------------------------------ */

static void test_master(void **state)
{
    static const char *const good[] = {"yarn", "yarn-cluster", "k8s://https://api:6443"};
    static const char *const bad[] = {"local", "local[*]", "spark://m:7077", "YARN", ""};
    struct bed *bed = *state;
    char text[256];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "livy.spark.deploy-mode=cluster\nlivy.spark.master = %s\n", good[i]);
        load(bed, text);
        expect_good(bed, 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "livy.spark.deploy-mode=cluster\n\nlivy.spark.master = %s\n", bad[i]);
        load(bed, text);
        expect_error(bed, "livy.conf:3: livy.spark.master", "yarn");
    }
    load(bed, "livy.spark.deploy-mode=cluster\n");
    expect_error(bed, "livy.spark.master is missing from ", bed->file);
    bed->conf.livy.recovery = false;
    load(bed, NULL);
    expect_good(bed, 1);
}

static void test_deploy_mode(void **state)
{
    struct bed *bed = *state;

    load(bed, "livy.spark.master=yarn\nlivy.spark.deploy-mode = client\n");
    expect_good(bed, 1);
    expect_warning(bed, "livy.conf:2: livy.spark.deploy-mode is \"client\"");
    load(bed, "livy.spark.master=yarn\nlivy.spark.deployMode = client\n");
    expect_good(bed, 1);
    expect_warning(bed, "livy.conf:2: ");
    load(bed, "livy.spark.master=yarn\nlivy.spark.deployMode = cluster\n");
    expect_good(bed, 0);
    load(bed, "livy.spark.master=yarn\nlivy.spark.deployMode = cluster\nlivy.spark.deploy-mode=client\n");
    expect_good(bed, 1);
    load(bed, "livy.spark.master=yarn\n");
    expect_good(bed, 1);
    expect_warning(bed, "livy.spark.deploy-mode is missing");
    load(bed, "livy.spark.master=yarn-cluster\n");
    expect_good(bed, 0);
}

static void test_kerberos_tls_host(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN);
    assert_false(bed->livyconf->kerberos);
    assert_false(bed->livyconf->tls);
    assert_null(bed->livyconf->host);
    load(bed, YARN "livy.server.auth.type = Kerberos\nlivy.keystore=/k.jks\nlivy.server.host = 10.0.0.1\n");
    expect_good(bed, 0);
    assert_true(bed->livyconf->kerberos);
    assert_true(bed->livyconf->tls);
    assert_string_equal(bed->livyconf->host, "10.0.0.1");
    load(bed,
         YARN "livy.server.auth.type = ldap\nlivy.server.launch.kerberos.principal=livy@X\nlivy.keystore=\n");
    expect_good(bed, 0);
    assert_false(bed->livyconf->kerberos);
    assert_false(bed->livyconf->tls);
}

/* ---- what the front needs ---- */

static void test_loopback_and_forward(void **state)
{
    static const char *const loopback[] = {"127.0.0.1", "localhost", "::1"};
    static const char *const reachable[] = {"0.0.0.0", "::", "10.0.0.1", "livy.example.com"};
    struct bed *bed = *state;
    char text[256], where[128];

    bed->conf.front.listen = "0.0.0.0:8998";
    snprintf(where, sizeof where, "%s:3: livy.server.host is ", bed->file);
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        snprintf(text, sizeof text, YARN "livy.server.host = %s\n", loopback[i]);
        bed->conf.front.mode = CONF_FRONT_AUTO;
        load(bed, text);
        expect_error(bed, where, "front.mode = \"redirect\"");
        bed->conf.front.mode = CONF_FRONT_FORWARD;
        load(bed, text);
        expect_error(bed, where, loopback[i]);
        bed->conf.front.mode = CONF_FRONT_REDIRECT;
        load(bed, text);
        expect_good(bed, 0);
        bed->conf.front.mode = CONF_FRONT_FORWARD;
        bed->conf.front.listen = "off"; /* nobody forwards */
        load(bed, text);
        expect_good(bed, 0);
        bed->conf.front.listen = "0.0.0.0:8998";
    }
    for (size_t i = 0; i < sizeof reachable / sizeof *reachable; i++) {
        snprintf(text, sizeof text, YARN "livy.server.host = %s\n", reachable[i]);
        load(bed, text);
        expect_good(bed, 0);
    }
}

static void test_tls_and_redirect(void **state)
{
    static const char text[] = YARN "livy.server.auth.type = kerberos\nlivy.keystore = /k.jks\n";
    struct bed *bed = *state;

    bed->conf.front.listen = "0.0.0.0:8998";
    load(bed, text); /* auto, which Kerberos makes redirect */
    expect_good(bed, 1);
    expect_warning(bed, "front.tls_certificate");
    bed->conf.front.mode = CONF_FRONT_FORWARD;
    load(bed, text);
    expect_good(bed, 0);
    bed->conf.front.mode = CONF_FRONT_REDIRECT;
    bed->conf.front.tls_certificate = "/front.pem";
    load(bed, text);
    expect_good(bed, 0);
}

/* ---- livy-env.sh --------------------------------------------------------------------------------------- */

static void test_conf_dir_in_env(void **state)
{
    static const char *const bad[] = {
        "LIVY_CONF_DIR=/etc/livy",
        "export LIVY_CONF_DIR=/etc/livy",
        "  \tLIVY_CONF_DIR=/etc/livy",
        "\texport   LIVY_CONF_DIR=",
        "export \"LIVY_CONF_DIR=/etc/livy\"",
        "declare -x LIVY_CONF_DIR=/x",
        "A=1 LIVY_CONF_DIR=/x",
        "A='a b' LIVY_CONF_DIR=/x",
        "export A=1 LIVY_CONF_DIR=/x",
        "A=1; LIVY_CONF_DIR=/x # why",
        "[ -d /x ] && LIVY_CONF_DIR=/x",
        "if [ -d /x ]; then LIVY_CONF_DIR=/x; fi",
        "LIVY_CONF_DIR+=/x",
        ": ${LIVY_CONF_DIR:=/etc/livy}",
        ": \"${LIVY_CONF_DIR:=/etc/livy}\"",
        ": ${LIVY_CONF_DIR=/etc/livy}",
        "export X=${Y:-${LIVY_CONF_DIR:=/x}}",
        "export \\\nLIVY_CONF_DIR=/x",
    };
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        char where[160];
        snprintf(text, sizeof text, "#!/bin/sh\n\n%s\n", bad[i]);
        snprintf(where, sizeof where, "%s:%d: ", bed->env, strstr(bad[i], "\n") != NULL ? 4 : 3);
        write_file(bed->dir, "livy-env.sh", text);
        load(bed, YARN);
        expect_error(bed, where, "livy.conf_dir");
    }
}

static void test_conf_dir_that_is_not_set(void **state)
{
    static const char *const good[] = {
        "# LIVY_CONF_DIR=/etc/livy",
        "   # export LIVY_CONF_DIR=/x",
        "A=1 # LIVY_CONF_DIR=/x",
        "# once; LIVY_CONF_DIR=/x",
        "A=1 # then: ${LIVY_CONF_DIR:=/x}",
        "A=1;# LIVY_CONF_DIR=/x",
        "echo LIVY_CONF_DIR=$LIVY_CONF_DIR",
        "echo \"LIVY_CONF_DIR=$LIVY_CONF_DIR\"",
        "X=\"# ; LIVY_CONF_DIR=/x\"",
        "X=' ; LIVY_CONF_DIR=/x'",
        "X='${LIVY_CONF_DIR:=/x}'",
        "MY_LIVY_CONF_DIR=/x",
        "LIVY_CONF_DIR_OLD=/x",
        "X=${LIVY_CONF_DIR:-/x}",
        "X=${LIVY_CONF_DIR_X:=/x}",
        "[ \"$LIVY_CONF_DIR\" = /x ]",
        "export LIVY_CONF_DIR",
        "X=a\\ LIVY_CONF_DIR=/x",
        "X=\"a\\\" ; LIVY_CONF_DIR=/x\"",
        "LIVY_SERVER_JAVA_OPTS=-Dx=$LIVY_CONF_DIR=y",
        "LIVY_CONF_DIR",
        "X=LIVY_CONF_DIR=/x",
    };
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_file(bed->dir, "livy-env.sh", good[i]); /* with no newline at its end */
        load(bed, YARN);
        expect_good(bed, 0);
    }
}

static void test_spark_home(void **state)
{
    struct bed *bed = *state;

    bed->envp[0] = NULL;
    load(bed, YARN);
    expect_good(bed, 1);
    expect_warning(bed, "SPARK_HOME");
    bed->envp[0] = "SPARK_HOME=";
    load(bed, YARN);
    expect_good(bed, 1);
    bed->envp[0] = "SPARK_HOME_X=/opt/spark";
    write_file(bed->dir, "livy-env.sh", "# SPARK_HOME=/opt/spark\nexport SPARK_CONF_DIR=$SPARK_HOME/conf\n");
    load(bed, YARN);
    expect_good(bed, 1);
    expect_warning(bed, bed->env);
    write_file(bed->dir, "livy-env.sh", "export SPARK_HOME=/opt/spark\n");
    load(bed, YARN);
    expect_good(bed, 0);
    assert_int_equal(unlink(bed->env), 0);
    load(bed, YARN "livy.server.spark-home = /opt/spark\n");
    expect_good(bed, 0);
    bed->envp[0] = "SPARK_HOME=/opt/spark";
    load(bed, YARN);
    expect_good(bed, 0);
}

/* ---- files that are not as they should be -------------------------------------------------------------- */

static void test_missing_livy_conf_is_an_empty_one(void **state)
{
    struct bed *bed = *state;

    load(bed, NULL);
    expect_error(bed, "livy.spark.master is missing", bed->file);
    bed->conf.livy.recovery = false;
    load(bed, NULL);
    expect_good(bed, 2);
    expect_additions(bed, "livy.server.port = 18998\n");
}

static void test_missing_directory(void **state)
{
    struct bed *bed = *state;
    char missing[96];

    snprintf(missing, sizeof missing, "%s/none", bed->dir);
    bed->conf.livy.conf_dir = missing;
    load(bed, NULL);
    expect_error(bed, missing, "No such file or directory; set livy.conf_dir");
    write_file(bed->dir, "livy.conf", YARN);
    bed->conf.livy.conf_dir = bed->file;
    load(bed, NULL);
    expect_error(bed, bed->file, "is not a directory");
}

static void test_unreadable_files(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(mkdir(bed->file, 0700), 0);
    load(bed, NULL);
    expect_error(bed, bed->file, "Is a directory");
    assert_int_equal(rmdir(bed->file), 0);
    load(bed, YARN "\nx = \\u12\n");
    expect_error(bed, "livy.conf:4: ", "hexadecimal");
    assert_int_equal(mkdir(bed->env, 0700), 0);
    load(bed, YARN);
    expect_error(bed, bed->env, "Is a directory");
    assert_int_equal(rmdir(bed->env), 0);
}

static void test_every_error_is_reported(void **state)
{
    struct bed *bed = *state;

    write_file(bed->dir, "livy-env.sh", "LIVY_CONF_DIR=/x\n");
    load(bed,
         "livy.spark.master=local\nlivy.server.recovery.mode=off\nlivy.server.recovery.state-store=redis\n");
    assert_int_equal(bed->report.n_errors, 4);
    expect_in(bed->report.errors, 4, "livy.conf:1: ");
    expect_in(bed->report.errors, 4, "livy.conf:2: ");
    expect_in(bed->report.errors, 4, "livy.conf:3: ");
    expect_in(bed->report.errors, 4, "livy-env.sh:1: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_master),
        TEST(test_deploy_mode),
        TEST(test_kerberos_tls_host),
        TEST(test_loopback_and_forward),
        TEST(test_tls_and_redirect),
        TEST(test_conf_dir_in_env),
        TEST(test_conf_dir_that_is_not_set),
        TEST(test_spark_home),
        TEST(test_missing_livy_conf_is_an_empty_one),
        TEST(test_missing_directory),
        TEST(test_unreadable_files),
        TEST(test_every_error_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
