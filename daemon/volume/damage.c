/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE REPORT
 *
 * Pass 1 walks each node once, from the roots of all volumes, and marks those
 * that are bad or lead to something bad: a bit per node.
 *
 * Pass 2 descends through marked nodes only, in all volumes at once.  A
 * position is a place in the tree, the same in every volume: a level and the
 * first block below it.  There some volumes reach one node and others another
 * one; a group is a node with the volumes that reach it.  So what is shared
 * is looked at once, however many share it, and ranges come in order of
 * offset with all their sharers known.  Blocks next to each other that the
 * same volumes share make one range.
 *
 * Nothing is locked between two nodes.  On a store that is being written a
 * node may be gone by then: it is passed over.  Bytes from disk may make a
 * node a child of many: the nodes looked at in pass 2 are limited.
 */
#include "damage-lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A node at a position; who reaches it there is in position.members. */
struct group {
	uint32_t id;
	uint32_t first, nr;
};

DEFINE_VECTOR(group_vector, struct group);

struct position {
	unsigned int level;
	uint64_t block; /* the first one below it */
	struct group_vector groups;
	struct index_vector members; /* volume ids */
};

/* Group @group has something bad below child, or in entry, @index. */
struct branch {
	uint32_t index;
	uint32_t group;
	uint64_t what; /* id of the child, or the block's name */
};

DEFINE_VECTOR(branch_vector, struct branch);

struct report {
	struct store *store;
	struct damage *damage;
	struct damage_lines lines;
	uint64_t nr_visits; /* nodes that pass 2 may still look at */
	uint32_t nr_ids;
	uint8_t *bad, *marked, *seen; /* a bit per node */
	uint8_t *found;		      /* a bit per bad block */
};

union content {
	struct leaf_content leaf;
	struct inner_content inner;
};

/* ---- what is damaged ---- */

void damage_init(struct damage *damage)
{
	*damage = (struct damage){0};
}

void damage_done(struct damage *damage)
{
	index_vector_done(&damage->nodes);
	birth_vector_done(&damage->blocks);
}

void damage_add_node(struct damage *damage, uint32_t id)
{
	if (damage->nodes.len >= DAMAGE_MAX ||
	    index_vector_push(&damage->nodes, id) < 0)
		damage->nr_dropped++;
}

void damage_add_block(struct damage *damage, struct birth name)
{
	if (damage->blocks.len >= DAMAGE_MAX ||
	    birth_vector_push(&damage->blocks, name) < 0)
		damage->nr_dropped++;
}

