/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "config.h"
#include "connect.h"
#include "output.h"
#include "program.h"

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

int boot_check_store(const char *store)
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
	r = config_read(config_path(), &config, &err);
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
		    store, config_path());
	return EXIT_USAGE;
}

static void hear_nothing(void *opaque, const char *data, size_t length)
{
	(void)opaque;
	(void)data;
	(void)length;
}

/* systemctl @verb of the unit of @volume; @complain: say what it says. */
static int systemctl(const char *verb, const char *volume, bool complain)
{
	char unit[BOOT_UNIT_MAX];
	const char *args[] = {"systemctl", "--quiet", verb, unit, NULL};
	struct program program = {
		.args = args,
		.heard_fd = 1,
		.hear = hear_nothing,
	};
	int r;

	boot_unit(volume, unit);
	r = program_run(&program);
	if (r == 0)
		return 0;
	if (complain && r == PROGRAM_MISSING)
		print_error("%s: there is no systemd here, which attaches at "
			    "boot",
			    volume);
	else if (complain && *program.complaint)
		print_error("%s: systemctl %s: %s", volume, verb,
			    program.complaint);
	else if (complain)
		print_error("%s: systemctl %s %s fails with %d", volume, verb,
			    unit, r);
	return EXIT_FAILED;
}

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
