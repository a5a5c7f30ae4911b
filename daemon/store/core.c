/* SPDX-License-Identifier: BSD-2-Clause */
#include "core.h"

#include <errno.h>
#include <string.h>

#include "batch.h"

void core_fail(struct core *core, const struct error *err)
{
	mutex_assert_held(&core->lock);
	if (!core->failed) {
		core->failed = err->code ? err->code : EIO;
		core->failure = *err;
	}
	cond_broadcast(&core->changed);
	for (int i = 0; i < NR_WORKERS; i++)
		cond_signal(&core->work[i]);
}

uint32_t core_batch_payload_max(const struct core *core)
{
	uint32_t most = core->nr_slots - 2;

	return most < BATCH_PAYLOAD_MAX ? most : BATCH_PAYLOAD_MAX;
}

void core_wake(struct core *core, enum worker worker)
{
	cond_signal(&core->work[worker]);
}

void core_fail_nomem(struct core *core)
{
	struct error err = ERROR_NONE;

	(void)error_set(&err, ENOMEM,
			"out of memory in the middle of a change");
	core_fail(core, &err);
}

int core_check(struct core *core, struct error *err)
{
	mutex_assert_held(&core->lock);
	if (!core->failed)
		return 0;
	return error_set(err, EIO,
			 "store stopped after a failure, reopen it: %s",
			 core->failure.message);
}

bool core_record_is_written(const struct core *core, uint64_t segno,
			    uint32_t offset)
{
	return segno != core->unwritten_segno ||
	       offset < core->unwritten_offset;
}

uint64_t core_new_segno(struct core *core)
{
	mutex_assert_held(&core->lock);
	if (core->next_segno >= core->segno_bound)
		return 0;
	return core->next_segno++;
}

void core_tail_owner(const struct core *core, struct tail_owner *ret)
{
	struct backend_stat stat;

	backend_stat(core->be, &stat);
	*ret = (struct tail_owner){.device = stat.device, .inode = stat.inode};
	memcpy(ret->uuid, core->uuid, sizeof(ret->uuid));
}
