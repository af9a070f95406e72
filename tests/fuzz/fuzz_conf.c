/* fuzz_conf.c - libFuzzer: the configuration file, on any bytes. What loads must survive the hand-over
 * unchanged. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "livy-ha/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *
__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier): LeakSanitizer's name */

/* libconfig 1.5 leaks a few bytes of its scanner on some syntax errors. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static void check_hand_over(const struct conf *conf)
{
    struct conf_report report = {0};
    int fd = memfd_create("conf", MFD_CLOEXEC);

    if (fd < 0 || conf_write(conf, fd) != 0)
        abort();
    struct conf *copy = conf_read(fd, &report);
    if (copy == NULL || strcmp(copy->zookeeper.hosts, conf->zookeeper.hosts) != 0 ||
        copy->zookeeper.session_timeout != conf->zookeeper.session_timeout ||
        copy->livy.port != conf->livy.port)
        abort();
    conf_free(copy);
    conf_report_clear(&report);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *environment[] = {"LIVY_HA_ID=a", "LIVY_HA_LIVY_HOME=/opt/livy", NULL};
    struct conf_report report = {0};
    char path[64];
    int fd = memfd_create("file", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf *conf = conf_load(path, environment, &report);
    if (conf == NULL && report.n_errors == 0)
        abort(); /* refused without a word */
    if (conf != NULL)
        check_hand_over(conf);
    conf_free(conf);
    conf_report_clear(&report);
    close(fd);
    return 0;
}
