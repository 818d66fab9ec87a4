/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the fake host share. */
#pragma once

#include "fake-host.h"

struct fg_record *fake_record_of(struct fg_host *host, struct fg_slice value);
void *fake_alloc(size_t size); /* zeroed; aborts without memory */
char *fake_dup(struct fg_slice s); /* NUL-ended copy */
void fake_http_services(struct fg_services *svc); /* fills in the HTTP members */
