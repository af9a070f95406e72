/* livyend.h - what Livy's own last lines mean: why it ended, or what it waits for. Pure: text in, an answer
 * out; no allocation, bounded by what it is given.
 *
 * Livy ends with status 1 whatever was wrong, and says why in the midst of a stack trace. The words that are
 * looked for are those of Livy 0.7 to 0.9, of Curator, Jetty and of the java launcher; the unit test has the
 * texts of real ones.
 */
#ifndef LIVY_HA_LIVYEND_H
#define LIVY_HA_LIVYEND_H

#include <stdbool.h>
#include <stddef.h>

#define LIVYEND_LINE_SIZE 160
#define LIVYEND_TEXT_SIZE 256 /* of livyend_text: as much as a message of ipc.h carries */

/* Told to the elector by its number (ipc.h), so: no change of order. */
enum livyend_why {
    LIVYEND_UNKNOWN,
    LIVYEND_SPARK,     /* SPARK_HOME is unset, not there, or its spark-submit does not run */
    LIVYEND_JAVA,      /* no Java, one of the wrong version, or an option that it does not know */
    LIVYEND_PORT,      /* livy.port is taken */
    LIVYEND_ADDRESS,   /* livy.server.host is no address of this host */
    LIVYEND_STORE,     /* the state store is not to be reached */
    LIVYEND_MASTER,    /* a livy.spark.master that recovery does not go with */
    LIVYEND_LOG_DIR,   /* the log directory is not there, or not to be written to */
    LIVYEND_SETTING,   /* a recovery setting that Livy does not take */
    LIVYEND_INSTALL,   /* Livy's jars are not there */
    LIVYEND_KERBEROS,  /* kinit failed */
    LIVYEND_MEMORY,    /* the heap, or the host's memory */
    LIVYEND_ZOOKEEPER, /* "Fatal Zookeeper error": 0.7 ends itself some 16 s after ZooKeeper went away */
    LIVYEND_UNHELD, /* let go before it was known whether it can be held, and it cannot: the keeper says so */
    LIVYEND_WHYS
};

struct livyend {
    enum livyend_why why;
    char line[LIVYEND_LINE_SIZE]; /* Livy's own words: one line, printable ASCII; "": it said nothing */
};

/* `text`: the end of what Livy has written; it may begin in the middle of a line, and hold any bytes. */
void livyend_read(const char *text, size_t size, struct livyend *end);

/* Cause, place, what to do, and Livy's own line. "" where nothing is known at all. */
void livyend_text(const struct livyend *end, char text[static LIVYEND_TEXT_SIZE]);

/* Does a Livy that lives say that it tries to reach its ZooKeeper, and nothing that came after that? */
bool livyend_waits(const char *text, size_t size);

#endif