bool damage_is_empty(const struct damage *damage)
{
	return damage->nodes.len == 0 && damage->blocks.len == 0 &&
	       damage->nr_dropped == 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int compare_names(const void *a, const void *b)
{
	const struct birth *x = a, *y = b;

	return (x->value > y->value) - (x->value < y->value);
}

static void sort_blocks(struct birth_vector *blocks)
{
	size_t nr = 0;

	if (blocks->len == 0)
		return;
	qsort(blocks->ptr, blocks->len, sizeof(*blocks->ptr), compare_names);
	for (size_t i = 0; i < blocks->len; i++)
		if (i == 0 || blocks->ptr[i].value != blocks->ptr[nr - 1].value)
			blocks->ptr[nr++] = blocks->ptr[i];
	blocks->len = nr;
}

/* ---- bits ---- */

static bool bit_get(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void bit_set(uint8_t *bits, size_t i)
{
	bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* Nodes made since the report began are as sound as memory; but an image has
 * none, so there a greater id is one that never existed. */
static bool id_bit(const struct report *rep, const uint8_t *bits, uint32_t id)
{
	if (id >= rep->nr_ids)
		return rep->store->core.read_only;
	return bit_get(bits, id);
}

/* Which bad block has @name; -1: none. */
static ssize_t find_block(const struct report *rep, struct birth name)
{
	const struct birth_vector *blocks = &rep->damage->blocks;
	const struct birth *at;

	if (blocks->len == 0)
		return -1;
	at = bsearch(&name, blocks->ptr, blocks->len, sizeof(name),
		     compare_names);
	return at ? at - blocks->ptr : -1;
}

/* ---- nodes ---- */

/*
 * Copy the content of node @id.  -ENOENT: it was freed meanwhile; -ENOMEM;
 * others: it cannot be read.
 */
static int load(struct report *rep, uint32_t id, unsigned int level,
		union content *ret)
{
	struct nodes *nodes = &rep->store->nodes;
	bool read_only = rep->store->core.read_only;
	struct node *n = NULL;
	uint32_t missing = 0;
	int r;

	mutex_lock(&rep->store->core.lock);
	for (;;) {
		r = node_get(nodes, id, level, &n, &missing, NULL);
		/* its id may have been used again for another one */
		if (r < 0 && r != -EAGAIN && !read_only)
			r = -ENOENT;
		if (!store_look_again(rep->store, missing, &r, NULL))
			break;
	}
	if (r == 0 && level > 0)
		ret->inner = *n->inner;
	else if (r == 0)
		ret->leaf = *n->leaf;
	mutex_unlock(&rep->store->core.lock);
	mutex_give_way(&rep->store->core.lock);
	return r;
}

/* ---- pass 1 ---- */

static bool leaf_is_bad(struct report *rep, const struct leaf_content *leaf)
{
	bool ret = false;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		ssize_t at;

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		at = find_block(rep, leaf_entry_birth(leaf->entries[i]));
		if (at < 0)
			continue;
		bit_set(rep->found, (size_t)at);
		ret = true;
	}
	return ret;
}

/* Mark node @id of @level, and those below, if they lead to damage. */
static int mark(struct report *rep, uint32_t id, unsigned int level)
{
	union content content;
	bool leads = false;
	int r;

	if (id >= rep->nr_ids || bit_get(rep->seen, id))
		return 0;
	bit_set(rep->seen, id);
	if (bit_get(rep->bad, id)) {
		bit_set(rep->marked, id);
		return 0;
	}
	if (level == 0 && rep->damage->blocks.len == 0)
		return 0;
	r = load(rep, id, level, &content);
	if (r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (r < 0) {
		bit_set(rep->bad, id);
		leads = true;
	} else if (level == 0) {
		leads = leaf_is_bad(rep, &content.leaf);
	}
	for (uint32_t i = 0; r == 0 && level > 0 && i < INNER_CHILDREN; i++) {
		uint32_t child = content.inner.children[i];

		if (child == 0)
			continue;
		r = mark(rep, child, level - 1);
		leads |= id_bit(rep, rep->marked, child);
	}
	if (leads)
		bit_set(rep->marked, id);
	return r == -ENOMEM ? r : 0;
}

/* ---- pass 2 ---- */

static int add_members(const struct position *p, uint32_t group,
		       struct index_vector *to)
{
	const struct group *g = &p->groups.ptr[group];

	if (index_vector_reserve(to, g->nr) < 0)
		return -ENOMEM;
	memcpy(to->ptr + to->len, p->members.ptr + g->first,
	       g->nr * sizeof(*to->ptr));
	to->len += g->nr;
	return 0;
}

/* How many branches from @from on lead from one place to one thing. */
static size_t same_branch(const struct branch_vector *branches, size_t from)
{
	const struct branch *b = branches->ptr + from;
	size_t nr = 1;

	while (from + nr < branches->len && b[nr].index == b->index &&
	       b[nr].what == b->what)
		nr++;
	return nr;
}

/* The members of the groups of @nr branches, sorted. */
static int join_members(const struct position *p, const struct branch *branch,
			size_t nr, struct index_vector *to)
{
	size_t first = to->len;
	int r = 0;

	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_members(p, branch[i].group, to);
	if (r == 0 && nr > 1)
		qsort(to->ptr + first, to->len - first, sizeof(*to->ptr),
		      compare_ids);
	return r;
}

static uint64_t blocks_below(unsigned int level)
{
	uint64_t ret = LEAF_BLOCKS;

	while (level-- > 0)
		ret *= INNER_CHILDREN;
	return ret;
}

static int add_bad_node(struct report *rep, const struct position *p,
			uint32_t group)
{
	struct damage_range range = {
		.block = p->block,
		.nr_blocks = blocks_below(p->level),
		.what = p->groups.ptr[group].id,
		.nr = 1,
		.is_node = true,
	};

	if (add_members(p, group, &range.members) < 0)
		return -ENOMEM;
	return damage_lines_add(&rep->lines, &range);
}

static int add_bad_blocks(struct report *rep, const struct position *p,
			  const struct branch_vector *branches)
{
	int r = 0;

	for (size_t i = 0, nr; r == 0 && i < branches->len; i += nr) {
		const struct branch *b = &branches->ptr[i];
		struct damage_range range = {
			.block = p->block + b->index,
			.nr_blocks = 1,
			.what = b->what,
			.nr = 1,
		};

		nr = same_branch(branches, i);
		r = join_members(p, b, nr, &range.members);
		if (r == 0)
			r = damage_lines_add(&rep->lines, &range);
		else
			index_vector_done(&range.members);
	}
	return r;
}

/* Where group @group goes on; a bad node ends here. */
static int find_branches(struct report *rep, const struct position *p,
			 uint32_t group, struct branch_vector *ret)
{
	uint32_t id = p->groups.ptr[group].id;
	union content content;
	uint32_t nr = p->level ? INNER_CHILDREN : LEAF_BLOCKS;
	int r = -EUCLEAN;

	if (!id_bit(rep, rep->bad, id))
		r = load(rep, id, p->level, &content);
	if (r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (r < 0)
		return add_bad_node(rep, p, group);
	for (uint32_t i = 0; r == 0 && i < nr; i++) {
		struct branch branch = {.index = i, .group = group};

		if (p->level > 0) {
			branch.what = content.inner.children[i];
			if (branch.what == 0 ||
			    !id_bit(rep, rep->marked,
				    content.inner.children[i]))
				continue;
		} else {
			struct leaf_entry e = content.leaf.entries[i];

			branch.what = leaf_entry_birth(e).value;
			if (leaf_entry_kind(e) != ENTRY_DATA ||
			    find_block(rep, leaf_entry_birth(e)) < 0)
				continue;
		}
		r = branch_vector_push(ret, branch);
	}
	return r;
}

static int compare_branches(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;

	if (x->index != y->index)
		return x->index > y->index ? 1 : -1;
	if (x->what != y->what)
		return x->what > y->what ? 1 : -1;
	return (x->group > y->group) - (x->group < y->group);
}

static void position_done(struct position *p)
{
	group_vector_done(&p->groups);
	index_vector_done(&p->members);
}

static int visit(struct report *rep, const struct position *p);

/* Visit the children of @nr branches, which have one index. */
static int visit_child(struct report *rep, const struct position *p,
		       const struct branch_vector *branches, size_t from,
		       size_t end)
{
	uint32_t index = branches->ptr[from].index;
	struct position child = {
		.level = p->level - 1,
		.block = p->block + index * blocks_below(p->level - 1),
	};
	int r = 0;

	for (size_t i = from, nr; r == 0 && i < end; i += nr) {
		struct group group = {
			.id = (uint32_t)branches->ptr[i].what,
			.first = (uint32_t)child.members.len,
		};

		nr = same_branch(branches, i);
		r = join_members(p, branches->ptr + i, nr, &child.members);
		group.nr = (uint32_t)child.members.len - group.first;
		if (r == 0)
			r = group_vector_push(&child.groups, group);
	}
	if (r == 0)
		r = visit(rep, &child);
	position_done(&child);
	return r;
}

static int visit_children(struct report *rep, const struct position *p,
			  const struct branch_vector *branches)
{
	size_t end;
	int r = 0;

	for (size_t i = 0; r == 0 && i < branches->len; i = end) {
		end = i + 1;
		while (end < branches->len &&
		       branches->ptr[end].index == branches->ptr[i].index)
			end++;
		r = visit_child(rep, p, branches, i, end);
	}
	return r;
}

static int visit(struct report *rep, const struct position *p)
{
	struct branch_vector branches = {0};
	int r = 0;

	for (uint32_t g = 0; r == 0 && g < p->groups.len && !rep->lines.cut;
	     g++) {
		if (rep->nr_visits-- == 0)
			rep->lines.cut = true;
		r = find_branches(rep, p, g, &branches);
	}
	if (r == 0 && branches.len > 0) {
		qsort(branches.ptr, branches.len, sizeof(*branches.ptr),
		      compare_branches);
		r = p->level > 0 ? visit_children(rep, p, &branches)
				 : add_bad_blocks(rep, p, &branches);
	}
	branch_vector_done(&branches);
	return r;
}

/* ---- all volumes ---- */

/* A volume and its root. */
static int compare_roots(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;

	if (x->what != y->what)
		return x->what > y->what ? 1 : -1;
	return (x->group > y->group) - (x->group < y->group);
}

/* Roots as .what, volume ids as .group. */
static int list_roots(struct report *rep, struct branch_vector *ret)
{
	const struct volumes *volumes = &rep->store->volumes;
	int r = 0;

	mutex_lock(&rep->store->core.lock);
	for (size_t i = 0; r == 0 && i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i];

		if (v->map.root)
			r = branch_vector_push(
				ret, (struct branch){.group = v->id,
						     .what = v->map.root});
	}
	mutex_unlock(&rep->store->core.lock);
	if (r == 0 && ret->len > 0)
		qsort(ret->ptr, ret->len, sizeof(*ret->ptr), compare_roots);
	return r;
}

/* The position above everything: roots that lead to damage. */
static int group_roots(struct report *rep, const struct branch_vector *roots,
		       struct position *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < roots->len; i++) {
		uint32_t id = (uint32_t)roots->ptr[i].what;
		struct group group = {.id = id,
				      .first = (uint32_t)ret->members.len};

		if (!id_bit(rep, rep->marked, id))
			continue;
		if (ret->groups.len == 0 ||
		    ret->groups.ptr[ret->groups.len - 1].id != id)
			r = group_vector_push(&ret->groups, group);
		if (r == 0)
			r = index_vector_push(&ret->members,
					      roots->ptr[i].group);
		if (r == 0)
			ret->groups.ptr[ret->groups.len - 1].nr++;
	}
	return r;
}

static int walk(struct report *rep)
{
	struct branch_vector roots = {0};
	struct position top = {.level = INNER_LEVELS};
	int r;

	r = list_roots(rep, &roots);
	for (size_t i = 0; r == 0 && i < roots.len; i++)
		r = mark(rep, (uint32_t)roots.ptr[i].what, INNER_LEVELS);
	if (r == 0)
		r = group_roots(rep, &roots, &top);
	if (r == 0)
		r = visit(rep, &top);
	position_done(&top);
	branch_vector_done(&roots);
	return r;
}

/* What is in a map that cannot be read, or was deleted. */
static void say_unreached(struct report *rep)
{
	const struct damage *damage = rep->damage;
	char text[120];

	for (uint32_t id = 0; id < rep->nr_ids; id++) {
		if (!bit_get(rep->bad, id) || bit_get(rep->seen, id))
			continue;
		(void)snprintf(text, sizeof(text),
			       "map node %" PRIu32 ": unreadable; nothing that "
			       "is readable leads to it",
			       id);
		damage_lines_say(&rep->lines, text);
	}
	for (size_t i = 0; i < damage->blocks.len; i++) {
		struct birth name = damage->blocks.ptr[i];

		if (bit_get(rep->found, i))
			continue;
		(void)snprintf(text, sizeof(text),
			       "block %" PRIu64 ":%" PRIu32
			       ": damaged; nothing that is readable leads to "
			       "it",
			       birth_segno(name), birth_slot(name));
		damage_lines_say(&rep->lines, text);
	}
	if (rep->lines.cut || damage->nr_dropped)
		rep->lines.line(rep->lines.opaque,
				"there is more damage than is listed");
}

static int report_init(struct report *rep)
{
	const struct damage *damage = rep->damage;
	size_t bytes;

	mutex_lock(&rep->store->core.lock);
	rep->nr_ids = rep->store->nodes.next_id;
	mutex_unlock(&rep->store->core.lock);
	rep->nr_visits = UINT64_C(4) * rep->nr_ids + (1u << 20);
	bytes = rep->nr_ids / 8 + 1;
	rep->bad = calloc(1, bytes);
	rep->marked = calloc(1, bytes);
	rep->seen = calloc(1, bytes);
	rep->found = calloc(1, damage->blocks.len / 8 + 1);
	if (!rep->bad || !rep->marked || !rep->seen || !rep->found)
		return -ENOMEM;
	for (size_t i = 0; i < damage->nodes.len; i++)
		if (damage->nodes.ptr[i] < rep->nr_ids)
			bit_set(rep->bad, damage->nodes.ptr[i]);
	return 0;
}

static void report_done(struct report *rep)
{
	damage_lines_done(&rep->lines);
	free(rep->bad);
	free(rep->marked);
	free(rep->seen);
	free(rep->found);
}

int damage_report(struct store *store, struct damage *damage, line_fn *line,
		  void *opaque, uint64_t *ret_lines, struct error *err)
{
	struct report rep = {
		.store = store,
		.damage = damage,
		.lines = {.store = store, .line = line, .opaque = opaque},
	};
	int r;

	sort_blocks(&damage->blocks);
	r = report_init(&rep);
	if (r == 0)
		r = walk(&rep);
	if (r == 0) {
		damage_lines_end(&rep.lines);
		say_unreached(&rep);
		if (ret_lines)
			*ret_lines = rep.lines.nr;
	}
	report_done(&rep);
	return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}
