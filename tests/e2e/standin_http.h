/* standin_http.h - the stand-in's HTTP: GET /version as Livy answers it, and what the tests of the front
 * need. */
#ifndef STANDIN_HTTP_H
#define STANDIN_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>

struct http {
    int status; /* of GET /version */
    const char *name;
    const char *log; /* a line for each POST that was carried out: the value of its header X-Request */
    const _Atomic bool *hanging; /* true: nothing is answered any more */
    void (*answered)(void);      /* after each answer */
};

/* Answers on `listener` for ever, each connection in a thread of its own, kept alive as HTTP has it. GET
 * /version: the status given; GET /slow/MS: 200 after as many ms; POST: its body is read, then 201; all else:
 * 404. An answer says in X-Standin who gave it: "<name> <pid>". */
_Noreturn void http_serve(int listener, const struct http *http);

#endif
