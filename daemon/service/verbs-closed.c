/* SPDX-License-Identifier: BSD-2-Clause */
/* Check and repair of a store that nobody has open. */
#include <errno.h>

#include "engine.h"
#include "json.h"
#include "verbs-internal.h"
#include "verbs.h"

int verb_check_closed(struct backend *be, const char *const *tail_dirs,
		      struct json_object **ret, struct error *err)
{
	struct check_report report = {0};
	struct json_object *data;
	struct lines lines;
	int r;

	data = lines_start(&lines);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = store_check_backend(be, tail_dirs, lines_add, &lines, &report, err);
	return verb_give_report(data, &lines, &report, r, ret);
}

int verb_repair_closed(struct backend *be, const struct repair_options *options,
		       struct json_object **ret, struct error *err)
{
	struct check_report report = {0};
	struct json_object *data;
	struct lines lines;
	int r, failure;

	data = lines_start(&lines);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	failure = store_repair(be, options, lines_add, &lines, &report, err);
	r = failure;
	if (report.nr_errors > 0) /* it got as far as to tell */
		r = -EUCLEAN;
	r = verb_give_report(data, &lines, &report, r, ret);
	if (r < 0)
		return r;
	json_put_bool(*ret, "repaired",
		      failure == 0 && report.nr_errors > 0 &&
			      !options->dry_run);
	if (failure < 0)
		json_put_string(*ret, "failure", err->message);
	return 0;
}
