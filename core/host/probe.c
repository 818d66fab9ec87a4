/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying a file's plugins in a child process. The child says through a pipe what it is about to do, so that the parent
 * can name the plugin that took it down.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "host/process-private.h"

/* What the child is to try: a file with all its plugins, or the loading of one plugin (file NULL). */
struct trial {
    const char *file;
    struct fg_slice text;
    const char *const *sets;
    size_t n_sets;
    const struct fg_plugin_path *plugins;
    const char *name;
    uint32_t timeout_ms;
};
#define SAID_MAX ((size_t)PATH_MAX + 256)
#define FAULTS "faults" /* what the child is done with has some */

static void say(int fd, char what, const char *text)
{
    char message[SAID_MAX];
    int n = snprintf(message, sizeof(message), "%c%s", what, text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1;

    message[len] = '\0';
    if (write(fd, message, len + 1) < 0)
        _exit(1); /* nobody listens any more */
}

static void say_loading(void *arg, const char *name, const char *file, const char *sha256)
{
    char text[SAID_MAX];

    (void)snprintf(text, sizeof(text), "%s\n%s\n%s", name, sha256, file);
    say(*(int *)arg, 'L', text);
}

struct opening {
    struct fg_process *process;
    int fd;
};

static void open_and_close(void *arg, struct fg_config_node *c, const struct fg_config_pipeline *pipeline)
{
    const struct opening *o = arg;
    struct fg_node node = { .process = o->process, .name = c->node, .c = c,
                            .pipeline = pipeline ? pipeline->name : NULL };
    struct fg_instance instance;
    struct fg_error err = FG_ERROR_NULL;

    if (!c->file)
        return;
    node.ops = &c->file->plugin;
    node.metrics = fg_metric_scope_new(o->process->metrics);
    say(o->fd, 'O', node.ops->name);
    if (fg_instance_open(&instance, &node, &err) < 0) {
        say(o->fd, 'E', err.text);
        _exit(0);
    }
    fg_instance_close(&instance);
    fg_metric_scope_free(node.metrics);
}

static void open_every_node(struct fg_config *c, int fd)
{
    uv_loop_t loop;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_process p = { .loop = &loop, .config = c };
    struct fg_http_client_config client = { .loop = &loop };
    struct opening o = { &p, fd };

    if (uv_loop_init(&loop) != 0 || fg_env_uv_new(&loop, &fg_clock_system, 1, &p.env, &err) < 0 ||
        fg_http_client_new(&client, &p.client, &err) < 0) {
        say(fd, 'E', err.text);
        return;
    }
    p.metrics = fg_metrics_new();
    fg_budget_init(&p.budget, (size_t)c->limits.memory);
    fg_list_init(&p.follows);
    fg_config_each_node(c, open_and_close, &o);
}

/* false: the file has faults. They are found, and told, once more by the parent. */
static bool try_file(const struct trial *t, const struct fg_plugin_path *told, int fd)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_config *config = NULL;

    if (fg_config_load(t->file, t->text, t->sets, t->n_sets, told, &config, &faults) < 0)
        return false;
    open_every_node(config, fd);
    return true;
}

__attribute__((noreturn)) static void child(const struct trial *t, int fd)
{
    struct fg_plugin_path told = *t->plugins;
    struct fg_plugin_file *file;
    const struct rlimit no_core = { 0, 0 };
    const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
    bool fine = true;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    /* the loop's handlers, inherited after a SIGHUP, would tell the parent of signals sent to the child */
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)signal(signals[i], SIG_DFL);
    told.loading = say_loading;
    told.loading_arg = &fd;
    if (t->file)
        fine = try_file(t, &told, fd);
    else
        (void)fg_plugin_load(&told, t->name, NULL, &file, NULL); /* why it is refused, the parent finds too */
    say(fd, 'D', fine ? "" : FAULTS);
    _exit(0);
}

/* What the child said last, and the error it may have reported. */
struct heard {
    const struct trial *trial;
    char doing; /* 'L' loading, 'O' opening, 'D' done */
    bool faults; /* the file has some */
    char plugin[64];
    char error[FG_ERROR_TEXT_MAX];
};

