/* view.h - where requests go, as the elector last said it. Pure. */
#ifndef LIVY_HA_RELAY_VIEW_H
#define LIVY_HA_RELAY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/front.h"

/* What is to become of the connections to a Livy that were made under the view before. */
enum view_fate {
    VIEW_KEEP,
    VIEW_MAY_END, /* what runs may end; idle ones are closed */
    VIEW_CUT,     /* no byte goes there any more */
};

enum view_fate view_fate(const struct front_view *old, const struct front_view *fresh);

/* The route at the time `now` (CLOCK_BOOTTIME ms): FRONT_NOBODY once the view has run out. */
uint32_t view_route(const struct front_view *view, int64_t now);
/* The view as it is once it has run out. */
void view_expire(struct front_view *view);

bool view_redirects(const struct front_view *view, uint32_t route); /* plain requests are answered 307 */
bool view_routes(uint32_t route);                                   /* there is a Livy to go to */

/* For the log: "front old -> new: reason". False where nothing that a person would see has changed. */
bool view_describe(const struct front_view *old, const struct front_view *fresh, const char *why, char *text,
                   size_t size);

/* "http://host:port" in parts; "[v6]" without its brackets. False where it is not such an address. */
bool view_parse_url(const char *url, char *host, size_t size, int *port);

#endif
