/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates in a folder and a client that speaks TLS: what the tests of the server behind TLS stand on. */
#pragma once

#include <openssl/ssl.h>

#include "net/test-server-bed.h"

/*
 * A folder of PEM files: ca; server, second and client (signed by ca); stranger (signed by itself); both (ca and
 * stranger); and each one's key.
 */
struct files {
    char folder[64];
    char ca[96], ca_key[96], server[96], server_key[96], second[96], second_key[96], client[96], client_key[96];
    char stranger[96], stranger_key[96], both[96];
};

extern struct files files; /* made once for the group; the configuration callbacks read it */

int make_files(void **state);
int remove_files(void **state);

struct caller {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

/* @version: the highest one that is offered; 0: any */
void caller_open(struct caller *c, struct bed *bed, const char *certificate, const char *key, int version);
void caller_close(struct caller *c);
bool caller_handshake(struct caller *c, struct bed *bed);
/* Sends (or not, ""), then reads until the server closes or the text shows up; the status of the answer, 0: none. */
int caller_ask(struct caller *c, struct bed *bed, const char *text, const char *until);
/* The same on a connection of its own. */
int ask_as(struct bed *bed, const char *certificate, const char *key, const char *text);
/* The name in the certificate that the server has shown. */
const char *caller_saw(const struct caller *c, char ret[32]);
