/* SPDX-License-Identifier: Apache-2.0 */
/* Reading small files whole. */
#include "base/fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

#define CHUNK_BYTES 16384

static int open_file(const char *path, int *ret_fd, struct fg_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": there is no such file", path));
    if (fd < 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot read \"%s\": %s", path, fg_errno_text(errno)));
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)close(fd);
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot read \"%s\": it is a folder, not a file", path));
    }
    *ret_fd = fd;
    return 0;
}

static int read_all(int fd, const char *path, size_t max, struct fg_buf *out, struct fg_error *err)
{
    char chunk[CHUNK_BYTES];
    size_t got = 0;

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot read \"%s\": %s", path, fg_errno_text(errno)));
        if (n == 0)
            return 0;
        if ((size_t)n > max - got || (size_t)n > out->max - out->len)
            return fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "cannot read \"%s\": it is larger than %zu bytes", path,
                                         max < out->max ? max : out->max));
        fg_buf_add(out, chunk, (size_t)n);
        if (out->failed)
            return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot read \"%s\": no memory", path));
        got += (size_t)n;
    }
}

int fg_read_file(const char *path, size_t max, struct fg_buf *out, struct fg_error *err)
{
    size_t len = out->len;
    int fd = -1;
    int r = open_file(path, &fd, err);

    if (r < 0)
        return fg_pass(r);
    r = read_all(fd, path, max, out, err);
    (void)close(fd);
    if (r < 0) {
        out->failed = false;
        out->len = len;
        if (out->data)
            out->data[len] = '\0';
        return fg_pass(r);
    }
    return 0;
}
