/* hostinfo.h - what this host is called. */
#ifndef LIVY_HA_HOSTINFO_H
#define LIVY_HA_HOSTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTINFO_SIZE 256 /* 253 octets of a DNS name, a NUL, and room for HOST_NAME_MAX */

/* Writes the fully qualified name: gethostname(2) where that has a dot, else the resolver's canonical name of
 * it, else the node name as it is. Blocks on the resolver in the second case: not for a loop. Cannot fail:
 * a host without a name is "localhost". */
void hostinfo_fqdn(char name[static HOSTINFO_SIZE]);

/* The choice itself, without system calls: `canonical` is the resolver's answer or NULL. A canonical name
 * without a dot, an IP address, or one of localhost says nothing about this host and is not taken. */
void hostinfo_choose(const char *node, const char *canonical, char name[static HOSTINFO_SIZE]);

/* True where other hosts cannot reach this one by `host`, a name or an IP address without brackets:
 * localhost, 127.0.0.0/8, ::1, and the wildcard addresses. */
bool hostinfo_is_local(const char *host);
bool hostinfo_is_ip(const char *host);

/* Bytes of memory that there are for this process: the host's, or what a control group leaves it (a
 * container's limit; versions 1 and 2). 0 where it cannot be told. */
int64_t hostinfo_memory(void);
/* The same of one limit's text: "max" or what is no number above 0 is none, INT64_MAX. */
int64_t hostinfo_limit(const char *text);

#endif
