/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of what was handed on, in chunks. */
#include "memory.h"

#include <inttypes.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#define FORMAT "1" /* of a chunk's text: format, sequence, marks in base64url, little-endian */
#define MARK_FATE 1u /* else of a version */
#define MARK_REMOVED 2u /* with MARK_FATE: the mail was removed; without: it came back */
#define TAG_VERSION UINT64_C(0x76657273696f6e)
#define TAG_BYTES UINT64_C(0x6279746573)
#define TAG_FATE UINT64_C(0x66617465)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static uint64_t rotl(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static uint64_t read_word(const char *bytes, size_t n)
{
    uint64_t word = 0;

    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return word;
}

/* SipHash-2-4. The keys are fixed where it is called: marks outlive the process. */
static uint64_t hash(uint64_t k0, uint64_t k1, struct fg_slice s)
{
    uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                      k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
    size_t whole = s.len / 8 * 8;

    for (size_t i = 0; i <= whole; i += 8) {
        uint64_t word = i < whole ? read_word(s.ptr + i, 8)
                                  : (uint64_t)s.len << 56 | (s.len ? read_word(s.ptr + i, s.len - i) : 0);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct memory_marks memory_marks_of(struct fg_slice id, struct fg_slice version, bool is_key)
{
    uint64_t mail = hash(0, 0, id);
    uint64_t of_version = hash(mail, is_key ? TAG_VERSION : TAG_BYTES, version) & ~UINT64_C(3);

    return (struct memory_marks){ .version = !version.len ? 0 : of_version ? of_version : 4,
                                  .fate = (hash(mail, TAG_FATE, FG_SLICE_NULL) & ~UINT64_C(3)) | MARK_FATE };
}

static void *grown(void *array, size_t n, size_t size)
{
    void *more = realloc(array, n * size);

    if (!more)
        abort();
    return more;
}

/* The last chunk still grows and is not sorted. */
static bool is_open(const struct memory *m, const struct memory_chunk *c)
{
    return c == &m->chunks[m->n - 1] && c->n < MEMORY_CHUNK;
}

static bool list_has(const uint64_t *marks, size_t n, uint64_t mark)
{
    while (n > 0 && marks[n - 1] != mark)
        n--;
    return n > 0;
}

static bool sorted_has(const uint64_t *marks, size_t n, uint64_t mark)
{
    size_t low = 0;

    while (n > 0) {
        size_t half = n / 2;
        if (marks[low + half] < mark) {
            low += half + 1;
            n -= half + 1;
        } else {
            if (marks[low + half] == mark)
                return true;
            n = half;
        }
    }
    return false;
}

static bool has(const struct memory *m, uint64_t mark)
{
    if (list_has(m->pending, m->n_pending, mark))
        return true;
    for (size_t i = m->n; i > 0; i--) {
        const struct memory_chunk *c = &m->chunks[i - 1];
        if (is_open(m, c) ? list_has(c->marks, c->n, mark) : sorted_has(c->marks, c->n, mark))
            return true;
    }
    return false;
}

/* The last fate in a list; 0: none. */
static uint64_t last_fate(const uint64_t *marks, size_t n, uint64_t fate)
{
    while (n > 0 && (marks[n - 1] & ~(uint64_t)MARK_REMOVED) != fate)
        n--;
    return n > 0 ? marks[n - 1] : 0;
}

static uint64_t fate_in(const struct memory *m, const struct memory_chunk *c, uint64_t fate)
{
    if (is_open(m, c))
        return last_fate(c->marks, c->n, fate);
    if (sorted_has(c->marks, c->n, fate | MARK_REMOVED))
        return fate | MARK_REMOVED;
    return sorted_has(c->marks, c->n, fate) ? fate : 0;
}

static bool is_removed(const struct memory *m, uint64_t fate)
{
    uint64_t found = last_fate(m->pending, m->n_pending, fate);

    for (size_t i = m->n; !found && i > 0; i--)
        found = fate_in(m, &m->chunks[i - 1], fate);
    return (found & MARK_REMOVED) != 0;
}

static void note(struct memory *m, uint64_t mark)
{
    if (m->n_pending == m->cap_pending) {
        m->cap_pending = m->cap_pending ? m->cap_pending * 2 : 16;
        m->pending = grown(m->pending, m->cap_pending, sizeof(*m->pending));
    }
    m->pending[m->n_pending++] = mark;
}

bool memory_take(struct memory *m, struct memory_marks item)
{
    bool removed;

    if (item.version && has(m, item.version))
        return false;
    removed = is_removed(m, item.fate);
    if (item.version) {
        note(m, item.version);
        if (removed)
            note(m, item.fate); /* it is back: the next removal is another one */
    } else if (!removed) {
        note(m, item.fate | MARK_REMOVED);
    }
    return item.version || !removed;
}

void memory_drop_pending(struct memory *m)
{
    free(m->pending);
    m->pending = NULL;
    m->n_pending = m->cap_pending = 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Of the fates of one mail the last one stays: then the order of marks says nothing any more. */
static void drop_old_fates(struct memory_chunk *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t mark = c->marks[i];
        if ((mark & MARK_FATE) && last_fate(c->marks + i + 1, c->n - i - 1, mark & ~(uint64_t)MARK_REMOVED))
            continue;
        c->marks[n++] = mark;
    }
    c->n = n;
}

static void sort(struct memory_chunk *c)
{
    if (c->n)
        qsort(c->marks, c->n, sizeof(*c->marks), by_value);
}

static void add_blank(struct memory *m, uint32_t slot)
{
    m->blanks = grown(m->blanks, m->n_blanks + 1, sizeof(*m->blanks));
    m->blanks[m->n_blanks++] = slot;
}

static void drop_oldest(struct memory *m)
{
    add_blank(m, m->chunks[0].slot);
    free(m->chunks[0].marks);
    memmove(m->chunks, m->chunks + 1, --m->n * sizeof(*m->chunks));
}

static bool is_used(const struct memory *m, uint32_t slot)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->chunks[i].slot == slot)
            return true;
    return false;
}

