/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source-folder: makes a record of each file of a folder, once. It shows how a source works beside the loop: a worker
 * lists and reads, the loop submits, and what was assigned anew meanwhile makes the result stale.
 */
#include <fragua/plugin.h>

#include <stdlib.h>

#include <fragua/kit/str.h>

#include "listing.h"

#define BATCH_FILES 100u                 /* in one batch, and */
#define BATCH_BYTES ((size_t)1024 * 1024) /* so much of them, or one larger file */

struct config {
    const char *folder;
    int64_t poll, settle, max_bytes;
};

struct result {
    struct fg_record *record;
    struct fg_error err; /* code set: a dead letter */
};

/* One turn on a worker, with copies of its own, so that the loop may forget it at any time. */
struct job {
    struct folder *folder; /* borrowed; waits for it before it closes */
    bool stale;            /* what it works on was taken away or begun anew */
    struct seen seen;
    struct listing listing;
    struct result results[BATCH_FILES];
    size_t n_results, bytes;
    char *cursors[SHARDS]; /* owned; NULL: nothing new */
    struct fg_error err;   /* something cannot be read; code 0: nothing */
};

struct folder {
    struct fg_host *host;
    const struct config *config;
    struct fg_timer *timer; /* owned */
    bool mine;              /* the cursors are */
    struct seen seen;
    struct listing listing; /* what is left of the last one */
    struct job *job;        /* on a worker, or NULL */
    struct fg_batch *batch; /* waits to be filled, or NULL */
    bool resting;           /* nothing was new: until the timer */
    bool troubled;
    fg_done_cb stopped; /* waits for the job, or NULL */
    void *stopped_arg;
};

/* ---- on a worker ---- */

/* False: no room for it now. */
static bool add_result(struct job *job, const struct file *file, struct fg_slice value, const struct fg_error *why)
{
    struct fg_host *host = job->folder->host;
    struct result *result = &job->results[job->n_results];
    char name[3 * NAME_BYTES_MAX + 1], id[17];
    struct fg_header headers[] = { { FG_SLICE("file_name"), listing_name_text(file, name, sizeof(name)) },
                                   { FG_SLICE("file_id"), listing_id_text(file, id) } };
    struct fg_record_spec spec = { .view = { .key = fg_slice_of(file->name), .value = value, .headers = headers,
                                             .n_headers = 2, .timestamp_ms = file->modified_ns / 1000000 } };
    int r = host->svc->record_new(host, &spec, &result->record, &result->err);

    if (r == -FG_E_LIMIT) {
        spec.view.value = FG_SLICE_NULL;
        why = &result->err;
        r = host->svc->record_new(host, &spec, &result->record, NULL);
    }
    if (r < 0)
        return false;
    result->err = why ? *why : FG_ERROR_NULL;
    job->n_results++;
    job->bytes += value.len;
    return true;
}

/* What comes of one file. False: no room for it now, it stays at the head of the listing. */
static bool take_file(struct job *job, const struct file *file)
{
    const struct config *c = job->folder->config;
    struct fg_error err = FG_ERROR_NULL;
    bool taken = true;
    char *bytes = NULL;

    switch (listing_read(c->folder, file, (size_t)c->max_bytes, &bytes, &err)) {
    case READ_WHOLE:
        taken = add_result(job, file, fg_slice_make(bytes, (size_t)file->size), NULL);
        break;
    case READ_TOO_LARGE:
        taken = add_result(job, file, FG_SLICE_NULL, &err);
        break;
    case READ_CHANGED: /* or gone: the next listing tells */
        free(bytes);
        return true;
    case READ_FAILED:
        job->err = err;
        job->listing.bad = true;
        free(bytes);
        return true;
    }
    free(bytes);
    if (taken)
        seen_add(&job->seen, file->id);
    return taken;
}

