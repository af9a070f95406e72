/* paths.h - the names of the nodes under zookeeper.root (CONTRACT "ZooKeeper"). */
#ifndef LIVY_HA_ELECTOR_PATHS_H
#define LIVY_HA_ELECTOR_PATHS_H

#define PATH_SIZE 1024 /* root (≤ 512) + the longest name */

/* Writes "<root>/<name>" or "<root>/<directory>/<name>" (directory may be NULL). */
void path_make(char path[PATH_SIZE], const char *root, const char *directory, const char *name);

/* The two paths of zk_release(): the latch node `node`, and the marker of who left in order. */
void path_release(char path[PATH_SIZE], char marker[PATH_SIZE], const char *root, const char *node);

#endif
