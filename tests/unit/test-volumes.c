/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of volumes: finding, records, what a load refuses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct volumes *volumes;

static int set_up(void **state)
{
	int r = make_modules(state);

	volumes = &store->volumes;
	return r;
}

static struct volume *add(const char *name, uint32_t parent)
{
	struct volume *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	assert_int_equal(volumes_prepare(volumes, 1), 0);
	v->id = volumes->next_id;
	v->kind = parent ? VOLUME_SNAPSHOT : VOLUME_HEAD;
	v->parent = parent;
	v->size = 4096;
	v->map.epoch = volumes_new_epoch(volumes);
	(void)snprintf(v->name, sizeof(v->name), "%s", name);
	volume_insert(volumes, v);
	return v;
}

static void set_attrs(struct volume *v, const char *attrs, size_t length)
{
	v->attrs = malloc(length);
	assert_non_null(v->attrs);
	memcpy(v->attrs, attrs, length);
	v->attrs_length = (uint16_t)length;
}

static void volumes_are_found_by_id_and_name(void **state)
{
	struct volume *a = add("a", 0), *b = add("b", 0);
	struct volume *s = add("s", a->id), *t = add("s", b->id), *found;
	char name[NAME_MAX_BYTES + 1];

	assert_ptr_equal(volume_find_id(volumes, b->id), b);
	assert_null(volume_find_id(volumes, 0));
	assert_null(volume_find_id(volumes, t->id + 1));
	assert_ptr_equal(volume_find_head(volumes, "b"), b);
	assert_null(volume_find_head(volumes, "s"));
	assert_ptr_equal(volume_find_snapshot(volumes, a->id, "s"), s);
	assert_ptr_equal(volume_find_snapshot(volumes, b->id, "s"), t);
	must(volume_find(volumes, "b@s", &found, &err));
	assert_ptr_equal(found, t);
	volume_full_name(volumes, t, name);
	assert_string_equal(name, "b@s");
	volume_full_name(volumes, a, name);
	assert_string_equal(name, "a");
	assert_int_equal(volume_nr_snapshots(volumes, a->id), 1);
}

static void of_a_thousand_each_is_found_until_it_is_removed(void **state)
{
	struct volume *head = add("a", 0), *all[1000];
	char word[16];

	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(word, sizeof(word), "s%u", i);
		all[i] = add(word, head->id);
	}
	for (unsigned int i = 0; i < 1000; i += 2) {
		volume_remove(volumes, all[i]);
		all[i] = NULL;
	}
	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(word, sizeof(word), "s%u", i);
		assert_ptr_equal(volume_find_snapshot(volumes, head->id, word),
				 all[i]);
		assert_null(volume_find_head(volumes, word));
	}
}

static void what_does_not_exist_is_told_by_its_name(void **state)
{
	struct volume *found;

	(void)add("a", 0);
	refused(volume_find(volumes, "b", &found, &err), ENOENT,
		"b: no such volume");
	refused(volume_find(volumes, "b@s", &found, &err), ENOENT,
		"b@s: no such volume");
	refused(volume_find(volumes, "a@s", &found, &err), ENOENT,
		"a@s: no such snapshot");
	refused(volume_find(volumes, "a@s:scratch.7", &found, &err), ENOENT,
		"no such view");
	refused(volume_find(volumes, "a@s..t", &found, &err), EINVAL,
		"not a volume");
	refused(volume_find(volumes, "", &found, &err), EINVAL, "");
	refused(volume_find(volumes, "../a", &found, &err), EINVAL, "");
}

static void a_scratch_view_is_found_by_its_whole_name(void **state)
{
	struct volume *a = add("a", 0), *view, *found;

	(void)add("s", a->id);
	view = add("a@s:scratch.3", 0);
	view->flags = VOLUME_FLAG_HIDDEN | VOLUME_FLAG_SCRATCH;
	must(volume_find(volumes, "a@s:scratch.3", &found, &err));
	assert_ptr_equal(found, view);
}

static void a_removed_volume_leaves_its_page_to_the_next(void **state)
{
	static uint8_t page[PAGE_BYTES_MAX];
	struct volume *a = add("a", 0), *b = add("b", 0);
	uint32_t index = a->index, id = b->id;

	volume_remove(volumes, a);
	assert_int_equal(volumes->pages.encode(volumes, index, page), 0);
	assert_null(volume_find_head(volumes, "a"));
	a = add("a", 0);
	assert_int_equal(a->index, index);
	assert_true(a->id > id);
}

static void every_epoch_is_new(void **state)
{
	uint32_t epoch = volumes_new_epoch(volumes);

	for (int i = 0; i < 10; i++) {
		uint32_t next = volumes_new_epoch(volumes);

		assert_true(next > epoch);
		epoch = next;
	}
}

