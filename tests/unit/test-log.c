/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: batches, segments, buffers, flushes. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "checksum.h"
#include "fixture.h"

static struct log *log_of_store;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r == 0)
		log_of_store = &store->log;
	return r;
}

/* Append one block of @seed; nothing is mapped.  Core not held. */
static struct birth append(uint32_t seed)
{
	uint8_t data[BLOCK_SIZE];
	struct birth ret = {0};
	uint32_t checksum;
	int r;

	fill_block(data, 0, seed);
	checksum = checksum32(data, sizeof(data));
	lock_core();
	do {
		r = log_ready(log_of_store, FRAME_USER_RECOVERY, &err);
	} while (r == -EAGAIN);
	if (r == 0)
		(void)log_append_write(log_of_store, 1, (struct vblock){seed},
				       1, data, &checksum, &ret);
	unlock_core();
	must(r);
	return ret;
}

static void seal(void)
{
	lock_core();
	log_seal(log_of_store);
	unlock_core();
}

static void a_block_is_readable_before_it_is_written(void **state)
{
	struct birth name = append(7);
	uint8_t wanted[BLOCK_SIZE];
	struct log_buffer *b;
	const uint8_t *data;

	fill_block(wanted, 0, 7);
	lock_core();
	b = log_pin(log_of_store, birth_segno(name), birth_slot(name), &data);
	assert_non_null(b);
	assert_memory_equal(data, wanted, sizeof(wanted));
	log_unpin(log_of_store, b);
	assert_null(log_pin(log_of_store, birth_segno(name),
			    birth_slot(name) + 1, &data));
	assert_null(log_pin(log_of_store, birth_segno(name),
			    birth_slot(name) - 1, &data));
	unlock_core();
}

static void names_of_one_batch_are_consecutive(void **state)
{
	struct birth a = append(1), b = append(2), c;

	assert_int_equal(b.value, a.value + 1);
	seal();
	c = append(3); /* a batch header lies between */
	assert_int_equal(c.value, b.value + 2);
}

static void a_flush_makes_durable_what_came_before_it(void **state)
{
	uint64_t nr_syncs = memory_disk_count(disk, MEMORY_SYNC), seq;

	(void)append(1);
	seq = log_seq(log_of_store);
	assert_true(log_of_store->durable_seq < seq);
	must(log_flush(log_of_store, &err));
	assert_int_equal(log_of_store->durable_seq, seq);
	assert_int_equal(log_of_store->written_seq, seq);
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), nr_syncs + 1);
}

static void a_flush_without_news_costs_nothing(void **state)
{
	uint64_t nr_syncs, nr_writes;

	(void)append(1);
	must(log_flush(log_of_store, &err));
	nr_syncs = memory_disk_count(disk, MEMORY_SYNC);
	nr_writes = memory_disk_count(disk, MEMORY_WRITE);
	must(log_flush(log_of_store, &err));
	must(log_flush_upto(log_of_store, 1, &err));
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), nr_syncs);
	assert_int_equal(memory_disk_count(disk, MEMORY_WRITE), nr_writes);
}

static void a_segment_names_its_successor(void **state)
{
	struct disk_segment_header disk_header;
	struct segment_header h;
	struct birth first = append(1), last = first;
	struct segment *s;

	while (birth_segno(last) == birth_segno(first))
		last = append(2);
	must(log_flush(log_of_store, &err));
	s = segment_find(&store->segments, birth_segno(first));
	assert_true(s->sealed);
	must(backend_read(store->core.be, s->place, 0, &disk_header,
			  sizeof(disk_header), 0, &err));
	must(segment_header_decode(&disk_header, s->place, &h, &err));
	assert_int_equal(h.next_segno, birth_segno(last));
	s = segment_find(&store->segments, birth_segno(last));
	assert_int_equal(h.next_place, s->place);
	assert_false(s->sealed);
}

static void the_log_never_writes_to_a_frame_not_allocated(void **state)
{
	for (uint32_t i = 0; i < 100; i++)
		(void)append(i + 1);
	must(log_flush(log_of_store, &err));
	assert_int_equal(memory_disk_unallocated_writes(disk), 0);
}

static void a_buffer_is_reused_only_when_its_batch_is_written(void **state)
{
	uint64_t first = log_of_store->next_seq;

	for (uint32_t i = 0; i < 100; i++) {
		(void)append(i + 1);
		seal();
		assert_true(log_of_store->next_seq - 1 -
				    log_of_store->written_seq <=
			    log_of_store->nr_buffers);
	}
	assert_int_equal(log_of_store->next_seq, first + 100);
	assert_true(log_of_store->written_seq > first);
}

static void a_position_at_the_end_is_in_the_successor(void **state)
{
	struct log_position position;
	struct birth name;

	do {
		name = append(1);
		seal();
	} while (birth_slot(name) + 2 < TEST_SLOTS);
	lock_core();
	log_position(log_of_store, &position);
	unlock_core();
	assert_int_equal(position.segno, log_of_store->successor->segno);
	assert_int_equal(position.place, log_of_store->successor->place);
	assert_int_equal(position.slot, 1);
	assert_int_equal(position.seq, log_of_store->next_seq);
	name = append(2);
	assert_int_equal(birth_segno(name), position.segno);
	assert_int_equal(birth_slot(name), 2);
}

