/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic.h"

#include "clock.h"

const uint64_t traffic_bounds_us[TRAFFIC_BUCKETS - 1] = {
	10,    25,    50,    100,    250,    500,    1000,    2500,    5000,
	10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000,
};

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

void traffic_add(struct traffic *traffic, enum traffic_kind kind,
		 uint64_t length, uint64_t began_ns, int r)
{
	uint64_t ns = monotonic_ns() - began_ns;
	unsigned int bucket = 0;

	if (!traffic)
		return;
	while (bucket < TRAFFIC_BUCKETS - 1 &&
	       ns > traffic_bounds_us[bucket] * 1000)
		bucket++;
	add(&traffic->kinds[kind].requests, 1);
	add(&traffic->kinds[kind].ns, ns);
	add(&traffic->kinds[kind].buckets[bucket], 1);
	if (r < 0)
		add(&traffic->kinds[kind].errors, 1);
	else
		add(&traffic->kinds[kind].bytes, length);
}

void traffic_sum(struct traffic *to, const struct traffic *from)
{
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		add(&to->kinds[k].requests, get(&from->kinds[k].requests));
		add(&to->kinds[k].errors, get(&from->kinds[k].errors));
		add(&to->kinds[k].bytes, get(&from->kinds[k].bytes));
		add(&to->kinds[k].ns, get(&from->kinds[k].ns));
		for (unsigned int b = 0; b < TRAFFIC_BUCKETS; b++)
			add(&to->kinds[k].buckets[b],
			    get(&from->kinds[k].buckets[b]));
	}
}

void traffic_read(const struct traffic *traffic, struct traffic_count *ret)
{
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		struct traffic_kind_count *c = &ret->kinds[k];

		c->requests += get(&traffic->kinds[k].requests);
		c->errors += get(&traffic->kinds[k].errors);
		c->bytes += get(&traffic->kinds[k].bytes);
		c->ns += get(&traffic->kinds[k].ns);
		for (unsigned int b = 0; b < TRAFFIC_BUCKETS; b++)
			c->buckets[b] += get(&traffic->kinds[k].buckets[b]);
	}
}
