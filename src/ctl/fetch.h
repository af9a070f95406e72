/* fetch.h - a JSON document from the daemon, or the one line that says why not. */
#ifndef LIVY_HA_CTL_FETCH_H
#define LIVY_HA_CTL_FETCH_H

#include "ctl.h"

struct fetch {
    /* To be given to json_decref; NULL where it failed. Beside CTL_UNREACHABLE: it is of a while ago, as the
     * admin port has not heard of its daemon since. */
    json_t *document;
    enum ctl_exit exit; /* CTL_DONE, CTL_FAILED, CTL_UNREACHABLE or CTL_TIMED_OUT */
    int status;         /* the HTTP status, 0 where there was none */
    char why[600];      /* what, where, what to do */
};

/* GET `path`, to be answered with 200 and a JSON object (or array, where `array`). */
struct fetch fetch_document(const struct ctl *ctl, const char *path, bool array, int64_t deadline);

/* POST `path`; what is answered, whatever its status, as long as it is a JSON object. */
struct fetch fetch_post(const struct ctl *ctl, const char *path, int64_t deadline);

#endif