/* A slot that is to be emptied serves as well as one that was never used. */
static uint32_t free_slot(struct memory *m)
{
    uint32_t slot = m->n;

    if (m->n_blanks)
        return m->blanks[--m->n_blanks];
    if (is_used(m, slot)) /* then one below it is free */
        for (slot = 0; is_used(m, slot);)
            slot++;
    return slot;
}

/* A whole chunk can be forgotten only when the others are enough. */
static size_t chunks_max(size_t limit)
{
    return (limit + MEMORY_CHUNK - 1) / MEMORY_CHUNK + 1;
}

static void open_chunk(struct memory *m, size_t limit)
{
    uint64_t seq = m->n ? m->chunks[m->n - 1].seq + 1 : 1;
    uint32_t slot;

    while (m->n >= chunks_max(limit))
        drop_oldest(m);
    slot = free_slot(m);
    m->chunks = grown(m->chunks, m->n + 1, sizeof(*m->chunks));
    m->chunks[m->n++] = (struct memory_chunk){ .seq = seq, .slot = slot };
}

/* Room for `more` marks, and not much beyond: there are many folders. */
static void make_room(struct memory_chunk *c, uint32_t more)
{
    uint32_t n = c->n + more > MEMORY_CHUNK ? MEMORY_CHUNK : c->n + more;

    c->marks = grown(c->marks, n, sizeof(*c->marks));
}

void memory_keep(struct memory *m, size_t limit)
{
    for (uint32_t i = 0; i < m->n_pending;) {
        struct memory_chunk *c;
        if (!m->n || m->chunks[m->n - 1].n >= MEMORY_CHUNK)
            open_chunk(m, limit);
        c = &m->chunks[m->n - 1];
        make_room(c, m->n_pending - i);
        c->changed = true;
        while (i < m->n_pending && c->n < MEMORY_CHUNK)
            c->marks[c->n++] = m->pending[i++];
        if (c->n == MEMORY_CHUNK) {
            drop_old_fates(c);
            if (c->n == MEMORY_CHUNK)
                sort(c);
        }
    }
    memory_drop_pending(m);
}

