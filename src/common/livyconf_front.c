/* livyconf_front.c - what livy.conf has to do with the front: whether other members can come to Livy at all,
 * and whether a standby can answer for it. */
#include <string.h>

#include "livy-ha/hostinfo.h"
#include "livyconf_internal.h"

/* On such an address only this host itself comes to Livy; the wildcard addresses are all of them. */
static bool front_is_loopback(const char *host)
{
    return hostinfo_is_local(host) && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0;
}

static enum conf_front_mode front_mode(const struct livyconf_input *input, const struct livyconf *out)
{
    enum conf_front_mode mode = input->conf->front.mode;

    if (mode != CONF_FRONT_AUTO)
        return mode;
    return out->kerberos ? CONF_FRONT_REDIRECT : CONF_FRONT_FORWARD;
}

void livyconf_front_check(struct livyconf_input *input, const struct livyconf *out)
{
    const struct conf_front *front = &input->conf->front;
    enum conf_front_mode mode = front_mode(input, out);
    int line = 0;

    if (strcmp(front->listen, "off") == 0)
        return;
    (void)props_get(input->props, "livy.server.host", &line);
    if (mode == CONF_FRONT_FORWARD && out->host != NULL && front_is_loopback(out->host))
        livyconf_error(
            input,
            "%s:%d: livy.server.host is %s, where the other members' fronts cannot come to forward "
            "requests (front.mode is \"%s\"): remove the line or give an address that they reach, or set "
            "front.mode = \"redirect\"",
            input->path, line, out->host,
            front->mode == CONF_FRONT_AUTO ? "auto\", which is \"forward" : "forward");
    (void)props_get(input->props, "livy.keystore", &line);
    if (mode == CONF_FRONT_REDIRECT && out->tls && front->tls_certificate == NULL)
        conf_report_warning(
            input->report,
            "%s:%d: livy.keystore is set, so clients speak TLS, in which a standby can answer with a "
            "redirect only where it has front.tls_certificate and front.tls_key: without them it "
            "forwards instead, and Livy's certificate must be good for each member's name",
            input->path, line);
}