static void run(void *arg)
{
    struct job *job = arg;
    const struct config *c = job->folder->config;
    struct fg_host *host = job->folder->host;
    struct listing *l = &job->listing;

    if (l->next == l->n) {
        int64_t before_ms = host->svc->wall_ms(host) - c->settle;
        listing_free(l);
        if (listing_make(c->folder, before_ms, &job->seen, l, &job->err) < 0)
            return;
    }
    while (l->next < l->n && job->n_results < BATCH_FILES &&
           (job->n_results == 0 || job->bytes + (size_t)l->files[l->next].size <= BATCH_BYTES)) {
        if (!take_file(job, &l->files[l->next]))
            break;
        l->next++;
    }
    if (job->n_results && !seen_write(&job->seen, &l->present, job->cursors)) {
        while (job->n_results) /* none goes out without the cursor that accounts for it */
            host->svc->record_unref(job->results[--job->n_results].record);
        listing_free(l);
        (void)fg_error_set(&job->err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the cursors");
    }
}

/* ---- on the loop ---- */

static void cancel_batch(struct folder *f)
{
    struct fg_batch *batch = f->batch;

    f->batch = NULL;
    if (batch)
        f->host->svc->batch_cancel(batch, NULL);
}

static void job_free(struct job *job)
{
    for (size_t i = 0; i < job->n_results; i++)
        job->folder->host->svc->record_unref(job->results[i].record);
    for (size_t i = 0; i < SHARDS; i++)
        free(job->cursors[i]);
    seen_free(&job->seen);
    listing_free(&job->listing);
    free(job);
}

static void tell(struct folder *f, const struct job *job)
{
    bool whole = f->listing.next == f->listing.n && !f->listing.bad;

    if (job->err.code)
        f->host->svc->trouble(f->host, &job->err);
    else if (f->troubled && whole)
        f->host->svc->trouble(f->host, NULL);
    f->troubled = job->err.code || (f->troubled && !whole);
}

static void submit(struct folder *f, struct job *job)
{
    const struct fg_services *svc = f->host->svc;
    struct fg_batch *batch = f->batch;

    f->batch = NULL; /* before the call: it may pull again */
    for (size_t i = 0; i < job->n_results; i++) {
        struct result *result = &job->results[i];
        if (result->err.code)
            svc->batch_dead(batch, result->record, &result->err);
        else
            svc->batch_add(batch, result->record);
    }
    job->n_results = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        char key[] = CURSOR_KEY;
        key[sizeof(CURSOR_KEY) - 2] = "0123456789abcdef"[i];
        if (job->cursors[i])
            svc->batch_cursor(batch, &(struct fg_cursor){ fg_slice_of(key), fg_slice_of(job->cursors[i]) });
    }
    svc->batch_submit(batch);
}

static void looked(void *arg);

/* Lets a worker look for files, when there is a batch to fill and none looks already. */
static void look(struct folder *f)
{
    struct job *job;

    if (!f->mine || !f->batch || f->job || f->resting)
        return;
    job = calloc(1, sizeof(*job));
    if (!job || !seen_copy(&f->seen, BATCH_FILES, &job->seen)) {
        free(job);
        cancel_batch(f); /* no memory now: the host pulls again */
        return;
    }
    job->folder = f;
    job->listing = f->listing;
    f->listing = (struct listing){ .files = NULL };
    f->job = job;
    (void)f->host->svc->offload(f->host, run, looked, job);
}

static void take_over(struct folder *f, struct job *job)
{
    seen_free(&f->seen);
    f->seen = job->seen;
    f->listing = job->listing;
    job->seen = (struct seen){ .changed = { false } };
    job->listing = (struct listing){ .files = NULL };
    tell(f, job);
    if (job->n_results) {
        submit(f, job);
    } else if (f->listing.next < f->listing.n) {
        cancel_batch(f); /* no room for the next one: the host pulls again when there is */
    } else {
        f->resting = true;
        f->host->svc->timer_start(f->timer, (uint64_t)f->config->poll);
    }
}

