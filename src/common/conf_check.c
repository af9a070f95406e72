/* conf_check.c - the syntax of addresses, paths and names in the configuration. Pure: no system calls but
 * inet_pton(3), no memory.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "conf_internal.h"

enum { HOST_LIMIT = 253, ID_LIMIT = 128 };

static bool check_is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

const char *conf_check_id(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    size_t length = strlen(text);
    if (length == 0 || length > ID_LIMIT || strspn(text, allowed) != length) {
        return "a name of 1 to 128 of the characters A-Z a-z 0-9 . _ : -";
    }
    /* It names a znode, and ZooKeeper knows these two as parts of a path only. */
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        return "a name other than \".\" and \"..\"";
    }
    return NULL;
}

const char *conf_check_string(const char *text)
{
    if (text[0] == '\0') {
        return "some text (leave the key out to have none)";
    }
    return check_is_printable(text) ? NULL : "text on one line without control characters";
}

const char *conf_check_path(const char *text)
{
    if (text[0] != '/') {
        return "an absolute path (one that begins with /)";
    }
    if (strlen(text) >= PATH_MAX) {
        return "a path shorter than 4096 bytes";
    }
    return check_is_printable(text) ? NULL : "a path without control characters";
}

const char *conf_check_socket(const char *text)
{
    struct sockaddr_un address;
    if (strlen(text) >= sizeof address.sun_path) {
        return "a path shorter than 108 bytes, as a Unix socket needs it (set control.socket or a shorter "
               "runtime_dir)";
    }
    return conf_check_path(text);
}

/* Decimal, without sign or blanks, 1 to 65535; else 0. */
static int check_port(const char *text, size_t length)
{
    int port = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i])) {
            return 0;
        }
        port = port * 10 + (text[i] - '0');
        if (port > 65535) {
            return 0;
        }
    }
    return port;
}

