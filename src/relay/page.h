/* page.h - "/": the cluster for people, one HTML page without script or any resource from elsewhere. */
#ifndef LIVY_HA_RELAY_PAGE_H
#define LIVY_HA_RELAY_PAGE_H

#include <stdint.h>
#include <stdio.h>

#include "health.h"
#include "snapshot.h"

#define PAGE_TYPE "text/html; charset=utf-8"
/* The page needs its own style and nothing else. */
#define PAGE_POLICY "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

struct page_sources {
    const struct snapshot *snapshot;
    const struct health_front *front;
    const char *id; /* this member */
    int64_t now;
};

/* Everything that comes from the cluster is escaped, whoever wrote it there. */
void page_write(FILE *out, const struct page_sources *sources);

#endif
