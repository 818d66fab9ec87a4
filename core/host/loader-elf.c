/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bytes are a whole shared object of this machine, before the dynamic linker trusts that they are. */
#include <elf.h>
#include <link.h>

#include "base/err.h"
#include "host/loader-private.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE /* the dynamic linker says it */
#endif
#define ELF_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

/* Where the object says that its last byte is, plus one; UINT64_MAX: nowhere sensible. */
static uint64_t end_of(struct fg_slice bytes, const ElfW(Ehdr) *head)
{
    uint64_t table = (uint64_t)head->e_phoff + (uint64_t)head->e_phnum * sizeof(ElfW(Phdr));
    uint64_t end = head->e_shoff ? (uint64_t)head->e_shoff + (uint64_t)head->e_shnum * sizeof(ElfW(Shdr)) : 0;

    if (table < head->e_phoff || (head->e_shoff && end < head->e_shoff))
        return UINT64_MAX;
    end = table > end ? table : end;
    for (size_t i = 0; table <= bytes.len && i < head->e_phnum; i++) {
        ElfW(Phdr) segment;
        uint64_t last;
        memcpy(&segment, bytes.ptr + head->e_phoff + i * sizeof(segment), sizeof(segment));
        last = (uint64_t)segment.p_offset + segment.p_filesz;
        if (last < segment.p_offset)
            return UINT64_MAX;
        end = last > end ? last : end;
    }
    return end;
}

int fg_plugin_check_elf(struct fg_slice bytes, const char *path, struct fg_error *err)
{
    ElfW(Ehdr) head;
    uint64_t end;

    if (bytes.len < SELFMAG || memcmp(bytes.ptr, ELFMAG, SELFMAG) != 0)
        return REFUSAL("\"%s\" is not a shared object", path);
    if (bytes.len < sizeof(head))
        return REFUSAL("\"%s\" is cut off after %zu bytes: copy it again, and rename it into place when it is whole",
                       path, bytes.len);
    memcpy(&head, bytes.ptr, sizeof(head));
    if (head.e_ident[EI_CLASS] != ELF_CLASS || (MACHINE != EM_NONE && head.e_machine != MACHINE))
        return REFUSAL("\"%s\" was built for another machine (ELF machine %u, %s bits): build it for this one", path,
                       head.e_machine, head.e_ident[EI_CLASS] == ELFCLASS64 ? "64" : "32");
    if (head.e_type != ET_DYN || head.e_phentsize != sizeof(ElfW(Phdr)))
        return REFUSAL("\"%s\" is not a shared object: link it with -shared", path);
    end = end_of(bytes, &head);
    if (end == UINT64_MAX)
        return REFUSAL("\"%s\" is damaged: it names places that no file has", path);
    if (end > bytes.len)
        return REFUSAL("\"%s\" is cut off: it has %zu of %llu bytes; copy it again, and rename it into place when it "
                       "is whole",
                       path, bytes.len, (unsigned long long)end);
    return 0;
}
