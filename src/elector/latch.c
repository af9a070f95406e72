/* latch.c - who stands in the queue: the latch's children, asked of ZooKeeper. */
#include "elector.h"
#include "livy-ha/log.h"
#include "paths.h"

/* Only the list that is sent right behind it counts: one session's requests are carried out in order. */
static void on_synced(void *arg, const struct zk_reply *reply)
{
    (void)arg;
    if (reply->rc != ZOK)
        log_debug("sync of the latch: %s", zerror(reply->rc));
}

int latch_list(struct elector *e, bool sync, zk_done *done, void *arg)
{
    char path[PATH_SIZE];

    path_make(path, e->conf->zookeeper.root, NULL, "leader");
    int rc = sync ? zk_sync(e->zk, path, on_synced, NULL) : ZOK;
    return rc == ZOK ? zk_children(e->zk, path, 0, 0, done, arg) : rc;
}
