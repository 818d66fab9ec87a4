/* SPDX-License-Identifier: Apache-2.0 */
/* Calls itself transform-stamp, and is wrong in the one way that the build asks for. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <fragua/plugin.h>

#if defined(BAD_SYMBOL)
extern __attribute__((visibility("default"))) const int something_else;
const int something_else = 1;
#else

#if defined(BAD_CRASH)
__attribute__((constructor)) static void crash(void)
{
    (void)raise(SIGSEGV);
}
#elif defined(BAD_HANG)
__attribute__((constructor)) static void hang(void)
{
    while (pause() < 0)
        ;
}
#endif

struct config {
    const char *mark;
};

static const struct fg_option options[] = {
    { .key = "mark", .type = FG_OPTION_STRING, .fallback = "", .offset = offsetof(struct config, mark),
      .summary = "what the good one has, so that it gets as far as that one" },
    FG_OPTION_END,
};

static int open_it(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
#if defined(BAD_OPEN)
    (void)raise(SIGSEGV);
#endif
    *ret_self = malloc(1);
    return *ret_self ? 0 : fg_error_set(err, FG_E_LIMIT, 0, "no memory");
}

#if defined(BAD_KIND)
static const struct fg_control_ops ops = { NULL, 0 };
#define OPS .kind = FG_KIND_CONTROL, .control = &ops
#else
static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    return FG_KEEP;
}
static const struct fg_transform_ops ops = { apply };
#define OPS .kind = FG_KIND_TRANSFORM, .transform = &ops
#endif

#if defined(BAD_ABI)
#define ABI (FG_ABI + 1)
#else
#define ABI FG_ABI
#endif

extern __attribute__((visibility("default"))) const struct fg_plugin fragua_plugin;
const struct fg_plugin fragua_plugin = { .magic = FG_PLUGIN_MAGIC, .abi = ABI, .size = sizeof(struct fg_plugin), OPS,
                                         .name = "transform-stamp", .version = "bad", .summary = "is wrong in one way",
                                         .options = options, .config_size = sizeof(struct config), .open = open_it,
                                         .close = free };
#endif
