/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fragua demo: everything in one process: a broker inside it, a simulated mailbox, the local entity service, the API.
 *
 * Where standard output is no terminal it ends by itself once every sample mail has come through.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/serve.h"

#define PORT_WANTED 8080u
#define SECONDS_MAX 60u /* a demo that takes longer has failed */
#define PRINTED_MAX 12u /* mails whose entities are shown line by line */

enum { OPTION_PORT, OPTION_FOR, OPTION_MAILS };

static const struct fg_cli_option options[] = {
    [OPTION_PORT] = { "port", 0, "N", "port of the page on 127.0.0.1 (default: 8080, or any free one)" },
    [OPTION_FOR] = { "for", 0, "SECONDS", "end after so many seconds" },
    [OPTION_MAILS] = { "mails", 0, "DIR", "sample mails: DIR/MAILBOX/FOLDER/*.eml (default: the installed ones)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    int64_t port, seconds;
    const char *mails;
};

static const char config_text[] =
    "kafka: {embedded: true}\n"
    "http:\n"
    "  listen: 127.0.0.1:%u\n"
    "  plugins:\n"
    "    - plugin: http-control\n"
    "    - plugin: serve-entities\n"
    "    - {plugin: sim-graph, mails: \"%s\", initial: 20, arrive: 100ms, client: demo, secret: demo-secret}\n"
    "pipelines:\n"
    "  ingest:\n"
    "    source:\n"
    "      plugin: source-graphmail\n"
    "      tenant: contoso.example\n"
    "      client: demo\n"
    "      credential: {secret: demo-secret}\n"
    "      mailboxes: {domain: contoso.example}\n"
    "      folders: [inbox]\n"
    "      poll: 1s\n"
    "      graph: http://127.0.0.1:%u\n"
    "      login: http://127.0.0.1:%u\n"
    "    transforms:\n"
    "      - plugin: transform-tabulate\n"
    "    output: {topic: mail.documents}\n"
    "    dead-letters: {topic: mail.dead}\n"
    "  recognise:\n"
    "    input: {topic: mail.documents}\n"
    "    sink:\n"
    "      plugin: sink-nlp\n"
    "      service: generic\n"
    "      url: http://127.0.0.1:%u/entities/v1/recognise\n"
    "    output: {topic: mail.entities}\n"
    "    dead-letters: {topic: mail.dead}\n";

struct demo {
    struct fg_cli *cli;
    struct fg_serve *serve;
    struct fg_process *process;
    uv_timer_t timer;
    bool terminal;
    uint64_t started_ms, first_ms;
    uint64_t mails, documents, records, entities, dead;
    int64_t seconds; /* 0: until all came through, or for ever on a terminal */
};

static bool take(void *state, size_t option, const char *value)
{
    struct state *s = state;
    int64_t n = 0;

    if (option == OPTION_MAILS) {
        s->mails = value;
        return true;
    }
    if (!fg_parse_int(fg_slice_of(value), &n) || n < 1 || n > 65535) {
        (void)fg_cli_fail(0, "--%s is a number from 1 to 65535, not \"%s\"", options[option].name, value);
        return false;
    }
    *(option == OPTION_PORT ? &s->port : &s->seconds) = n;
    return true;
}

/* The port that is free: `wanted`, or any when it is taken. 0: none. */
static unsigned free_port(unsigned wanted)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)wanted),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(a);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;

    if (fd < 0)
        return 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, size) != 0) {
        a.sin_port = 0;
        if (bind(fd, (struct sockaddr *)&a, size) != 0) {
            close(fd);
            return 0;
        }
    }
    if (getsockname(fd, (struct sockaddr *)&a, &size) == 0)
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}

