/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of its seeds folder, so that every ordinary test run replays them. Prints TAP. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_MAX (4u * 1024u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    uint8_t *data;
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (!f)
        return -1;
    data = malloc(SEED_MAX);
    n = data ? fread(data, 1, SEED_MAX, f) : 0;
    (void)fclose(f);
    if (data)
        (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned n = 0, failed = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

    if (!dir) {
        (void)fprintf(stderr, "usage: %s SEEDS-FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        if (replay(argv[1], e->d_name) == 0) {
            (void)printf("ok %u - %s\n", n, e->d_name);
        } else {
            failed++;
            (void)printf("not ok %u - %s\n", n, e->d_name);
        }
    }
    (void)closedir(dir);
    if (n == 0)
        (void)printf("not ok 1 - no seeds\n");
    (void)printf("1..%u\n", n ? n : 1);
    return failed || n == 0;
}
