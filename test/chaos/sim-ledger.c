/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: an independent reader of committed records, in the order of each partition. It believes nobody: which
 * mail a record is, and that no byte of it is wrong, comes from the record itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

/* Which of them a topic's records get from the line that wrote them; others they had before. */
static const char *const stamps[] = {"forge", "pass", "sink"};
#define N_STAMPS (sizeof(stamps) / sizeof(stamps[0]))

static void reader_open(struct world *w, struct reader *reader, const char *topic)
{
    reader->topic = model_topic(&w->bus, topic, 1);
    reader->at = fg_calloc((size_t)reader->topic->n_partitions, sizeof(*reader->at));
    reader->last = fg_calloc(w->n_conversations, sizeof(*reader->last));
    for (unsigned i = 0; i < w->n_conversations; i++)
        reader->last[i] = -1;
    reader->newest = fg_calloc((size_t)reader->topic->n_partitions * N_STAMPS * SIM_LINES_MAX, sizeof(unsigned));
}

void ledger_open(struct world *w)
{
    reader_open(w, &w->documents, "documents");
    reader_open(w, &w->parts, "parts");
    reader_open(w, &w->entities, "entities");
    reader_open(w, &w->dead, "dead");
}

static void reader_close(struct reader *reader)
{
    free(reader->at);
    free(reader->last);
    free(reader->newest);
}

void ledger_close(struct world *w)
{
    reader_close(&w->documents);
    reader_close(&w->parts);
    reader_close(&w->entities);
    reader_close(&w->dead);
}

/* ---- what should become of a mail ---- */

static bool makes_document(const struct mail *m)
{
    return m->kind != KIND_DROP && m->kind != KIND_BAD_FORGE;
}

static bool makes_part(uint32_t i, const struct mail *m)
{
    return i % 5 == 0 && makes_document(m);
}

static bool dies_at_recognise(const struct mail *m)
{
    return m->kind == KIND_REFUSED || m->kind == KIND_NONSENSE || m->kind == KIND_MUTE || m->kind == KIND_HUGE ||
           m->kind == KIND_WRECK;
}

static bool makes_entity(const struct mail *m)
{
    return makes_document(m) && !dies_at_recognise(m);
}

static bool is_done(uint32_t i, const struct mail *m)
{
    if (m->kind == KIND_DROP)
        return true;
    if (m->kind == KIND_BAD_FORGE)
        return m->dead_ingest > 0;
    if (makes_part(i, m) && !m->parts)
        return false;
    return m->documents > 0 && (dies_at_recognise(m) ? m->dead_recognise > 0 : m->entities > 0);
}

/* ---- reading ---- */

static void bump(uint8_t *count)
{
    if (*count < UINT8_MAX)
        ++*count;
}

/*
 * Order. Exactly once: each record of a conversation is later than the one before. At least once: it may be one that
 * was there before, but none of those between may have been left out.
 */
static void check_order(struct world *w, struct reader *reader, const struct mail *m,
                        bool (*expected)(const struct mail *))
{
    int64_t *last = &reader->last[m->conversation];

    if (w->exactly_once && (int64_t)m->seq <= *last)
        w->ledger.misordered++;
    if ((int64_t)m->seq <= *last)
        return;
    if (!w->exactly_once) {
        for (size_t i = 0; i < w->n_issued && *last + 1 < (int64_t)m->seq; i++) {
            const struct mail *other = &w->mails[i];
            if (other->conversation == m->conversation && (int64_t)other->seq > *last && other->seq < m->seq &&
                expected(other)) {
                w->ledger.misordered++;
                sim_trace(&w->sim.self, "ledger: %s: mail %zu left out", reader->topic->name, i);
                break;
            }
        }
    }
    *last = m->seq;
}

static const struct fg_header *header(const struct model_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (fg_slice_is(r->headers[i].name, name))
            return &r->headers[i];
    return NULL;
}

static void read_dead(struct world *w, struct mail *m, char stage, const struct model_record *r)
{
    const struct fg_header *where = header(r, "fragua_stage");

    w->ledger.dead++;
    if (stage == 'M')
        bump(&m->dead_ingest);
    else
        bump(&m->dead_recognise);
    if (stage == 'M' ? m->kind == KIND_BAD_FORGE : dies_at_recognise(m))
        return;
    w->ledger.dead_wrong++;
    sim_trace(&w->sim.self, "ledger: mail %zu of kind %d is a dead letter of \"%.*s\": %.*s", (size_t)(m - w->mails),
              m->kind, where ? (int)where->value.len : 0, where ? where->value.ptr : "",
              header(r, "fragua_reason") ? (int)header(r, "fragua_reason")->value.len : 0,
              header(r, "fragua_reason") ? header(r, "fragua_reason")->value.ptr : "");
}