static bool check_copy(char *out, size_t size, const char *text, size_t length)
{
    if (length >= size) {
        return false;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* The part before a port: [v6], or a name or IPv4 address. */
static const char *check_host(const char *text, size_t length)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    char host[HOST_LIMIT + 1];
    if (length == 0 || !check_copy(host, sizeof host, text, length)) {
        return "a host name of 1 to 253 characters before the port";
    }
    if (host[0] == '[') {
        struct in6_addr address;
        if (host[length - 1] == ']') {
            host[length - 1] = '\0';
        }
        return inet_pton(AF_INET6, host + 1, &address) == 1 ? NULL : "an IPv6 address between [ and ]";
    }
    if (strspn(host, allowed) != length || host[0] == '.' || host[0] == '-') {
        return "a host name or address before the port";
    }
    /* Four numbers that are no address would otherwise be looked up as a name, much later. */
    struct in_addr v4;
    if (strspn(host, "0123456789.") == length && inet_pton(AF_INET, host, &v4) != 1) {
        return "a host name or a whole IPv4 address";
    }
    return NULL;
}

/* Splits "host", "host:port", "[v6]", "[v6]:port"; *port is 0 where there is none. */
static const char *check_host_port(const char *text, size_t length, int *port)
{
    const char *end = text + length;
    const char *colon = text[0] == '[' ? memchr(text, ']', length) : memchr(text, ':', length);
    *port = 0;
    if (text[0] == '[') {
        if (colon == NULL) {
            return "a ] at the end of the IPv6 address";
        }
        colon++;
        if (colon < end && *colon != ':') {
            return "a colon and a port after the ]";
        }
    }
    if (colon == NULL || colon == end) {
        return check_host(text, length);
    }
    if (text[0] != '[' && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL) {
        return "an IPv6 address in brackets, [fd00::1]:2181";
    }
    *port = check_port(colon + 1, (size_t)(end - colon - 1));
    if (*port == 0) {
        return "a port from 1 to 65535 after the colon";
    }
    return check_host(text, (size_t)(colon - text));
}

const char *conf_check_znode(const char *text)
{
    if (text[0] != '/' || text[1] == '\0') {
        return "a ZooKeeper path of at least one part, such as \"/livy_ha\"";
    }
    if (!check_is_printable(text) || strlen(text) > 512) {
        return "a ZooKeeper path of at most 512 printable characters";
    }
    for (const char *part = text; *part == '/';) {
        part++;
        size_t length = strcspn(part, "/");
        if (length == 0) {
            return "a ZooKeeper path without an empty part or a slash at its end";
        }
        if ((length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) {
            return "a ZooKeeper path without the parts \".\" and \"..\"";
        }
        part += length;
    }
    return NULL;
}

const char *conf_check_hosts(const char *text)
{
    if (strpbrk(text, " \t\r\n") != NULL) {
        return "no blanks between the servers: h1:2181,h2:2181,h3:2181";
    }
    size_t servers = strcspn(text, "/");
    for (const char *part = text, *end = text + servers;;) {
        const char *comma = memchr(part, ',', (size_t)(end - part));
        size_t length = (size_t)((comma != NULL ? comma : end) - part);
        int port;
        if (length == 0) {
            return "a server on each side of every comma: h1:2181,h2:2181,h3:2181";
        }
        const char *wrong = check_host_port(part, length, &port);
        if (wrong != NULL) {
            return wrong;
        }
        if (comma == NULL) {
            break;
        }
        part = comma + 1;
    }
    if (text[servers] == '/') {
        return strchr(text + servers, ',') != NULL ? "a chroot after the last server only"
                                                   : conf_check_znode(text + servers);
    }
    return NULL;
}

const char *conf_check_digest(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0' || !check_is_printable(text)) {
        return "user:password, both non-empty";
    }
    return NULL;
}

const char *conf_check_listen(const char *text)
{
    if (strcmp(text, "off") == 0) {
        return NULL;
    }
    const char *colon = strrchr(text, ':');
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        return "\"address:port\"; a port alone takes a colon, as in \":8998\"";
    }
    if (colon == NULL || (text[0] == '[' && colon[-1] != ']')) {
        return "\"address:port\", \":port\" for all addresses, or \"off\"";
    }
    if (check_port(colon + 1, strlen(colon + 1)) == 0) {
        return "a port from 1 to 65535 after the colon";
    }
    if (colon == text) {
        return NULL;
    }
    int port;
    const char *wrong = check_host_port(text, strlen(text), &port);
    if (wrong != NULL) {
        return wrong;
    }
    struct in_addr v4;
    char host[HOST_LIMIT + 1];
    if (text[0] != '[' && (!check_copy(host, sizeof host, text, (size_t)(colon - text)) ||
                           inet_pton(AF_INET, host, &v4) != 1)) {
        return "an IP address of this host before the port, 127.0.0.1 for localhost (names are not resolved "
               "here)";
    }
    return NULL;
}

int conf_listen_port(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    return colon == NULL ? -1 : check_port(colon + 1, strlen(colon + 1));
}

static const char *check_url_rest(const char *url)
{
    if (strncmp(url, "http://", 7) == 0) {
        return url + 7;
    }
    return strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

const char *conf_check_url(const char *text)
{
    const char *rest = check_url_rest(text);
    if (rest == NULL) {
        return "a URL that begins with http:// or https://";
    }
    if (strchr(rest, '@') != NULL) {
        return "a URL without user and password";
    }
    size_t length = strcspn(rest, "/?#");
    if (rest[length] != '\0' && strcmp(rest + length, "/") != 0) {
        return "a URL of host and port alone, without path or query";
    }
    int port;
    return length == 0 ? "a host after the //" : check_host_port(rest, length, &port);
}

void conf_url_host(const char *url, char *host, size_t size)
{
    const char *rest = check_url_rest(url);
    host[0] = '\0';
    if (rest == NULL) {
        return;
    }
    size_t length = rest[0] == '[' ? strcspn(++rest, "]") : strcspn(rest, ":/");
    (void)snprintf(host, size, "%.*s", (int)length, rest);
}