static void an_idle_log_says_what_is_durable(void **state)
{
	uint64_t seq;

	(void)append(1);
	must(log_flush(log_of_store, &err));
	seq = log_of_store->sealed_seq;
	lock_core();
	log_advertise_durable(log_of_store); /* too early */
	assert_int_equal(log_of_store->sealed_seq, seq);
	log_of_store->flushed_at_ms -= 2000;
	log_advertise_durable(log_of_store);
	assert_int_equal(log_of_store->sealed_seq, seq + 1);
	assert_int_equal(log_of_store->advertised_seq, seq);
	log_advertise_durable(log_of_store); /* it was said */
	unlock_core();
	assert_int_equal(log_of_store->sealed_seq, seq + 1);
	assert_int_equal(log_of_store->written_seq, seq + 1);
}

static void a_failed_write_stops_the_log(void **state)
{
	(void)append(1);
	memory_disk_fault(disk, MEMORY_WRITE, 1, EIO, false);
	refused(log_flush(log_of_store, &err), EIO, "reopen");
	assert_int_equal(store->core.failed, EIO);
	lock_core();
	refused(log_ready(log_of_store, FRAME_USER_RECOVERY, &err), EIO,
		"reopen");
	unlock_core();
}

static void a_failed_sync_is_never_tried_again(void **state)
{
	uint64_t nr, durable = log_of_store->durable_seq;

	(void)append(1);
	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, false);
	refused(log_flush(log_of_store, &err), EIO, "reopen");
	nr = memory_disk_count(disk, MEMORY_SYNC);
	refused(log_flush(log_of_store, &err), EIO, "reopen");
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), nr);
	assert_int_equal(log_of_store->durable_seq, durable);
}

static void without_a_frame_the_log_is_not_ready(void **state)
{
	int r = 0;

	lock_core();
	while (frames_take(&store->frames, FRAME_USER_RECOVERY) != PLACE_NONE)
		;
	unlock_core();
	for (int i = 0; r == 0 && i < 100; i++) {
		lock_core();
		r = log_ready(log_of_store, FRAME_USER_WRITE, &err);
		unlock_core();
		if (r == 0)
			(void)append(1);
	}
	refused(r, ENOSPC, "store is full");
	assert_int_equal(store->core.failed, 0);
}

static void *flush_in_thread(void *ret)
{
	*(int *)ret = log_flush(log_of_store, NULL);
	return NULL;
}

/* What comes after a round has begun waits for the next one (I10). */
static void a_late_flush_gets_a_round_of_its_own(void **state)
{
	uint64_t nr = memory_disk_count(disk, MEMORY_SYNC);
	pthread_t early, late;
	int r[2] = {1, 1};

	(void)append(1);
	memory_disk_pause(disk, MEMORY_SYNC);
	assert_int_equal(pthread_create(&early, NULL, flush_in_thread, &r[0]),
			 0);
	memory_disk_wait_paused(disk, MEMORY_SYNC);
	(void)append(2);
	assert_int_equal(pthread_create(&late, NULL, flush_in_thread, &r[1]),
			 0);
	memory_disk_resume(disk, MEMORY_SYNC);
	assert_int_equal(pthread_join(early, NULL), 0);
	assert_int_equal(pthread_join(late, NULL), 0);
	assert_int_equal(r[0], 0);
	assert_int_equal(r[1], 0);
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), nr + 2);
	assert_int_equal(log_of_store->durable_seq, log_seq(log_of_store));
}

struct sleeper {
	uint64_t ms;
	bool sleeps, woken; /* guarded by core */
};

static void *sleep_as_writer(void *arg)
{
	struct sleeper *sleeper = arg;
	struct core *core = &store->core;

	mutex_lock(&core->lock);
	sleeper->sleeps = true;
	sleeper->woken = cond_wait_ms(&core->work[WORKER_WRITER], &core->lock,
				      sleeper->ms);
	mutex_unlock(&core->lock);
	return NULL;
}

/* Does @act wake the writer, if that sleeps for @ms? */
static bool wakes_writer(void (*act)(void), uint64_t ms)
{
	struct sleeper sleeper = {.ms = ms};
	pthread_t thread;
	bool sleeps;

	assert_int_equal(
		pthread_create(&thread, NULL, sleep_as_writer, &sleeper), 0);
	do {
		lock_core();
		sleeps = sleeper.sleeps;
		unlock_core();
	} while (!sleeps);
	act();
	assert_int_equal(pthread_join(thread, NULL), 0);
	return sleeper.woken;
}

static void fill_a_batch(void)
{
	for (uint32_t i = 0; i < TEST_SLOTS; i++)
		(void)append(1);
}

static void flush_a_block(void)
{
	(void)append(1);
	must(log_flush(log_of_store, &err));
}

static void a_full_batch_is_the_writers(void **state)
{
	assert_true(wakes_writer(fill_a_batch, 60000));
}

/* But for the first flush, after which the writer has its timer. */
static void what_a_flush_writes_itself_wakes_nobody(void **state)
{
	flush_a_block();
	assert_true(log_of_store->timer_armed);
	assert_false(wakes_writer(flush_a_block, 200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(a_block_is_readable_before_it_is_written),
		TEST(names_of_one_batch_are_consecutive),
		TEST(a_flush_makes_durable_what_came_before_it),
		TEST(a_flush_without_news_costs_nothing),
		TEST(a_segment_names_its_successor),
		TEST(the_log_never_writes_to_a_frame_not_allocated),
		TEST(a_buffer_is_reused_only_when_its_batch_is_written),
		TEST(a_position_at_the_end_is_in_the_successor),
		TEST(an_idle_log_says_what_is_durable),
		TEST(a_failed_write_stops_the_log),
		TEST(a_failed_sync_is_never_tried_again),
		TEST(without_a_frame_the_log_is_not_ready),
		TEST(a_late_flush_gets_a_round_of_its_own),
		TEST(a_full_batch_is_the_writers),
		TEST(what_a_flush_writes_itself_wakes_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
