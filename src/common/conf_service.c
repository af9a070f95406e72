/* conf_service.c - the variables that Kubernetes puts into every container for a Service whose name begins
 * with livy-ha (enableServiceLinks). They look like LIVY_HA_* but are none of ours. Pure, but for
 * inet_pton(3).
 *
 * For a Service "livy-ha-x" on port 8998, X being LIVY_HA_X:
 *   X_SERVICE_HOST=10.0.0.1   X_SERVICE_PORT=8998   X_SERVICE_PORT_<NAME>=8998   X_PORT=tcp://10.0.0.1:8998
 *   X_PORT_8998_TCP=tcp://10.0.0.1:8998   ..._TCP_PROTO=tcp   ..._TCP_PORT=8998   ..._TCP_ADDR=10.0.0.1
 * Name and value both have to fit: anything else that begins with LIVY_HA_ is somebody's slip, and is
 * refused.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_internal.h"

#define SERVICE_PREFIX "LIVY_HA_"

static const char *const service_protocols[] = {"tcp", "udp", "sctp"};
enum { N_PROTOCOLS = sizeof service_protocols / sizeof service_protocols[0], ADDRESS_SIZE = 64 };

static bool service_is_address(const char *text)
{
    struct in_addr v4;
    struct in6_addr v6;
    return inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1;
}

/* The number of digits of a port from 1 to 65535 at the beginning of `text`; 0 where there is none. */
static size_t service_port_length(const char *text)
{
    size_t length = strspn(text, "0123456789");
    long port = length > 0 && length <= 5 ? strtol(text, NULL, 10) : 0;
    return port > 0 && port <= 65535 ? length : 0;
}

static bool service_is_port(const char *text)
{
    size_t length = service_port_length(text);
    return length > 0 && text[length] == '\0';
}

/* tcp://10.0.0.1:8998, tcp://[fd00::1]:8998 */
static bool service_is_url(const char *text)
{
    const char *rest = strstr(text, "://");
    bool known = false;
    if (rest == NULL) {
        return false;
    }
    for (size_t i = 0; i < N_PROTOCOLS; i++) {
        size_t length = strlen(service_protocols[i]);
        known |= (size_t)(rest - text) == length && memcmp(text, service_protocols[i], length) == 0;
    }
    rest += 3;
    const char *colon = strrchr(rest, ':');
    if (!known || colon == NULL || !service_is_port(colon + 1)) {
        return false;
    }
    size_t length = (size_t)(colon - rest);
    if (length >= 2 && rest[0] == '[' && rest[length - 1] == ']') {
        rest++;
        length -= 2;
    }
    char address[ADDRESS_SIZE];
    (void)snprintf(address, sizeof address, "%.*s", (int)(length < sizeof address ? length : 0), rest);
    return service_is_address(address);
}

/* "8998_TCP", "8998_TCP_PROTO", …: what follows X_PORT_. */
static bool service_is_one_port(const char *rest, const char *value)
{
    size_t digits = service_port_length(rest);
    if (digits == 0 || rest[digits] != '_') {
        return false;
    }
    const char *protocol = rest + digits + 1;
    for (size_t i = 0; i < N_PROTOCOLS; i++) {
        const char *name = service_protocols[i];
        size_t length = strlen(name);
        if (strncasecmp(protocol, name, length) !=
            0) { /* the whole name is upper case: it has been checked */
            continue;
        }
        const char *part = protocol + length;
        if (part[0] == '\0') {
            return service_is_url(value);
        }
        if (strcmp(part, "_PROTO") == 0) {
            return strcmp(value, name) == 0;
        }
        if (strcmp(part, "_PORT") == 0) {
            return strlen(value) == digits && memcmp(value, rest, digits) == 0;
        }
        return strcmp(part, "_ADDR") == 0 && service_is_address(value);
    }
    return false;
}

/* What may follow the Service's name, which `at` stands behind. */
static bool service_fits(const char *at, const char *value)
{
    static const char service_port[] = "_SERVICE_PORT";
    static const size_t length = sizeof service_port - 1;
    if (strcmp(at, "_SERVICE_HOST") == 0) {
        return service_is_address(value);
    }
    if (strncmp(at, service_port, length) == 0 &&
        (at[length] == '\0' || (at[length] == '_' && at[length + 1] != '\0'))) {
        return service_is_port(value);
    }
    if (strcmp(at, "_PORT") == 0) {
        return service_is_url(value);
    }
    return strncmp(at, "_PORT_", 6) == 0 && service_is_one_port(at + 6, value);
}

bool conf_is_service_link(const char *name, size_t length, const char *value)
{
    char text[CONF_SERVICE_SIZE];
    if (length >= sizeof text || strncmp(name, SERVICE_PREFIX, strlen(SERVICE_PREFIX)) != 0) {
        return false;
    }
    memcpy(text, name, length);
    text[length] = '\0';
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != length) {
        return false;
    }
    /* The Service's name is "livy-ha", which the last underscore of the prefix follows, or a longer one. */
    for (const char *at = text + strlen(SERVICE_PREFIX) - 1; at != NULL; at = strchr(at + 1, '_')) {
        if (service_fits(at, value)) {
            return true;
        }
    }
    return false;
}

size_t conf_service_links(char *const envp[], const char **first)
{
    size_t count = 0;
    *first = NULL;
    for (; *envp != NULL; envp++) {
        const char *equals = strchr(*envp, '=');
        if (equals != NULL && conf_is_service_link(*envp, (size_t)(equals - *envp), equals + 1)) {
            *first = count++ == 0 ? *envp : *first;
        }
    }
    return count;
}
