/* stamp.h - what Livy is made of, as a number: names, sizes and times of the files of livy.conf_dir, and of
 * livy.home's jars and livy.command. Looked at in a child of the keeper's, since files may block (a dead
 * network mount) and the keeper may not. */
#ifndef LIVY_HA_KEEPER_STAMP_H
#define LIVY_HA_KEEPER_STAMP_H

#include "child.h"
#include "hcore.h"
#include "livy-ha/conf.h"

/* Starts the child; its `status` is a pipe, readable when the answer is there or the child has ended. It dies
 * with the keeper. 0, or -1 with `why`. */
int stamp_begin(const struct conf *conf, struct child *child, char *why, size_t size);

/* The answer. False with `why` where there is none: a directory that cannot be read, a child that was killed.
 */
bool stamp_read(const struct child *child, struct hcore_stamp *stamp, char *why, size_t size);

/* In this process; may block. 0, or -1 with `why`. */
int stamp_make(const struct conf *conf, struct hcore_stamp *stamp, char *why, size_t size);

#endif
