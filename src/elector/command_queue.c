/* command_queue.c - who stands in the queue, asked of ZooKeeper itself before Livy is stopped for somebody
 * else. members/<id> says it too, but some 50 ms later.
 */
#include "command.h"

#include <string.h>

#include "core_internal.h"
#include "elector.h"

static void on_children(void *arg, const struct zk_reply *reply)
{
    struct command_queue_ask *ask = arg;
    const struct elector *e = ask->e;
    struct command_queue queue = {0};

    if (--ask->under_way > 0)
        return; /* the last one tells what is so since the last question */
    for (int i = 0; reply->rc == ZOK && i < reply->n_children; i++) {
        int64_t sequence = core_latch_sequence(reply->children[i]);
        if (sequence < 0 || strcmp(reply->children[i], e->core.node) == 0)
            continue;
        queue.others = true;
        queue.successor = queue.successor || sequence == e->commands->request.sequence;
    }
    ask->answer(ask->e, reply->rc == ZOK, &queue);
}

void command_queue_ask(struct elector *e, struct command_queue_ask *ask, command_queue_answer *answer)
{
    ask->e = e;
    ask->answer = answer;
    if (e->zk != NULL && latch_list(e, true, on_children, ask) == ZOK)
        ask->under_way++;
    else
        answer(e, false, &(struct command_queue){0});
}
