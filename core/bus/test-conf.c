/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that cannot work are refused when the bus is made, with a text that says what to do. */
#include <librdkafka/rdkafka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

#include "bus/test-bus.h"

struct files {
    char folder[256];
    char certificate[300], key[300], other_key[300], garbage[300], half[300], locked_key[300];
};

static void write_text(const char *path, const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_key(const char *path, EVP_PKEY *key, char *password)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, password ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL, password), 1);
    fclose(f);
}

/* @mode: as fopen()'s; "a" makes a chain of it */
static void write_certificate(const char *path, const char *mode, EVP_PKEY *key)
{
    X509 *x = X509_new();
    FILE *f = fopen(path, mode);

    assert_non_null(f);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    X509_free(x);
}

static int setup(void **state)
{
    struct files *f = fg_calloc(1, sizeof(*f));
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    char sesame[] = "sesame";

    snprintf(f->folder, sizeof(f->folder), "%s/fragua-test-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->certificate, sizeof(f->certificate), "%s/a.crt", f->folder);
    snprintf(f->key, sizeof(f->key), "%s/a.key", f->folder);
    snprintf(f->other_key, sizeof(f->other_key), "%s/b.key", f->folder);
    snprintf(f->garbage, sizeof(f->garbage), "%s/garbage.txt", f->folder);
    snprintf(f->half, sizeof(f->half), "%s/half.txt", f->folder);
    snprintf(f->locked_key, sizeof(f->locked_key), "%s/locked.key", f->folder);
    write_certificate(f->certificate, "w", key);
    write_certificate(f->half, "w", key);
    write_key(f->key, key, NULL);
    write_key(f->other_key, other, NULL);
    write_key(f->locked_key, key, sesame);
    write_text(f->half, "a", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    write_text(f->garbage, "w", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct files *f = *state;

    unlink(f->certificate);
    unlink(f->key);
    unlink(f->other_key);
    unlink(f->garbage);
    unlink(f->half);
    unlink(f->locked_key);
    rmdir(f->folder);
    free(f);
    return 0;
}

/* "" is: accepted. */
static void expect(const struct fg_bus_rdkafka_config *config, const char *word)
{
    struct fg_bus_rdkafka_config c = *config;
    struct fg_error err = FG_ERROR_NULL;
    struct world w;
    int r;

    world_init(&w);
    c.loop = &w.loop;
    if (!c.bootstrap_servers)
        c.bootstrap_servers = "localhost:1";
    r = fg_bus_rdkafka_new(&c, &w.bus, &err);
    if (!*word && r < 0)
        fail_msg("%s", err.text);
    if (*word && r == 0)
        fail_msg("accepted; expected: %s", word);
    if (*word && !strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    world_end(&w);
}

static void test_properties(void **state)
{
    static const struct {
        const char *key, *value, *word;
    } rows[] = {
        { "linger.ms", "20", "" },
        { "no.such.thing", "1", "\"no.such.thing\"" },
        { "linger.ms", "soon", "\"soon\"" },
        { "linger.ms", "-7", "linger.ms" },
        { "compression.type", "tar", "\"tar\"" },
        { "acks", "1", "exactly-once rests on it" },
        { "group.id", "mine", "it follows the pipeline" },
        { "isolation.level", "read_uncommitted", "exactly-once rests on it" },
        { "partition.assignment.strategy", "cooperative-sticky", "range and roundrobin" },
        { "bootstrap.servers", "elsewhere:9092", "a place of its own" },
        { "plugin.library.paths", "x.so", "it loads code" },
    };
    struct fg_error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct fg_pair pair = { rows[i].key, rows[i].value };
        struct fg_bus_rdkafka_config config = { .properties = &pair, .n_properties = 1 };
        expect(&config, rows[i].word);
        assert_int_equal(fg_bus_rdkafka_check_property(pair.key, pair.value, &err) < 0, rows[i].word[0] != '\0');
        if (rows[i].word[0])
            assert_non_null(strstr(err.text, rows[i].word));
    }
}

static void test_certificates(void **state)
{
    struct files *f = *state;
    struct {
        struct fg_tls tls;
        const char *word;
    } rows[] = {
        { { .ca = f->certificate, .certificate = f->certificate, .key = f->key }, "" },
        { { .ca = f->folder, .certificate = f->certificate, .key = f->key }, "" },
        { { .ca = f->certificate, .certificate = f->certificate, .key = f->other_key }, "does not fit" },
        { { .ca = f->certificate, .certificate = f->certificate, .key = f->other_key }, f->other_key },
        { { .ca = f->certificate, .certificate = f->half, .key = f->key }, "certificate 2 of 2" },
        { { .ca = f->certificate, .certificate = f->half, .key = f->key }, f->half },
        { { .ca = f->half }, f->half },
        { { .certificate = f->certificate, .key = f->locked_key }, f->locked_key },
        { { .ca = f->certificate, .certificate = f->certificate }, "come together" },
        { { .ca = f->key }, "no PEM certificate" },
        { { .ca = f->garbage }, f->garbage },
        { { .ca = "/nonexistent/ca.crt" }, "/nonexistent/ca.crt" },
        { { .certificate = f->certificate, .key = f->certificate }, "no PEM private key" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct fg_bus_rdkafka_config config = { .tls = &rows[i].tls };
        expect(&config, rows[i].word);
    }
}

static void test_a_key_with_a_password(void **state)
{
    struct files *f = *state;
    const struct fg_tls tls = { .certificate = f->certificate, .key = f->locked_key };
    struct fg_pair password = { "ssl.key.password", "sesame" };
    struct fg_bus_rdkafka_config config = { .tls = &tls, .properties = &password, .n_properties = 1 };

    expect(&config, "");
    password.value = "another";
    expect(&config, f->locked_key);
}

/* All that it is made of is gone, and its files are others: its handles are as they would have been. */
static struct fg_bus *make_and_forget(struct world *w, const struct files *f)
{
    char *path[3] = { strdup(f->certificate), strdup(f->certificate), strdup(f->key) };
    char *servers = strdup("127.0.0.1:1"), *id = strdup("me"), *property[2] = { strdup("linger.ms"), strdup("7") };
    char *user = strdup("u"), *password = strdup("geheim-42");
    struct fg_pair pair = { property[0], property[1] };
    struct fg_tls tls = { path[0], path[1], path[2] };
    struct fg_bus_rdkafka_config config = { .loop = &w->loop, .bootstrap_servers = servers, .client_id = id,
                                            .tls = &tls, .properties = &pair, .n_properties = 1,
                                            .sasl_mechanism = "PLAIN", .sasl_username = user,
                                            .sasl_password = fg_slice_of(password) };
    char *all[] = { path[0], path[1], path[2], servers, id, property[0], property[1], user, password };
    struct fg_bus *bus = NULL;
    struct fg_error err;

    if (fg_bus_rdkafka_new(&config, &bus, &err) < 0)
        fail_msg("%s", err.text);
    memset(&config, 0xa5, sizeof(config));
    memset(&tls, 0xa5, sizeof(tls));
    memset(&pair, 0xa5, sizeof(pair));
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        memset(all[i], '#', strlen(all[i]));
        free(all[i]);
    }
    return bus;
}

static void expect_handles(struct world *w, struct fg_bus *bus)
{
    struct reader r = { 0 };
    struct writer p;

    w->bus = bus;
    reader_open(&r, w, "g", "x");
    writer_begin(&p, w, "t", "x");
    until(w, r.trouble.code == FG_E_UNAVAILABLE);
    assert_non_null(strstr(r.trouble.text, "127.0.0.1:1"));
    reader_close(&r);
    writer_close(&p);
}

static void test_a_bus_is_a_snapshot_of_its_configuration_and_files(void **state)
{
    struct files *f = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct fg_bus *old, *new;
    struct world w;

    world_init(&w);
    write_certificate(f->certificate, "a", key); /* a chain */
    old = make_and_forget(&w, f);
    write_certificate(f->certificate, "w", key);
    write_key(f->key, key, NULL);
    new = make_and_forget(&w, f);
    EVP_PKEY_free(key);
    write_text(f->certificate, "w", "");
    unlink(f->key);
    expect_handles(&w, old);
    expect_handles(&w, new);
    w.bus = old;
    bus_end(&w);
    expect_handles(&w, new);
    world_end(&w);
}

static void test_sasl(void **state)
{
    struct fg_bus_rdkafka_config config = { .sasl_mechanism = "PLAIN", .sasl_username = "u",
                                            .sasl_password = FG_SLICE("geheim-42") };

    expect(&config, "");
    config.sasl_mechanism = "GSSAPI";
    expect(&config, "is none of PLAIN");
    config.sasl_mechanism = "SCRAM-SHA-512";
    expect(&config, rd_kafka_version() < 0x020601ff ? "2.6.1 or later" : "");
    config.sasl_mechanism = "PLAIN";
    config.sasl_password = FG_SLICE_NULL;
    expect(&config, "username and password");
}

/* As rd_kafka_version() says it: major, minor, revision, 0xff for a final one. */
static void test_scram_by_version(void **state)
{
    static const struct {
        int version;
        const char *word; /* "": works */
    } rows[] = {
        { 0x020002ff, "librdkafka 2.0.2 cannot log in by SCRAM-SHA-256" },
        { 0x020600ff, "librdkafka 2.6.0 cannot log in" },
        { 0x020601ff, "" },
        { 0x020800ff, "" },
        { 0x021000ff, "" },
        { 0x030000ff, "" },
    };
    struct fg_error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int r = fg_bus_rdkafka_check_sasl("SCRAM-SHA-256", rows[i].version, &err);
        assert_int_equal(r < 0, rows[i].word[0] != '\0');
        if (r < 0) {
            assert_int_equal(err.code, FG_E_CONFIG);
            assert_non_null(strstr(err.text, rows[i].word));
            assert_non_null(strstr(err.text, "2.6.1 or later"));
        }
        assert_int_equal(fg_bus_rdkafka_check_sasl("PLAIN", rows[i].version, &err), 0);
    }
    assert_true(fg_bus_rdkafka_check_sasl("GSSAPI", 0x030000ff, &err) < 0);
}

static void test_client_id_and_servers(void **state)
{
    struct fg_bus_rdkafka_config config = { .bootstrap_servers = "" };
    char id[100];

    expect(&config, "bootstrap.servers is missing");
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    config = (struct fg_bus_rdkafka_config){ .client_id = id };
    expect(&config, "longer than 64");
}

static void test_nobody_there_is_trouble(void **state)
{
    struct fg_bus_rdkafka_config config = { .bootstrap_servers = "127.0.0.1:1" };
    const char *const names[] = { "x" };
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    struct fg_error err;

    (void)names;
    world_init(&w);
    config.loop = &w.loop;
    assert_int_equal(fg_bus_rdkafka_new(&config, &w.bus, &err), 0);
    reader_open(&r, &w, "g", "x");
    until(&w, r.trouble.code == FG_E_UNAVAILABLE);
    assert_non_null(strstr(r.trouble.text, "127.0.0.1:1"));
    writer_begin(&p, &w, "t", "x");
    until(&w, p.trouble.code == FG_E_UNAVAILABLE);
    assert_non_null(strstr(p.trouble.text, "127.0.0.1:1"));
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_with_a_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_bus_is_a_snapshot_of_its_configuration_and_files, setup, teardown),
        cmocka_unit_test(test_sasl),
        cmocka_unit_test(test_scram_by_version),
        cmocka_unit_test(test_client_id_and_servers),
        cmocka_unit_test(test_nobody_there_is_trouble),
    };

    return cmocka_run_group_tests_name("bus conf", tests, NULL, NULL);
}
