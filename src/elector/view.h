/* view.h - this member's picture of the cluster: members/, known/ and history, kept by watches.
 *
 * Any change reads all of it again (a handful of nodes; at most 64 members are shown). While there is no
 * connection the last picture stands; who shows it says so. Never blocks.
 */
#ifndef LIVY_HA_ELECTOR_VIEW_H
#define LIVY_HA_ELECTOR_VIEW_H

#include <jansson.h>
#include <stdint.h>

#include "zk.h"

struct view;

/* A whole new picture has been read, and nothing is known to have changed meanwhile. */
typedef void view_renewed(void *arg);

/* `watch_kind` is what the owner's on_watch passes on to view_changed. `renewed` may be NULL. */
struct view *view_new(const char *root, uint32_t watch_kind, view_renewed *renewed, void *arg);
void view_free(struct view *view);

/* Reads everything on this handle; NULL: the handle is going away. */
void view_connect(struct view *view, struct zk *zk);
/* A watch of ours fired. */
void view_changed(struct view *view, uint64_t tag);

const json_t *
view_members(const struct view *view); /* object: id -> what members/<id> says, with "sequence" order lost */
const json_t *view_known(const struct view *view);   /* object: id -> what known/<id> says */
const json_t *view_history(const struct view *view); /* array */
uint64_t view_version(const struct view *view);      /* grows with each new picture */

#endif
