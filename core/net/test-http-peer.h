/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server on loopback for the client's tests: it answers by path, well or badly, and counts.
 *
 * /ok       200 "hello"                            /slow     the same after 30 ms
 * /silent   nothing, ever                          /cut      10 bytes announced, 3 sent, then closed
 * /chunked  "hello" in two chunks and a trailer    /drip     "hello", a byte each 5 ms
 * /echo     the request, head and body, as body    /big      100,000 bytes, length announced
 * /endless  chunks without end                     /close    no answer, closed
 * /raw      peer.raw as it is, then closed
 */
#pragma once

#include <uv.h>

#include "base/list.h"

struct peer {
    uv_tcp_t listener;
    int port;
    struct fg_list connections;
    size_t n_accepted, n_requests, n_open, n_open_max;
    const char *raw;
};

void peer_start(struct peer *peer, uv_loop_t *loop);
void peer_stop(struct peer *peer); /* the loop must run once more */