/* Where a line's stages were swapped, nothing of the old ones comes after something of the new ones. */
static void check_versions(struct world *w, struct reader *reader, int32_t partition, const struct model_record *r)
{
    for (size_t s = 0; w->exactly_once && s < N_STAMPS; s++) {
        const struct fg_header *stamp = header(r, stamps[s]);
        unsigned line = 0, number = 0, *newest;
        char text[SIM_STAMP_MAX];

        if (!stamp || (s == 0 && reader == &w->entities))
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", FG_SLICE_ARG(stamp->value));
        fg_assert(sscanf(text, "%u.%u", &line, &number) == 2);
        if (line >= SIM_LINES_MAX)
            continue;
        newest = &reader->newest[((size_t)partition * N_STAMPS + s) * SIM_LINES_MAX + line];
        if (number < *newest) {
            w->ledger.outdated++;
            sim_trace(&w->sim.self, "ledger: %s/%d: %s of version %u after %u", reader->topic->name, partition,
                      stamps[s], number, *newest);
        }
        *newest = number;
    }
}

static void read_one(struct world *w, struct reader *reader, const struct model_record *r)
{
    char stage = 0, key[16];
    uint32_t i = 0;
    struct mail *m;
    bool ok = mail_of(w, r->value, &stage, &i);

    if (ok)
        mail_key(w, i, key);
    if (!ok || !fg_slice_is(r->key, key)) {
        w->ledger.corrupt++;
        return;
    }
    m = &w->mails[i];
    if (reader == &w->documents && stage == 'D') {
        w->folders[m->folder].n_documents += m->documents == 0;
        bump(&m->documents);
        check_order(w, reader, m, makes_document);
    } else if (reader == &w->parts && stage == 'P') {
        bump(&m->parts);
    } else if (reader == &w->entities && stage == 'E') {
        bump(&m->entities);
        check_order(w, reader, m, makes_entity);
    } else if (reader == &w->dead && (stage == 'M' || stage == 'D')) {
        read_dead(w, m, stage, r);
    } else {
        w->ledger.corrupt++;
    }
    if (!m->done && is_done(i, m)) {
        m->done = true;
        w->ledger.done++;
        w->folders[m->folder].n_done++;
    }
}

static void read_topic(struct world *w, struct reader *reader)
{
    for (int32_t p = 0; p < reader->topic->n_partitions; p++) {
        const struct model_partition *partition = &reader->topic->partitions[p];
        while (reader->at[p] < partition->n && partition->records[reader->at[p]].state != MODEL_OPEN) {
            const struct model_record *r = &partition->records[reader->at[p]++];
            if (r->state != MODEL_COMMITTED && r->state != MODEL_REMOVED)
                continue;
            w->ledger.committed++;
            read_one(w, reader, r);
            if (reader != &w->dead)
                check_versions(w, reader, p, r);
        }
    }
}

void ledger_read(struct world *w)
{
    read_topic(w, &w->documents);
    read_topic(w, &w->parts);
    read_topic(w, &w->entities);
    read_topic(w, &w->dead);
}

void ledger_calm(struct world *w)
{
    for (unsigned f = 0; f < w->n_folders; f++) {
        w->folders[f].calm_documents = w->folders[f].n_documents;
        w->folders[f].calm_done = w->folders[f].n_done;
    }
}

bool ledger_has_recovered(const struct world *w)
{
    for (unsigned f = 0; f < w->n_folders; f++) {
        const struct folder *folder = &w->folders[f];
        if (folder->n_documents == folder->calm_documents || folder->n_done == folder->calm_done)
            return false;
    }
    return true;
}

static void say(struct world *w, uint32_t i, const char *what)
{
    const struct mail *m = &w->mails[i];
    sim_trace(&w->sim.self,
              "ledger: mail %u (kind %d, %s, conversation %u, %u) %s: documents %u, parts %u, entities %u, "
              "dead %u and %u",
              i, m->kind, w->folders[m->folder].key, m->conversation, m->seq, what, m->documents, m->parts, m->entities,
              m->dead_ingest, m->dead_recognise);
}

void ledger_settle(struct world *w)
{
    ledger_read(w);
    w->ledger.issued = w->n_issued;
    for (uint32_t i = 0; i < w->n_issued; i++) {
        const struct mail *m = &w->mails[i];
        unsigned lost = !is_done(i, m);
        unsigned twice = (m->documents > 1) + (m->parts > 1) + (m->entities > 1) + (m->dead_ingest > 1) +
                         (m->dead_recognise > 1);
        /* what should not be there at all is as bad as twice */
        twice += m->documents && !makes_document(m);
        twice += m->entities && !makes_entity(m);
        if (lost)
            say(w, i, "is lost");
        if (twice && w->exactly_once)
            say(w, i, "is there too often");
        w->ledger.lost += lost;
        w->ledger.duplicated += w->exactly_once ? twice : 0;
    }
}

bool ledger_is_good(const struct ledger *l)
{
    return !l->lost && !l->duplicated && !l->corrupt && !l->misordered && !l->aborted_seen && !l->dead_wrong &&
           !l->early_calls && !l->over_budget && !l->unclean && !l->outdated && !l->late_holds;
}