/* Mails below `path`: files that end in .eml or .json, `depth` folders down. */
static uint64_t count_mails(const char *path, unsigned depth)
{
    DIR *dir = opendir(path);
    uint64_t n = 0;

    if (!dir)
        return 0;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        struct fg_slice name = fg_slice_of(e->d_name);
        char below[4096];
        int len;
        if (e->d_name[0] == '.')
            continue;
        len = snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
        if (len < 0 || (size_t)len >= sizeof(below))
            continue; /* too long a name to be opened */
        if (depth > 0)
            n += count_mails(below, depth - 1);
        else if (fg_slice_ends(name, (struct fg_slice)FG_SLICE(".eml")) ||
                 fg_slice_ends(name, (struct fg_slice)FG_SLICE(".json")))
            n++;
    }
    closedir(dir);
    return n;
}

static void end_if_all_came(struct demo *d)
{
    if (d->terminal || d->seconds || d->records + d->dead < d->mails)
        return;
    fg_serve_end(d->serve, d->dead ? FG_EXIT_FAILED : FG_EXIT_OK);
}

static void on_document(void *arg, const struct fg_record_view *message, int32_t partition, int64_t offset)
{
    struct demo *d = arg;

    (void)message;
    (void)partition;
    (void)offset;
    d->documents++;
}

static void on_dead(void *arg, const struct fg_record_view *message, int32_t partition, int64_t offset)
{
    struct demo *d = arg;

    (void)message;
    (void)partition;
    (void)offset;
    d->dead++;
    end_if_all_came(d);
}

static void print_entities(struct fg_slice value, struct fg_json_value entities)
{
    struct fg_buf line = FG_BUF_INIT(4096);
    struct fg_json_value entity;
    size_t pos = 0, n = 0;

    (void)fg_json_decode_string(fg_json_find(value, "/document/subject").raw, &line);
    fg_buf_add_str(&line, "  ->");
    while (n++ < 5 && fg_json_each(entities, &pos, NULL, &entity)) {
        fg_buf_add_char(&line, ' ');
        (void)fg_json_decode_string(fg_json_find(entity.raw, "/type").raw, &line);
        fg_buf_add_char(&line, '=');
        (void)fg_json_decode_string(fg_json_find(entity.raw, "/text").raw, &line);
    }
    (void)fprintf(stderr, "  %.*s\n", FG_SLICE_ARG(fg_buf_slice(&line)));
    fg_buf_deinit(&line);
}

static void on_entities(void *arg, const struct fg_record_view *message, int32_t partition, int64_t offset)
{
    struct demo *d = arg;
    struct fg_json_value entities = fg_json_find(message->value, "/entities");
    struct fg_json_value entity;
    size_t pos = 0;

    (void)partition;
    (void)offset;
    if (d->records++ == 0)
        d->first_ms = uv_now(d->cli->loop) - d->started_ms;
    if (d->records <= PRINTED_MAX)
        print_entities(message->value, entities);
    while (fg_json_each(entities, &pos, NULL, &entity))
        d->entities++;
    end_if_all_came(d);
}

static void time_is_up(uv_timer_t *timer)
{
    struct demo *d = timer->data;

    if (!d->seconds)
        (void)fg_cli_fail(0, "only %" PRIu64 " of %" PRIu64 " mails came through in %u s", d->records,
                          d->mails, SECONDS_MAX);
    fg_serve_end(d->serve, d->seconds ? FG_EXIT_OK : FG_EXIT_FAILED);
}

