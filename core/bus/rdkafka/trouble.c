/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's errors in fragua's terms, and what stands in the way of a handle. */
#include "bus/rdkafka/trouble.h"

#include <string.h>

#include "base/err.h"

static const struct rd_code {
    rd_kafka_resp_err_t rd;
    int code;
    unsigned flags;
} rd_codes[] = {
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, FG_E_AUTH, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__SSL, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__TRANSPORT, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__RESOLVE, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__WAIT_COORD, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, FG_E_TIMEOUT, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, FG_E_TIMEOUT, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, FG_E_TIMEOUT, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, FG_E_TIMEOUT, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, FG_E_NOT_FOUND, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, FG_E_NOT_FOUND, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, FG_E_NOT_FOUND, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, FG_E_EXPIRED, 0},
    {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, FG_E_EXPIRED, 0},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, FG_E_LIMIT, 0},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, FG_E_LIMIT, 0},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, FG_E_REFUSED, 0},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, FG_E_REFUSED, 0},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, FG_E_REFUSED, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__FENCED, FG_E_FENCED, 0},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, FG_E_FENCED, 0},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, FG_E_FENCED, 0},
    {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, FG_E_FENCED, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, FG_E_FENCED, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, FG_E_FENCED, 0},
    {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, FG_E_FENCED, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__DESTROY, FG_E_CANCELLED, 0},
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, FG_E_CANCELLED, FG_ERROR_RETRIABLE},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, FG_E_CANCELLED, FG_ERROR_RETRIABLE},
};

int fg_rd_code(rd_kafka_resp_err_t err, unsigned *ret_flags)
{
    for (size_t i = 0; i < sizeof(rd_codes) / sizeof(*rd_codes); i++)
        if (rd_codes[i].rd == err) {
            *ret_flags = rd_codes[i].flags;
            return rd_codes[i].code;
        }
    /* What is not in the table comes from the broker's inside or the network: waiting may help. */
    *ret_flags = FG_ERROR_RETRIABLE;
    return FG_E_UNAVAILABLE;
}

int fg_rd_error(struct fg_error *err, rd_kafka_resp_err_t rd, const char *what, const char *text)
{
    unsigned flags;
    int code = fg_rd_code(rd, &flags);

    return fg_raise(fg_error_set(err, code, flags, "%s: %s", what, text && *text ? text : rd_kafka_err2str(rd)));
}

/*
 * A refused certificate has no error code of its own: with TLS 1.3 the alert comes after the handshake looks done, as a
 * broken connection. The words of OpenSSL tell.
 */
static const struct tls_word {
    const char *word, *meaning;
} tls_words[] = {
    {"certificate verify failed",
     "the broker's certificate is not of an authority that tls.ca trusts, or not for this host"},
    {"broker certificate could not be verified", "the broker's certificate is not of an authority that tls.ca trusts"},
    {"alert bad certificate", "the broker refused the client certificate (or wants one)"},
    {"alert certificate required", "the broker wants a client certificate"},
    {"alert certificate unknown", "the broker refused the client certificate"},
    {"alert unknown ca", "the broker does not know the authority of the client certificate"},
    {"alert certificate expired", "the broker says that the client certificate has expired"},
};

/* How much a reason explains; a weaker one never hides a stronger one. A refusal needs no proof. */
#define REFUSAL 4
static int weigh(rd_kafka_resp_err_t rd, const char *meaning)
{
    if (rd == RD_KAFKA_RESP_ERR__AUTHENTICATION || meaning)
        return REFUSAL;
    switch (rd) {
    case RD_KAFKA_RESP_ERR__SSL: return 3;
    case RD_KAFKA_RESP_ERR__RESOLVE: return 2;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return 0;
    default: return 1;
    }
}

void fg_trouble_init(struct fg_trouble *t)
{
    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
}

void fg_trouble_deinit(struct fg_trouble *t)
{
    pthread_mutex_destroy(&t->lock);
}

void fg_trouble_hint(struct fg_trouble *t, rd_kafka_resp_err_t rd, const char *text, bool sure)
{
    const char *meaning = NULL;
    struct fg_error err;
    unsigned flags;
    int code = fg_rd_code(rd, &flags), weight;

    for (size_t i = 0; text && !meaning && i < sizeof(tls_words) / sizeof(*tls_words); i++)
        if (strstr(text, tls_words[i].word))
            meaning = tls_words[i].meaning;
    weight = weigh(rd, meaning);
    if (weight == REFUSAL)
        code = FG_E_AUTH;
    if (meaning)
        fg_error_set(&err, code, flags, "Kafka: %s (%s)", meaning, text);
    else
        fg_rd_error(&err, rd, "Kafka", text);
    err.code = code;
    pthread_mutex_lock(&t->lock);
    if (t->reason.code == FG_E_NONE || weight >= t->weight) {
        t->reason = err;
        t->weight = weight;
    }
    t->suspect = true;
    if (sure || weight == REFUSAL)
        t->link = t->reason;
    pthread_mutex_unlock(&t->lock);
}

void fg_trouble_state(struct fg_trouble *t, const struct fg_error *err)
{
    pthread_mutex_lock(&t->lock);
    t->state = err ? *err : FG_ERROR_NULL;
    pthread_mutex_unlock(&t->lock);
}

bool fg_trouble_suspect(struct fg_trouble *t)
{
    bool suspect;

    pthread_mutex_lock(&t->lock);
    suspect = t->suspect;
    pthread_mutex_unlock(&t->lock);
    return suspect;
}

void fg_trouble_proved(struct fg_trouble *t, bool answered)
{
    pthread_mutex_lock(&t->lock);
    if (answered) {
        t->reason = t->link = FG_ERROR_NULL;
        t->suspect = false;
    } else if (t->suspect) {
        t->link = t->reason;
    }
    pthread_mutex_unlock(&t->lock);
}

void fg_trouble_probe(struct fg_trouble *t, rd_kafka_t *rk, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rd = rd_kafka_metadata(rk, 0, NULL, &metadata, timeout_ms);

    if (!rd)
        rd_kafka_metadata_destroy(metadata);
    fg_trouble_proved(t, !rd);
}

void fg_trouble_why(struct fg_trouble *t, struct fg_error *ret)
{
    pthread_mutex_lock(&t->lock);
    *ret = t->reason;
    pthread_mutex_unlock(&t->lock);
}

bool fg_trouble_news(struct fg_trouble *t, struct fg_error *ret)
{
    bool news;

    pthread_mutex_lock(&t->lock);
    *ret = t->link.code != FG_E_NONE ? t->link : t->state;
    news = ret->code != t->told.code || strcmp(ret->text, t->told.text) != 0;
    if (news)
        t->told = *ret;
    pthread_mutex_unlock(&t->lock);
    return news;
}
