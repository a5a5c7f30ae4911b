/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "config.h"
#include "connect.h"
#include "output.h"
#include "program.h"

/* As much as systemctl says. */
#define ANSWER_BYTES_MAX 8192u

/* ---- systemctl ---- */

/* As systemd-escape(1) does it. */
void boot_unit(const char *volume, char ret[BOOT_UNIT_MAX])
{
	char *to = ret + sprintf(ret, "varve-attach@");

	for (const char *at = volume; *at; at++)
		if (*at == '/')
			*to++ = '-';
		else if (isalnum((unsigned char)*at) || strchr("_.", *at))
			*to++ = *at;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*at);
	strcpy(to, ".service");
}

/*
 * Run @args.  @answer: what it says, NULL: no matter.  @what: is named when
 * that fails; NULL: nothing is said.
 */
static int ask_systemctl(const char *const *args, struct program_text *answer,
			 const char *what)
{
	struct program program = {
		.args = args,
		.heard_fd = 1,
		.hear = answer ? program_keep_text : NULL,
		.opaque = answer,
	};
	int r;

	r = program_run(&program);
	if (r == 0)
		return 0;
	if (what && r == PROGRAM_MISSING)
		print_error("%s: there is no systemd here, which attaches at "
			    "boot",
			    what);
	else if (what && *program.complaint)
		print_error("%s: systemctl %s: %s", what, args[2],
			    program.complaint);
	else if (what)
		print_error("%s: systemctl %s %s fails with %d", what, args[2],
			    args[3], r);
	return EXIT_FAILED;
}

/* systemctl @verb of the unit of @volume; @complain: say what it says. */
static int systemctl(const char *verb, const char *volume, bool complain)
{
	char unit[BOOT_UNIT_MAX];
	const char *args[] = {"systemctl", "--quiet", verb, unit, NULL};

	boot_unit(volume, unit);
	return ask_systemctl(args, NULL, complain ? volume : NULL);
}

/* ---- which store ---- */

/* In @environment, as systemd prints it, or NULL; else the system's. */
static const char *find_config(char *environment)
{
	const char *name = "VARVE_CONFIG=";
	char *save, *at = environment;

	if (at)
		at = strtok_r(environment, " \n", &save);
	while (at && strncmp(at, name, strlen(name)) != 0)
		at = strtok_r(NULL, " \n", &save);
	at = at ? at + strlen(name) : "";
	return *at ? at : config_system_path();
}

static int check_store(const char *store, const char *path)
{
	struct store_identity identity;
	struct error err = ERROR_NONE;
	struct config *config = NULL;
	const char *configured;
	bool same = false;
	struct stat st;
	int r;

	r = store_identify(store, &identity);
	if (r)
		return r;
	r = config_read(path, &config, &err);
	if (r < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	configured = config_get(config, "store");
	same = configured && stat(configured, &st) == 0 &&
	       st.st_dev == identity.device && st.st_ino == identity.inode;
	config_free(config);
	if (same)
		return 0;
	print_error("%s: only volumes of the store that %s names are attached "
		    "at boot",
		    store, path);
	return EXIT_USAGE;
}

/* $VARVE_CONFIG is ours; the unit has one of its own, or none. */
int boot_check_store(const char *store, const char *volume)
{
	char unit[BOOT_UNIT_MAX];
	const char *args[] = {
		"systemctl", "--quiet", "show", unit, "--property=Environment",
		"--value",   NULL};
	struct program_text environment = {.max = ANSWER_BYTES_MAX};
	int r;

	boot_unit(volume, unit);
	r = ask_systemctl(args, &environment, store);
	if (r == 0)
		r = check_store(store, find_config(environment.ptr));
	free(environment.ptr);
	return r;
}

/* ---- starting and enabling ---- */

int boot_enable(const char *volume)
{
	bool runs = systemctl("is-active", volume, false) == 0;
	int r = systemctl("start", volume, true);

	if (r)
		return r;
	r = systemctl("enable", volume, true);
	if (r && !runs)
		(void)systemctl("stop", volume, false); /* told already */
	return r;
}

int boot_disable(const char *volume)
{
	return systemctl("disable", volume, true);
}

bool boot_is_enabled(const char *volume)
{
	return systemctl("is-enabled", volume, false) == 0;
}