static void write_chunk(const struct memory_chunk *c, struct fg_buf *text)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    fg_buf_printf(text, FORMAT " %" PRIu64 " ", c->seq);
    for (size_t i = 0; i < (size_t)c->n * 8; i++) {
        bits = bits << 8 | (uint32_t)(c->marks[i / 8] >> i % 8 * 8 & 0xff);
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            fg_buf_add_char(text, digits[bits >> (n_bits - 6) & 63]);
    }
    if (n_bits)
        fg_buf_add_char(text, digits[bits << (6 - n_bits) & 63]);
}

bool memory_save(struct memory *m, uint32_t *ret_slot, struct fg_buf *text)
{
    fg_buf_clear(text);
    if (m->n_blanks) {
        *ret_slot = m->blanks[--m->n_blanks];
        if (!m->n_blanks) {
            free(m->blanks);
            m->blanks = NULL;
        }
        return true;
    }
    for (size_t i = m->n; i > 0; i--) {
        struct memory_chunk *c = &m->chunks[i - 1];
        if (!c->changed)
            continue; /* not the end: several may have been filled by one page */
        c->changed = false;
        *ret_slot = c->slot;
        write_chunk(c, text);
        return true;
    }
    return false;
}

/* false: not base64url of whole marks. */
static bool read_marks(struct fg_slice text, uint64_t *marks, size_t n)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t at = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = fg_base64_digit(text.ptr[i], "-_");
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        if (at == n * 8)
            return false;
        marks[at / 8] |= (uint64_t)(bits >> n_bits & 0xff) << at % 8 * 8;
        at++;
    }
    return at == n * 8 && (bits & ((1u << n_bits) - 1)) == 0;
}

bool memory_load(struct memory *m, uint32_t slot, struct fg_slice text)
{
    struct memory_chunk c = { .slot = slot };
    struct fg_slice format, seq;
    int64_t number;

    if (!text.len)
        return true;
    if (text.len > MEMORY_TEXT_MAX || !fg_slice_cut(text, ' ', &format, &text) || !fg_slice_is(format, FORMAT) ||
        !fg_slice_cut(text, ' ', &seq, &text) || !fg_parse_int(seq, &number) || number < 1)
        return false;
    c.seq = (uint64_t)number;
    c.n = (uint32_t)(text.len * 6 / 64);
    if (c.n == 0 || text.len != ((size_t)c.n * 64 + 5) / 6)
        return false;
    c.marks = calloc(c.n, sizeof(*c.marks));
    if (!c.marks)
        abort();
    if (!read_marks(text, c.marks, c.n)) {
        free(c.marks);
        return false;
    }
    m->chunks = grown(m->chunks, m->n + 1, sizeof(*m->chunks));
    m->chunks[m->n++] = c;
    m->unsettled = true;
    return true;
}

static int by_seq(const void *a, const void *b)
{
    const struct memory_chunk *x = a, *y = b;

    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

void memory_settle(struct memory *m, size_t limit)
{
    if (!m->unsettled)
        return;
    m->unsettled = false;
    qsort(m->chunks, m->n, sizeof(*m->chunks), by_seq);
    while (m->n > chunks_max(limit))
        drop_oldest(m);
    for (uint32_t i = 0; i < m->n; i++) {
        struct memory_chunk *c = &m->chunks[i];
        drop_old_fates(c);
        if (!is_open(m, c))
            sort(c);
    }
}

void memory_blank(struct memory *m)
{
    while (m->n)
        drop_oldest(m);
    memory_drop_pending(m);
}

void memory_clear(struct memory *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        free(m->chunks[i].marks);
    free(m->chunks);
    free(m->blanks);
    free(m->pending);
    *m = (struct memory){ .n = 0 };
}

size_t memory_count(const struct memory *m)
{
    size_t n = 0;

    for (uint32_t i = 0; i < m->n; i++)
        n += m->chunks[i].n;
    return n;
}
