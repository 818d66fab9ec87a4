/* SPDX-License-Identifier: Apache-2.0 */
/* What happens in the process, told to control plugins that asked. */
#include <stdlib.h>

#include "base/mem.h"
#include "host/process-private.h"

struct fg_events {
    struct fg_list link; /* fg_process::events */
    fg_event_cb cb;      /* NULL: stopped while events are being told */
    void *arg;
    bool telling;
};

struct fg_events *fg_process_events(struct fg_process *process, fg_event_cb cb, void *arg)
{
    struct fg_events *e = fg_calloc(1, sizeof(*e));

    e->cb = cb;
    e->arg = arg;
    fg_list_append(&process->events, &e->link);
    return e;
}

void fg_events_stop(struct fg_events *e)
{
    if (!e)
        return;
    e->cb = NULL;
    if (e->telling)
        return; /* the walk frees it */
    fg_list_remove(&e->link);
    free(e);
}

bool fg_events_wanted(const struct fg_process *process)
{
    return !fg_list_empty(&process->events);
}

void fg_events_tell(struct fg_process *process, const char *event, struct fg_slice data)
{
    struct fg_list *it, *next;

    /* a callback may stop any of them: none is freed before the walk is over */
    for (it = process->events.next; it != &process->events; it = it->next)
        fg_container_of(it, struct fg_events, link)->telling = true;
    for (it = process->events.next; it != &process->events; it = it->next) {
        struct fg_events *e = fg_container_of(it, struct fg_events, link);
        if (e->cb && e->telling)
            e->cb(e->arg, event, data);
    }
    fg_list_for_each_safe(it, next, &process->events)
    {
        struct fg_events *e = fg_container_of(it, struct fg_events, link);
        e->telling = false;
        if (!e->cb)
            fg_events_stop(e);
    }
}