static void attributes_are_found_by_their_whole_key(void **state)
{
	static const char attrs[] = "mess=no\0message=hi=there\0empty=";
	struct volume *a = add("a", 0);
	size_t length = 99;

	assert_null(volume_attr(a, "message", &length));
	set_attrs(a, attrs, sizeof(attrs));
	assert_memory_equal(volume_attr(a, "message", &length), "hi=there", 8);
	assert_int_equal(length, 8);
	assert_non_null(volume_attr(a, "empty", &length));
	assert_int_equal(length, 0);
	assert_null(volume_attr(a, "messag", &length));
	assert_null(volume_attr(a, "there", &length));
}

static void open_counts_every_kind_of_handle(void **state)
{
	struct volume v = {0};

	assert_false(volume_is_open(&v));
	v.nr_attached = 1;
	assert_true(volume_is_open(&v));
	v = (struct volume){.nr_readers = 1};
	assert_true(volume_is_open(&v));
	v = (struct volume){.nr_writers = 1};
	assert_true(volume_is_open(&v));
}

/* ---- loading ---- */

static struct volumes other;

/* Load all pages of @volumes into @other. */
static int load(uint32_t next_id, uint32_t next_epoch)
{
	static uint8_t page[PAGE_BYTES_MAX];
	int r = volumes_init(&other, &store->core);

	for (uint32_t i = 0; r == 0 && i < volumes->pages.nr_pages; i++) {
		size_t length = volumes->pages.encode(volumes, i, page);

		if (length)
			r = volumes_load(&other, i, page, length, &err);
	}
	other.next_id = next_id;
	other.next_epoch = next_epoch;
	return r < 0 ? r
		     : volumes_loaded(&other, volumes->pages.nr_pages, &err);
}

static void records_load_as_they_were_encoded(void **state)
{
	struct volume *a = add("g/a", 0), *s, *gone, *copy;

	gone = add("gone", 0);
	s = add("s", a->id);
	a->kept = s->id;
	a->map.root = 12;
	a->map.refer = 34;
	a->written = 56;
	s->flags = VOLUME_FLAG_OLD_HEAD;
	s->created_ns = 78;
	set_attrs(s, "message=x", 10);
	volume_remove(volumes, gone);
	must(load(volumes->next_id, volumes->next_epoch));
	assert_int_equal(other.all.len, 2);
	assert_int_equal(other.free_indices.len, 1);
	copy = volume_find_head(&other, "g/a");
	assert_non_null(copy);
	assert_int_equal(copy->kept, s->id);
	assert_int_equal(copy->map.root, 12);
	assert_int_equal(copy->map.refer, 34);
	assert_int_equal(copy->map.epoch, a->map.epoch);
	assert_int_equal(copy->written, 56);
	copy = volume_find_snapshot(&other, a->id, "s");
	assert_non_null(copy);
	assert_int_equal(copy->flags, VOLUME_FLAG_OLD_HEAD);
	assert_int_equal(copy->created_ns, 78);
	assert_int_equal(copy->attrs_length, 10);
	volumes_done(&other);
}

static void records_that_contradict_the_root_are_refused(void **state)
{
	struct volume *a = add("a", 0), *s = add("s", a->id);
	struct volume *t = add("t", a->id);

	refused(load(t->id, volumes->next_epoch), EUCLEAN,
		"id beyond the next");
	volumes_done(&other);
	refused(load(volumes->next_id, t->map.epoch), EUCLEAN,
		"epoch beyond the next");
	volumes_done(&other);
	s->parent = 4711;
	must(load(volumes->next_id, volumes->next_epoch));
	refused(volumes_check_parents(&other, &err), EUCLEAN, "has no volume");
	volumes_done(&other);
	s->parent = a->id;
	t->parent = s->id; /* a snapshot has none */
	must(load(volumes->next_id, volumes->next_epoch));
	refused(volumes_check_parents(&other, &err), EUCLEAN, "has no volume");
	volumes_done(&other);
}

static void one_id_twice_is_refused(void **state)
{
	(void)add("a", 0);
	add("b", 0)->id = 1;
	refused(load(volumes->next_id, volumes->next_epoch), EUCLEAN,
		"listed twice");
	volumes_done(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
		TEST(volumes_are_found_by_id_and_name),
		TEST(of_a_thousand_each_is_found_until_it_is_removed),
		TEST(what_does_not_exist_is_told_by_its_name),
		TEST(a_scratch_view_is_found_by_its_whole_name),
		TEST(a_removed_volume_leaves_its_page_to_the_next),
		TEST(every_epoch_is_new),
		TEST(attributes_are_found_by_their_whole_key),
		TEST(open_counts_every_kind_of_handle),
		TEST(records_load_as_they_were_encoded),
		TEST(records_that_contradict_the_root_are_refused),
		TEST(one_id_twice_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