static void started(void *arg, struct fg_serve *serve, struct fg_process *process)
{
    struct demo *d = arg;
    struct fg_error err = FG_ERROR_NULL;

    d->serve = serve;
    d->process = process;
    (void)fprintf(stderr,
                  "fragua demo: http://%s/  (the broker is inside this process: not durable, not transactional)\n%s",
                  fg_process_http_address(process), d->terminal && !d->seconds ? "Ctrl-C ends it.\n" : "");
    /* all of it: the topics are new */
    if (!fg_process_follow(process, "mail.documents", 1000000, on_document, d, &err) ||
        !fg_process_follow(process, "mail.entities", 1000000, on_entities, d, &err) ||
        !fg_process_follow(process, "mail.dead", 1000000, on_dead, d, &err)) {
        (void)fg_cli_fail(0, "%s", err.text);
        fg_serve_end(serve, FG_EXIT_FAILED);
        return;
    }
    (void)uv_timer_init(d->cli->loop, &d->timer);
    uv_unref((uv_handle_t *)&d->timer);
    d->timer.data = d;
    if (d->seconds || !d->terminal)
        (void)uv_timer_start(&d->timer, time_is_up,
                             (uint64_t)(d->seconds ? d->seconds : (int64_t)SECONDS_MAX) * 1000u, 0);
}

static int serve(struct demo *d, struct fg_config *config)
{
    struct fg_serve_config serve = { .cli = d->cli, .config = config, .role = FG_ROLE_BOTH, .instance = "demo",
                                     .started = started, .arg = d };
    int code;

    /* people look at the page and the lines above; warnings they still must see */
    serve.log = fg_log_new(STDERR_FILENO, d->cli->log_format, isatty(STDERR_FILENO) == 1,
                           d->cli->log_level == FG_LOG_INFO ? FG_LOG_WARN : d->cli->log_level, &fg_clock_system);
    d->started_ms = uv_now(d->cli->loop);
    code = fg_serve(&serve);
    if (d->timer.data)
        uv_close((uv_handle_t *)&d->timer, NULL);
    (void)uv_run(d->cli->loop, UV_RUN_DEFAULT);
    fg_log_free(serve.log);
    (void)printf("%" PRIu64 " mails became %" PRIu64 " documents and %" PRIu64 " entities in %" PRIu64
                 " records; first entities after %.1f s\n",
                 d->mails, d->documents, d->entities, d->records, (double)d->first_ms / 1000.0);
    return code;
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct demo d = { .cli = cli, .terminal = isatty(STDOUT_FILENO) == 1, .seconds = s->seconds };
    const char *installed = getenv("FRAGUA_DEMO_DIR");
    const char *mails = s->mails ? s->mails : installed ? installed : FG_DEMO_DIR;
    unsigned port = free_port(s->port ? (unsigned)s->port : PORT_WANTED);
    struct fg_config *config;
    char text[8192];
    int code, n;

    (void)argv;
    if (argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua demo %s", fg_cli_demo.usage);
    if (!port)
        return fg_cli_fail(FG_EXIT_FAILED, "no port on 127.0.0.1 is free: %s", strerror(errno));
    if (s->port && port != (unsigned)s->port)
        return fg_cli_fail(FG_EXIT_FAILED, "port %u on 127.0.0.1 is in use: choose another by --port",
                           (unsigned)s->port);
    d.mails = count_mails(mails, 2);
    if (!d.mails)
        return fg_cli_fail(FG_EXIT_FAILED, "no sample mails in \"%s\": name a folder by --mails", mails);
    if (strpbrk(mails, "\"\\$\n\t"))
        return fg_cli_fail(FG_EXIT_USAGE,
                           "the name of the mails' folder must have no quote, backslash or dollar: \"%s\"", mails);
    n = snprintf(text, sizeof(text), config_text, port, mails, port, port, port);
    if (n < 0 || (size_t)n >= sizeof(text))
        return fg_cli_fail(FG_EXIT_USAGE, "the name of the mails' folder is too long: \"%s\"", mails);
    config = fg_cli_load(cli, "demo", fg_slice_make(text, (size_t)n), NULL, 0, &code);
    if (!config)
        return code;
    code = serve(&d, config);
    fg_config_unref(config);
    return code;
}

const struct fg_cli_command fg_cli_demo = {
    .name = "demo",
    .usage = "[--port N] [--for SECONDS] [--mails DIR]",
    .summary = "try everything in one process: simulated mailbox, broker inside, entity service, page",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
