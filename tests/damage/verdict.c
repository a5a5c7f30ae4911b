/* SPDX-License-Identifier: BSD-2-Clause */
/* What a store must do about a damage. */
#include "verdict.h"

#include "test-store.h"

static bool block_hit(const struct strike *strike, uint64_t place,
		      uint32_t slot, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct structure s = {KIND_UNUSED, 0, place,
				      (slot + i) * BLOCK_SIZE, BLOCK_SIZE};

		if (strike_hit(strike, &s))
			return true;
	}
	return false;
}

static uint64_t durable_seq(const struct strike *strike,
			    const struct log_batch *b)
{
	struct error err = ERROR_NONE;
	struct batch_header header;
	struct disk_batch disk;

	if (log_tail_read_header(strike->specimen->medium.be, b, &disk, &header,
				 &err) < 0)
		die("verdict: %s", err.message);
	return header.durable_seq;
}

static void find_end(struct verdict *v, const struct strike *strike)
{
	const struct log_batch_vector *batches = &v->survey->tail.batches;
	uint64_t start = v->survey->sb.log.seq, walked = start - 1;
	uint64_t known = start - 1, durable = start - 1, moved = start - 1;
	bool ended = false;

	for (size_t i = 0; i < batches->len; i++) {
		const struct log_batch *b = &batches->ptr[i];
		uint64_t seq = durable_seq(strike, b);

		if (strike->method == SWAP_BLOCKS ||
		    strike->method == SWAP_FRAMES)
			moved = seq > moved ? seq : moved;
		if (block_hit(strike, b->place, b->slot, 1)) {
			ended = true;
			continue;
		}
		known = seq > known ? seq : known;
		if (ended)
			continue;
		durable = seq > durable ? seq : durable;
		walked = b->seq;
	}
	v->end_seq = walked;
	for (size_t i = batches->len; i-- > 0;) {
		const struct log_batch *b = &batches->ptr[i];

		if (b->seq <= walked &&
		    (b->seq > durable || b->has_operation) &&
		    block_hit(strike, b->place, b->slot + 1, b->nr_payload))
			v->end_seq = b->seq - 1;
	}
	v->log_is_whole = v->end_seq == v->survey->tail.end_seq;
	v->log_is_damaged = v->end_seq < known;
	v->log_may_be_damaged = v->log_is_damaged || v->end_seq < moved;
}

static bool super_is_invalid(const struct strike *strike, unsigned int copy)
{
	struct disk_superblock disk;
	struct superblock sb;

	medium_read(&strike->medium, (struct address){NR_FRAMES + copy, 0},
		    (uint8_t *)&disk);
	return superblock_decode(&disk, copy, &sb, NULL) < 0;
}

static void find(struct verdict *ret, const struct strike *strike,
		 const struct survey *survey)
{
	bool hit[SUPERBLOCK_COPIES];

	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		hit[i] = block_hit(strike, NR_FRAMES + i, 0, 1);
	*ret = (struct verdict){
		.supers_lost = hit[0] && hit[1],
		.super_hit = hit[0] || hit[1],
		.super_invalid = super_is_invalid(strike, 0) ||
				 super_is_invalid(strike, 1),
		.survey = survey,
	};
	ret->pages_hit = strike_hit_kinds(strike, ret->survey, KIND_ROOT,
					  KIND_REAPER_PAGE);
	ret->nodes_hit =
		strike_hit_kinds(strike, ret->survey, KIND_INNER, KIND_LEAF);
	ret->data_hit =
		strike_hit_kinds(strike, ret->survey, KIND_DATA, KIND_DATA) ||
		strike_hit_kinds(strike, ret->survey, KIND_TAIL_DATA,
				 KIND_TAIL_DATA);
	find_end(ret, strike);
	ret->dead_hit =
		strike_hit_kinds(strike, ret->survey, KIND_UNUSED, KIND_UNUSED);
	/* what died in the part of the log that is gone is alive again */
	if (!ret->log_is_whole)
		ret->data_hit = ret->data_hit || ret->dead_hit;
}

void verdict_find(struct verdict *ret, const struct strike *strike)
{
	const struct specimen *specimen = strike->specimen;

	find(ret, strike,
	     specimen->kind == SPECIMEN_BETWEEN &&
			     block_hit(strike, NR_FRAMES, 0, 1)
		     ? &specimen->older
		     : &specimen->survey);
}

void verdict_find_older(struct verdict *ret, const struct strike *strike)
{
	find(ret, strike, &strike->specimen->older);
}

bool verdict_is_unread(const struct verdict *verdict,
		       const struct strike *strike, unsigned int i,
		       unsigned int block)
{
	const struct reading *reading = &verdict->survey->readings[i][block];

	for (unsigned int k = 0; k < reading->nr; k++)
		if (strike_hit(strike, &reading->on[k]))
			return true;
	return false;
}
