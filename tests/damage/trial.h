/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A damaged store is opened, looked at, written to, and mended; what it does
 * is compared with what it must do.
 */
#ifndef DAMAGE_TRIAL_H
#define DAMAGE_TRIAL_H

#include "said.h"
#include "verdict.h"

/* One damage, and what was found of it. */
struct trial {
	const struct strike *strike;
	struct verdict verdict;
	struct state state; /* what the store must hold */
	bool heard_damage;
	bool refused[2]; /* for writing, read-only */
	bool torn;	 /* the end of the log was cut off */
	bool unread;	 /* some blocks cannot be read */
	bool told;	 /* check found something */
	bool mended;	 /* repair made it sound */
	struct error err;
};

void trial_begin(struct trial *ret, const struct strike *strike);

/*
 * Open a copy, look at all of it; for writing: go on and look again.  False,
 * and a sentence in trial->err: it did what it must not do.
 */
bool trial_open(struct trial *trial, bool read_only);

/* Repair a copy, which must be sound then, and look at all of it. */
bool trial_mend(struct trial *trial);

/* Note what went wrong; returns false. */
bool trial_fails(struct trial *trial, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