static void looked(void *arg)
{
    struct job *job = arg;
    struct folder *f = job->folder;
    fg_done_cb stopped = f->stopped;

    f->job = NULL;
    if (!job->stale)
        take_over(f, job);
    job_free(job);
    if (stopped)
        stopped(f->stopped_arg);
    else
        look(f); /* a batch may have come meanwhile, for what was assigned meanwhile */
}

static void rested(void *arg)
{
    struct folder *f = arg;

    f->resting = false;
    look(f);
}

/* What is under way was begun from another place. */
static void forget(struct folder *f)
{
    if (f->job)
        f->job->stale = true;
    listing_free(&f->listing);
    f->resting = false;
    f->host->svc->timer_stop(f->timer);
    cancel_batch(f); /* the host pulls again */
}

/* For assign and rewind: a shard for each cursor; an empty one: nothing was read. */
static void go_on(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct folder *f = self;

    f->mine = true;
    for (size_t i = 0; i < n; i++) {
        struct fg_slice key = cursors[i].key;
        int shard = fg_hex_digit(key.ptr[key.len - 1]);
        if (shard >= 0 && seen_read(&f->seen, (size_t)shard, cursors[i].value))
            continue;
        struct fg_error err = FG_ERROR_NULL;
        (void)fg_error_set(&err, FG_E_DATA, FG_ERROR_FATAL, "cursor \"%.*s\" is not one of this plugin's",
                           FG_SLICE_ARG(key));
        f->host->svc->trouble(f->host, &err); /* to read all again would double everything */
        f->mine = false;
    }
    forget(f);
}

static void revoke(void *self, const struct fg_slice *owners, size_t n)
{
    struct folder *f = self; /* there is but one owner, so it is this one */

    f->mine = false;
    seen_free(&f->seen);
    forget(f);
}

static void pull(void *self, struct fg_batch *batch)
{
    struct folder *f = self;

    f->batch = batch;
    look(f);
}

static void keys(void *self, fg_key_cb cb, void *arg)
{
    for (size_t i = 0; i < SHARDS; i++) {
        char key[] = CURSOR_KEY;
        key[sizeof(key) - 2] = "0123456789abcdef"[i];
        cb(arg, fg_slice_of(key));
    }
}

static int open_folder(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct folder *f = calloc(1, sizeof(*f));

    if (!f)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    f->host = host;
    f->config = config;
    f->timer = host->svc->timer_new(host, rested, f);
    *ret_self = f;
    return 0;
}

static void stop(void *self, fg_done_cb done, void *arg)
{
    struct folder *f = self;

    f->mine = false;
    forget(f);
    if (!f->job) {
        done(arg);
        return;
    }
    f->stopped = done; /* a worker still reads: looked() comes, always */
    f->stopped_arg = arg;
}

static void close_folder(void *self)
{
    struct folder *f = self;

    if (!f)
        return;
    f->host->svc->timer_free(f->timer);
    listing_free(&f->listing);
    seen_free(&f->seen);
    free(f);
}

static const struct fg_source_ops ops = { go_on, revoke, pull, go_on, keys };

static const struct fg_option options[] = {
    { .key = "folder", .type = FG_OPTION_PATH, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct config, folder),
      .summary = "whose files become records, without those in folders below" },
    { .key = "poll", .type = FG_OPTION_DURATION, .fallback = "5s", .min = 100, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, poll), .summary = "between two looks when nothing was new" },
    { .key = "settle", .type = FG_OPTION_DURATION, .fallback = "2s", .min = 0, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, settle), .summary = "a file that has not changed for so long is complete" },
    { .key = "max-bytes", .type = FG_OPTION_SIZE, .fallback = "1MiB", .min = 1, .max = 256 * 1024 * 1024,
      .unit = "bytes", .offset = offsetof(struct config, max_bytes),
      .summary = "a larger file becomes a dead letter without its contents" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_SOURCE, .name = "source-folder", .version = "1.0", .summary = "sends the files of a folder",
          .options = options, .config_size = sizeof(struct config), .open = open_folder, .stop = stop,
          .close = close_folder, .source = &ops);