/* "NAME\nSHA256\nPATH" */
static void take_loading(struct heard *heard, const char *message)
{
    const struct fg_plugin_path *plugins = heard->trial->plugins;
    struct fg_slice rest, name, sha256;
    char hash[FG_SHA256_HEX_SIZE];

    (void)fg_slice_cut(fg_slice_of(message), '\n', &name, &rest);
    (void)fg_slice_cut(rest, '\n', &sha256, &rest);
    (void)snprintf(heard->plugin, sizeof(heard->plugin), "%.*s", FG_SLICE_ARG(name));
    (void)snprintf(hash, sizeof(hash), "%.*s", FG_SLICE_ARG(sha256));
    if (plugins->loading)
        plugins->loading(plugins->loading_arg, heard->plugin, rest.len ? rest.ptr : "", hash);
}

static void take_message(struct heard *heard, const char *message)
{
    if (message[0] == 'E') {
        (void)snprintf(heard->error, sizeof(heard->error), "%.255s", message + 1);
        return;
    }
    heard->doing = message[0];
    if (message[0] == 'L')
        take_loading(heard, message + 1);
    else if (message[0] == 'D')
        heard->faults = strcmp(message + 1, FAULTS) == 0;
    else if (message[0] == 'O')
        (void)snprintf(heard->plugin, sizeof(heard->plugin), "%.63s", message + 1);
}

/* Takes the whole messages out of the buffer; returns how many bytes are left in it. */
static size_t take_messages(struct heard *heard, char *buf, size_t len)
{
    for (char *end = memchr(buf, '\0', len); end; end = memchr(buf, '\0', len)) {
        size_t used = (size_t)(end - buf) + 1;
        take_message(heard, buf);
        memmove(buf, buf + used, len - used);
        len -= used;
    }
    return len;
}

/*
 * Until the child is done or gone. The deadline is the parent's, not an alarm of the child: a plugin may ignore that,
 * or leave a process behind that holds the pipe open. false: time is up.
 */
static bool listen_to(int fd, struct heard *heard)
{
    uint64_t end_ms = fg_clock_mono_ns(&fg_clock_system) / 1000000u + heard->trial->timeout_ms;
    char buf[SAID_MAX];
    size_t len = 0;

    while (heard->doing != 'D') {
        uint64_t now_ms = fg_clock_mono_ns(&fg_clock_system) / 1000000u;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r = now_ms < end_ms ? poll(&p, 1, (int)(end_ms - now_ms)) : 0;
        ssize_t n;
        if (r == 0)
            return false;
        n = r < 0 ? -1 : read(fd, buf + len, sizeof(buf) - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        len = take_messages(heard, buf, len + (size_t)n);
    }
    return true;
}

static int judge(const struct heard *heard, bool hangs, int status, struct fg_error *err)
{
    const char *doing = heard->doing == 'L' ? "loaded" : "opened";

    if (hangs && heard->plugin[0])
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "plugin \"%s\" hangs while being %s: no end after %g s",
                                     heard->plugin, doing, heard->trial->timeout_ms / 1000.0));
    if (!heard->plugin[0] && heard->doing != 'D' && !heard->error[0])
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "the process that tries plugins ended before the first"));
    if (WIFSIGNALED(status) && heard->plugin[0])
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "plugin \"%s\" crashes while being %s (%s)", heard->plugin,
                                     doing, strsignal(WTERMSIG(status))));
    if (heard->error[0])
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%.240s", heard->error));
    if (heard->doing != 'D')
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "plugin \"%s\" ends the process while being %s",
                                     heard->plugin, doing));
    return heard->faults ? FG_PROBE_FAULTS : 0;
}

static int try_in_child(const struct trial *t, struct fg_error *err)
{
    struct heard heard = { .trial = t, .doing = 'L' };
    int fds[2], status = 0;
    bool hangs;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot make a pipe: %s", fg_errno_text(errno)));
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(t, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        int e = errno;
        close(fds[0]);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot start a process: %s", fg_errno_text(e)));
    }
    hangs = !listen_to(fds[0], &heard);
    if (hangs)
        (void)kill(pid, SIGKILL);
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return judge(&heard, hangs, status, err);
}

int fg_config_probe(const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                    const struct fg_plugin_path *plugins, uint32_t timeout_ms, struct fg_error *err)
{
    const struct trial t = { .file = path, .text = text, .sets = sets, .n_sets = n_sets, .plugins = plugins,
                             .timeout_ms = timeout_ms };

    return try_in_child(&t, err);
}

int fg_plugin_probe(const struct fg_plugin_path *plugins, const char *name, struct fg_plugin_file **ret,
                    struct fg_error *err)
{
    const struct trial t = { .plugins = plugins, .name = name, .timeout_ms = FG_PROBE_MS };
    int r = try_in_child(&t, err);

    return fg_pass(r < 0 ? r : fg_plugin_load(plugins, name, NULL, ret, err));
}
