/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which versions of a folder's mails were handed on: what makes each go out once though Graph repeats itself. Knows
 * nothing of the host.
 *
 * A version is remembered by a mark, 62 bits of a hash of id and changeKey and two bits that tell marks of versions
 * from those of fates: that a mail was removed from the folder, or that it came back. Of the fates of one mail the last
 * one counts. Marks stand in chunks, in the order in which they came; each chunk is one cursor. Only the last chunk
 * grows and is written again with each page; the others stay as they are until they are the oldest beyond the limit:
 * then their slot, which is the number in the cursor's key, is used again. So there are never more keys than that.
 */
#pragma once

#include <stdint.h>

#include <fragua/kit/buf.h>

#define MEMORY_CHUNK 256u      /* marks of a chunk; 2.7 KiB as text */
#define MEMORY_TEXT_MAX 65536u /* bytes of a chunk's text that is read; the host's limit for cursors */

struct memory_chunk {
    uint64_t *marks; /* owned array of n; sorted, but in the last chunk of a memory in the order in which they came */
    uint64_t seq;    /* the newer the higher; from 1 */
    uint32_t n, slot;
    bool changed;    /* since it was saved */
};

/* All zeroes: remembers nothing. */
struct memory {
    struct memory_chunk *chunks; /* owned array of n, the oldest first */
    uint64_t *pending;           /* owned array of n_pending: marks of a page that is not yet on its way */
    uint32_t *blanks;            /* owned array of n_blanks: slots to be emptied */
    uint32_t n, n_pending, cap_pending, n_blanks;
    bool unsettled;              /* chunks were read since memory_settle() */
};

/* The marks of an item of a page. */
struct memory_marks {
    uint64_t version; /* 0: it was removed */
    uint64_t fate;    /* of the mail, without saying which */
};

/*
 * @id, @version: decoded texts; empty version: removed. @is_key: the version is the changeKey, else the item's bytes,
 * which never count as the same as a key. Any thread.
 */
struct memory_marks memory_marks_of(struct fg_slice id, struct fg_slice version, bool is_key);

/* Whether the item is new; notes it as pending if so. */
bool memory_take(struct memory *m, struct memory_marks item);
/* What is pending is on its way. @limit: marks to remember, at least. */
void memory_keep(struct memory *m, size_t limit);
void memory_drop_pending(struct memory *m);

/* Writes the next slot that must be saved, an empty text for one to be emptied; false: no more, all count as saved. */
bool memory_save(struct memory *m, uint32_t *ret_slot, struct fg_buf *text);
/* Reads a slot as it was saved. Empty: nothing there. false: no text of ours, left alone. */
bool memory_load(struct memory *m, uint32_t slot, struct fg_slice text);
/* After all slots were read. What is beyond the limit is forgotten. */
void memory_settle(struct memory *m, size_t limit);

void memory_blank(struct memory *m); /* forgets all, and lets the slots be emptied with the next save */
void memory_clear(struct memory *m); /* forgets all without a trace */
size_t memory_count(const struct memory *m);
