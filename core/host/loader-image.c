/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin file's bytes, taken once to where they can run and nobody can change them: sealed memory, or else a private
 * file without a name. dlopen() knows files by name and inode, so each has a name of its own as long as it is open.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "host/loader-private.h"

#define CHUNK_BYTES 65536
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* since Linux 6.3 */
#endif

#define REFUSE(code, ...) fg_raise(fg_error_set(err, (code), 0, __VA_ARGS__))

/* Why the ways that were tried so far did not do. */
struct attempts {
    int memory, copy; /* errno; 0: not tried */
    const char *dir;  /* of the last copy */
};

static int make_memory(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    /* older kernels do not know that flag, and a rule of newer ones refuses it */
    return fd >= 0 ? fd : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int make_nameless(const char *dir)
{
    char path[256];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0500);

    if (fd >= 0)
        return fd;
    if (snprintf(path, sizeof(path), "%s/fragua-XXXXXX", dir) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

/* All bytes of a file, from its start. 0, or an errno; *ret_reading: it was the reading that failed. */
static int copy_bytes(int from, int to, bool *ret_reading)
{
    char chunk[CHUNK_BYTES];
    size_t done = 0;

    for (;;) {
        ssize_t n = pread(from, chunk, sizeof(chunk), (off_t)done);
        *ret_reading = n < 0;
        if (n <= 0)
            return n < 0 ? errno : 0;
        for (ssize_t written = 0, w; written < n; written += w) {
            w = write(to, chunk + written, (size_t)(n - written));
            if (w < 0)
                return errno;
        }
        done += (size_t)n;
        if (done > FG_PLUGIN_BYTES_MAX)
            return EFBIG;
    }
}

/* As the dynamic linker will map it: refused on file systems without execution, and by security modules. */
static int may_run(int fd)
{
    void *page = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

    if (page == MAP_FAILED)
        return errno;
    (void)munmap(page, 1);
    return 0;
}

/* Closes the way to write to the file. Returns 0 or an errno; *fd may be another one afterwards. */
static int make_final(int *fd, bool memory)
{
    char self[64];
    int again;

    if (memory)
        return fcntl(*fd, F_ADD_SEALS, SEALS) == 0 ? may_run(*fd) : errno;
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", *fd);
    if (fchmod(*fd, 0500) != 0)
        return errno;
    again = open(self, O_RDONLY | O_CLOEXEC);
    if (again < 0)
        return errno;
    (void)close(*fd);
    *fd = again;
    return may_run(*fd);
}

/* Takes the bytes to @to, which is closed on failure. 0, or an errno. */
static int fill(int from, int to, bool memory, int *ret_fd, bool *ret_reading)
{
    int e;

    *ret_reading = false;
    if (to < 0)
        return errno;
    e = copy_bytes(from, to, ret_reading);
    if (e == 0)
        e = make_final(&to, memory);
    if (e)
        (void)close(to);
    else
        *ret_fd = to;
    return e;
}

static int copy(int from, const char *path, const char *name, unsigned ways, int *ret_fd, struct fg_error *err)
{
    const char *dirs[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm" };
    struct attempts tried = { 0 };
    bool reading = false;
    int e = EPERM;

    if (ways & FG_IMAGE_MEMORY)
        e = tried.memory = fill(from, make_memory(name), true, ret_fd, &reading);
    for (size_t i = 0; e && !reading && e != EFBIG && (ways & FG_IMAGE_COPY) && i < sizeof(dirs) / sizeof(*dirs); i++) {
        if (!dirs[i] || !*dirs[i])
            continue;
        tried.dir = dirs[i];
        e = tried.copy = fill(from, make_nameless(dirs[i]), false, ret_fd, &reading);
    }
    if (e == 0)
        return 0;
    if (e == EFBIG)
        return REFUSE(FG_E_LIMIT, "plugin file \"%s\" is larger than %zu bytes", path, FG_PLUGIN_BYTES_MAX);
    if (reading)
        return REFUSE(FG_E_CONFIG, "cannot read \"%s\": %s", path, fg_errno_text(e));
    return REFUSE(FG_E_CONFIG,
                  "plugin \"%s\" may run nowhere: not in memory (%s), not from \"%s\" (%s); set TMPDIR to a folder "
                  "that is not mounted noexec", name, tried.memory ? fg_errno_text(tried.memory) : "not tried",
                  tried.dir ? tried.dir : "", fg_errno_text(tried.copy));
}

static int open_file(const char *path, const char *name, bool root_only, struct fg_error *err)
{
    struct stat st;
    int fd;

    if (root_only)
        fd = fg_plugin_open_of_root(path, name, err);
    else
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe must not hold us up */
    if (fd < 0)
        return root_only ? fg_pass(fd) : REFUSE(FG_E_NOT_FOUND, "cannot read \"%s\": %s", path, fg_errno_text(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return REFUSE(FG_E_CONFIG, "plugin \"%s\": \"%s\" is no regular file", name, path);
    }
    return fd;
}

/* Hashes and looks at the bytes that will run, not at those of the file they came from. */
static int look_at(struct fg_plugin_image *image, const char *path, struct fg_error *err)
{
    struct stat st;
    void *bytes;
    int r;

    if (fstat(image->fd, &st) != 0)
        return REFUSE(FG_E_INTERNAL, "cannot look at the copy of \"%s\": %s", path, fg_errno_text(errno));
    if (st.st_size == 0)
        return REFUSE(FG_E_CONFIG, "plugin file \"%s\" is empty", path);
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, image->fd, 0);
    if (bytes == MAP_FAILED)
        return REFUSE(FG_E_INTERNAL, "cannot map the copy of \"%s\": %s", path, fg_errno_text(errno));
    fg_sha256_hex(fg_slice_make(bytes, (size_t)st.st_size), image->sha256);
    r = fg_plugin_check_elf(fg_slice_make(bytes, (size_t)st.st_size), path, err);
    (void)munmap(bytes, (size_t)st.st_size);
    return fg_pass(r);
}

int fg_plugin_image_take(const char *path, const char *name, bool root_only, unsigned ways,
                         struct fg_plugin_image *ret, struct fg_error *err)
{
    int from = open_file(path, name, root_only, err);
    int r;

    *ret = (struct fg_plugin_image){ .fd = -1 };
    if (from < 0)
        return fg_pass(from);
    r = copy(from, path, name, ways, &ret->fd, err);
    (void)close(from);
    if (r == 0)
        r = look_at(ret, path, err);
    if (r < 0 && ret->fd >= 0) {
        (void)close(ret->fd);
        ret->fd = -1;
    }
    return fg_pass(r);
}
