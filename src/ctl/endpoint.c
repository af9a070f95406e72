/* endpoint.c - see endpoint.h. */
#include "endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "livy-ha/conf.h"

static bool port_is_valid(const char *port)
{
    const size_t length = strlen(port);
    const long value = strtol(port, NULL, 10);

    return length >= 1 && length <= 5 && strspn(port, "0123456789") == length && value >= 1 && value <= 65535;
}

/* Splits "host:port", "[v6]:port" or a bare host in place; `port` is left alone where none is given. */
static bool split_authority(char *authority, char **host, const char **port)
{
    char *colon;

    *host = authority;
    if (authority[0] == '[') {
        char *close = strchr(authority, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return false;
        *host = authority + 1;
        *close = '\0';
        colon = close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = strchr(authority, ':');
    }
    if (colon != NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    return **host != '\0' && strpbrk(*host, "@/?# \t") == NULL;
}

int endpoint_parse_url(const char *url, struct endpoint *endpoint, char *why, size_t size)
{
    static const char scheme[] = "http://";
    char authority[256];
    const char *port = ENDPOINT_DEFAULT_PORT;
    char *host = NULL;
    size_t length;

    if (strncasecmp(url, scheme, sizeof scheme - 1) != 0) {
        (void)snprintf(why, size,
                       "-u %s: expected http://host:port, a member's admin.listen (which has no TLS)", url);
        return -1;
    }
    url += sizeof scheme - 1;
    length = strcspn(url, "/");
    if (length == 0 || length >= sizeof authority || (url[length] == '/' && url[length + 1] != '\0')) {
        (void)snprintf(why, size, "-u http://%s: expected http://host:port and no path", url);
        return -1;
    }
    memcpy(authority, url, length);
    authority[length] = '\0';
    if (!split_authority(authority, &host, &port) || !port_is_valid(port)) {
        (void)snprintf(why, size, "-u http://%s: expected http://host:port, with a port from 1 to 65535",
                       url);
        return -1;
    }
    *endpoint = (struct endpoint){.tcp = true};
    (void)snprintf(endpoint->host, sizeof endpoint->host, "%s", host);
    (void)snprintf(endpoint->port, sizeof endpoint->port, "%s", port);
    (void)snprintf(endpoint->shown, sizeof endpoint->shown,
                   strchr(host, ':') != NULL ? "http://[%s]:%s" : "http://%s:%s", host, port);
    return 0;
}

int endpoint_set_socket(const char *path, struct endpoint *endpoint, char *why, size_t size)
{
    *endpoint = (struct endpoint){.tcp = false};
    if (path[0] == '\0' || strlen(path) >= sizeof endpoint->path) {
        (void)snprintf(why, size, "control socket \"%s\": a socket's path has 1 to %zu bytes", path,
                       sizeof endpoint->path - 1);
        return -1;
    }
    (void)snprintf(endpoint->path, sizeof endpoint->path, "%s", path);
    (void)snprintf(endpoint->shown, sizeof endpoint->shown, "%s", path);
    return 0;
}

/* control.socket of a configuration; malloc'ed, NULL where it does not load. A configuration that was named
 * has its errors told; the default one may well be missing or closed to this user. */
static char *socket_of_conf(const char *path)
{
    struct conf_report report = {.n_errors = 0};
    struct conf *conf = conf_load(path, environ, &report);
    char *socket = NULL;

    if (conf != NULL) {
        socket = strdup(conf->control_socket);
        conf_free(conf);
    } else if (path != NULL) {
        for (size_t i = 0; i < report.n_errors; i++)
            (void)fprintf(stderr, "livy-ha-ctl: %s\n", report.errors[i]);
    }
    conf_report_clear(&report);
    return socket;
}

int endpoint_find_socket(const char *socket, const char *conf, struct endpoint *endpoint, char *why,
                         size_t size)
{
    const char *named = socket != NULL ? socket : getenv("LIVY_HA_CONTROL_SOCKET");
    const char *runtime = getenv("LIVY_HA_RUNTIME_DIR");
    char path[sizeof endpoint->path + 1]; /* one byte more, so that what is too long is refused as such */
    char *loaded;
    int rc;

    if (named != NULL)
        return endpoint_set_socket(named, endpoint, why, size);
    if (runtime != NULL) {
        (void)snprintf(path, sizeof path, "%s/control.sock", runtime);
        return endpoint_set_socket(path, endpoint, why, size);
    }
    loaded = socket_of_conf(conf);
    if (loaded == NULL && conf != NULL) {
        (void)snprintf(why, size,
                       "-c %s: the configuration does not load: correct it, or name the socket with -s",
                       conf);
        return -1;
    }
    rc = endpoint_set_socket(loaded != NULL ? loaded : ENDPOINT_DEFAULT_SOCKET, endpoint, why, size);
    free(loaded);
    return rc;
}
