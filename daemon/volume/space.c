/* SPDX-License-Identifier: BSD-2-Clause */
#include "space.h"

#include <inttypes.h>

#define HYSTERESIS 2u

unsigned int space_used_percent(const struct store *store)
{
	uint64_t writable = store->frames.nr - store->frames.reserve;
	uint64_t percent = store->frames.nr_used * 100 / writable;

	return percent < 100 ? (unsigned int)percent : 100;
}

/* The highest threshold that @percent reaches. */
static unsigned int threshold(unsigned int percent)
{
	static const unsigned int all[] = {95, 90, 80};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (percent >= all[i])
			return all[i];
	return 0;
}

unsigned int space_level(unsigned int told, unsigned int percent)
{
	unsigned int above = threshold(percent);
	unsigned int below = threshold(percent + HYSTERESIS);

	if (above > told)
		return above;
	return below < told ? below : told;
}

static bool tell_used(struct store *store) NO_THREAD_SAFETY_ANALYSIS
{
	unsigned int percent = space_used_percent(store);
	unsigned int told = store->space_told;
	uint64_t bytes = frames_free(&store->frames)
			 << store->core.segment_shift;
	bool worse;

	mutex_assert_held(&store->core.lock);
	store->space_told = space_level(told, percent);
	if (store->space_told == told)
		return false;
	worse = store->space_told > told;
	mutex_unlock(&store->core.lock);
	store_message(store, worse ? MESSAGE_WARNING : MESSAGE_INFO,
		      EVENT_SPACE, "%s: used=%u%% free=%" PRIu64,
		      worse ? "store fills up, delete snapshots or volumes"
			    : "store has more room again",
		      percent, bytes);
	mutex_lock(&store->core.lock);
	return true;
}

static bool tell_host(struct store *store) NO_THREAD_SAFETY_ANALYSIS
{
	bool full = store->frames.host_full;

	mutex_assert_held(&store->core.lock);
	if (full == store->host_full_told)
		return false;
	store->host_full_told = full;
	mutex_unlock(&store->core.lock);
	if (full)
		store_message(store, MESSAGE_WARNING, EVENT_HOST_FULL,
			      "host file system is full: the store cannot "
			      "grow, ignoring");
	else
		store_message(store, MESSAGE_INFO, EVENT_HOST_FULL,
			      "host file system has room again");
	mutex_lock(&store->core.lock);
	return true;
}

bool space_tell(struct store *store)
{
	bool told = tell_used(store);

	return tell_host(store) || told;
}
