/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers of a store in the text format of Prometheus: what `varve
 * metrics` prints, and what a web server of our own gives to whoever asks.
 */
#ifndef SERVICE_METRICS_H
#define SERVICE_METRICS_H

#include <stddef.h>

#include "engine.h"
#include "error.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Words for them, everywhere the same: "read" ... */
extern const char *const traffic_kind_names[NR_TRAFFIC_KINDS];

/* *ret is malloc'ed, with *ret_length bytes and a zero behind them. */
int metrics_text(struct store *store, char **ret, size_t *ret_length,
		 struct error *err);

/* The page /metrics by HTTP; its threads end with the process. */
struct metrics_server;

/*
 * Listen on @where, PORT or ADDRESS:PORT ([ADDRESS]:PORT for IPv6); PORT alone
 * is for this host only.  -EINVAL: that is no address.
 */
int metrics_serve(struct store *store, const char *where,
		  struct metrics_server **ret, struct error *err);

/* Is @where an address? */
int metrics_check_address(const char *where, struct error *err);

#endif
