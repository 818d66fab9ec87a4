/* SPDX-License-Identifier: Apache-2.0 */
/* Mails: which there are, and their bytes, made anew from their number whenever somebody needs them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_of(const char *bytes, size_t len)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
    return h;
}

static size_t padding(const struct world *w, uint32_t i)
{
    uint64_t dice = mix(w->options.seed * 1000003 + i);
    return dice % 97 == 0 ? 4000 : dice % 7 == 0 ? 300 + dice / 7 % 300 : dice / 7 % 60;
}

/* "<stage>|<number>|<folder>|<conversation>|<seq>|<padding>|<hash of all before>" */
size_t mail_text(const struct world *w, uint32_t i, char stage, char ret[SIM_TEXT_MAX])
{
    const struct mail *m = &w->mails[i];
    size_t pad = padding(w, i), n;

    n = (size_t)snprintf(ret, 200, "%c|%u|%u|%u|%u|", stage, i, m->folder, m->conversation, m->seq);
    memset(ret + n, 'a' + (int)(i % 26), pad);
    n += pad;
    n += (size_t)snprintf(ret + n, 32, "|%016llx", (unsigned long long)hash_of(ret + 1, n - 1));
    return n;
}

bool mail_of(const struct world *w, struct fg_slice value, char *ret_stage, uint32_t *ret)
{
    char text[SIM_TEXT_MAX];
    uint64_t i = 0;
    size_t at = 2;

    if (value.len < 4 || value.ptr[1] != '|')
        return false;
    while (at < value.len && value.ptr[at] >= '0' && value.ptr[at] <= '9')
        i = i * 10 + (uint64_t)(value.ptr[at++] - '0');
    if (i >= w->n_mails)
        return false;
    *ret_stage = value.ptr[0];
    *ret = (uint32_t)i;
    return fg_slice_eq(value, fg_slice_make(text, mail_text(w, *ret, *ret_stage, text)));
}

void mail_key(const struct world *w, uint32_t i, char ret[16])
{
    (void)snprintf(ret, 16, "c%u", w->mails[i].conversation);
}

static enum kind kind_of(struct world *w)
{
    uint64_t dice = sim_random(&w->sim, 1000);

    return dice < 12   ? KIND_FLAKY
           : dice < 20 ? KIND_FLAKY_FORGE
           : dice < 30 ? KIND_DROP
           : dice < 36 ? KIND_BAD_FORGE
           : dice < 42 ? KIND_REFUSED
           : dice < 46 ? KIND_NONSENSE
           : dice < 50 ? KIND_HUGE
                       : KIND_PLAIN;
}

void mails_make(struct world *w)
{
    unsigned per_folder = 1 + (unsigned)sim_random(&w->sim, 6);

    w->n_conversations = w->n_folders * per_folder;
    w->mails = fg_calloc(w->n_mails, sizeof(*w->mails));
    w->next_seq = fg_calloc(w->n_conversations, sizeof(*w->next_seq));
    for (size_t i = 0; i < w->n_mails; i++) {
        struct mail *m = &w->mails[i];
        bool late = i >= w->n_early;
        /* the first late ones are fresh mails, one for each folder, for when all mishaps are over; the others trickle
         */
        m->folder = late && i < w->n_early + w->n_folders ? (uint32_t)(i - w->n_early)
                                                          : (uint32_t)sim_random(&w->sim, w->n_folders);
        m->conversation = m->folder * per_folder + (uint32_t)sim_random(&w->sim, per_folder);
        m->kind = (uint8_t)(late ? KIND_PLAIN : kind_of(w));
        m->fails_left = SIM_ATTEMPTS - 1;
    }
    for (uint64_t n = sim_chance(&w->sim, 40) ? 1 + sim_random(&w->sim, 4) : 0; n > 0; n--) {
        w->mails[sim_random(&w->sim, w->n_early)].kind = KIND_MUTE;
        w->ledger.has_mute = true;
    }
    /* not beside one that is never answered: who asks whether such an outage is over is not counted, see sim.md */
    if (!w->ledger.has_mute && sim_chance(&w->sim, 15)) {
        w->mails[sim_random(&w->sim, w->n_early)].kind = KIND_WRECK;
        w->ledger.has_mute = true;
    }
    for (unsigned f = 0; f < w->n_folders; f++) {
        struct folder *folder = &w->folders[f];
        (void)snprintf(folder->box, sizeof(folder->box), "box%u", f / 2);
        (void)snprintf(folder->key, sizeof(folder->key), "box%u/%s", f / 2, f % 2 ? "sent" : "inbox");
        folder->log = fg_calloc(w->n_mails, sizeof(*folder->log));
        folder->epoch = 1;
    }
}

void mails_free(struct world *w)
{
    for (unsigned f = 0; f < w->n_folders; f++)
        free(w->folders[f].log);
    free(w->mails);
    free(w->next_seq);
}

void mail_issue(struct world *w)
{
    uint32_t i = (uint32_t)w->n_issued;
    struct folder *folder;

    if (i >= w->n_mails)
        return;
    w->n_issued++;
    folder = &w->folders[w->mails[i].folder];
    if (w->mails[i].kind == KIND_DROP) {
        w->mails[i].done = true; /* what needs nothing more to be done */
        w->ledger.done++;
        folder->n_done++;
    }
    w->mails[i].seq = w->next_seq[w->mails[i].conversation]++;
    folder->log[folder->n++] = i;
}
