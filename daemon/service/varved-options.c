/* SPDX-License-Identifier: BSD-2-Clause */
#include "varved-options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "error.h"
#include "metrics.h"
#include "size.h"
#include "varved-exit.h"
#include "verbs.h"

static const char help[] =
	"\n"
	"Serve the volumes and snapshots of a varve store by NBD.\n"
	"\n"
	"  -c, --config FILE    settings from FILE, see varve.conf(5) (without "
	"STORE, from\n"
	"                       $VARVE_CONFIG, else " VARVE_CONFIG ")\n"
	"      --socket PATH    NBD socket (default: RUNTIME/<store's "
	"name>.sock)\n"
	"      --port PORT      speak NBD on this TCP port too\n"
	"      --address ADDR   address of --port (default: this host only)\n"
	"      --tls-certificates DIR\n"
	"                       TLS with the certificates in DIR; TCP without "
	"TLS is refused\n"
	"      --tls-verify-peer\n"
	"                       clients need a certificate too\n"
	"      --tls-psk FILE   TLS with the keys in FILE (psktool); TCP "
	"without TLS is refused\n"
	"      --control PATH   control socket (default: where varve looks for "
	"it)\n"
	"      --mode OCTAL     mode of both Unix sockets (default: 0600)\n"
	"      --group GROUP    group of both Unix sockets\n"
	"      --threads N      threads for each connection (default: 1; with "
	"more,\n"
	"                       nbdkit 1.32 aborts when a client vanishes)\n"
	"      --connections N  NBD connections at once (default: 1000)\n"
	"      --memory SIZE    memory for map and buffers (default: 256M)\n"
	"      --memory-tables SIZE\n"
	"                       the most that tables may take besides "
	"(default: "
	"a quarter\n"
	"                       of the memory there is)\n"
	"      --metrics [ADDR:]PORT\n"
	"                       metrics for Prometheus by HTTP (without ADDR: "
	"to this host only)\n"
	"      --read-only      serve everything read-only, change nothing\n"
	"  -v, --verbose        nbdkit's debug messages on standard error\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"What follows -- goes to nbdkit as it is, for example --filter=log.\n";

/* @name: an option, or a key of the configuration and where it stands. */
static _Noreturn void fail_option(const char *name, const char *value,
				  const char *why)
{
	char text[400];

	(void)snprintf(text, sizeof(text), "%.250s %.60s: %s", name, value,
		       why);
	varved_fail(EXIT_USAGE, text);
}

static unsigned long parse_number(const char *name, const char *text,
				  unsigned long min, unsigned long max)
{
	unsigned long value;
	char why[80], *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || text[0] < '0' || text[0] > '9' || *end || value < min ||
	    value > max) {
		(void)snprintf(why, sizeof(why),
			       "must be a number from %lu to %lu", min, max);
		fail_option(name, text, why);
	}
	return value;
}

static mode_t parse_mode(const char *name, const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 8);
	if (errno || text[0] < '0' || text[0] > '7' || *end || value > 0777)
		fail_option(name, text, "must be octal, as 0660");
	return (mode_t)value;
}

static gid_t parse_group(const char *name, const char *text)
{
	struct group *group = getgrnam(text);

	if (group)
		return group->gr_gid;
	if (text[0] < '0' || text[0] > '9')
		fail_option(name, text, "no such group");
	return (gid_t)parse_number(name, text, 0, UINT_MAX - 1);
}

/* The sockets' names are told to others, whose directory is another. */
static char *absolute(const char *path)
{
	char directory[PATH_MAX];
	char *ret;

	if (path[0] == '/')
		ret = strdup(path);
	else if (!getcwd(directory, sizeof(directory)) ||
		 asprintf(&ret, "%s/%s", directory, path) < 0)
		ret = NULL;
	if (!ret)
		varved_fail(EXIT_FAILED, "cannot tell the working directory");
	return ret;
}

static void check_size(const char *name, const char *text)
{
	struct error err = ERROR_NONE;
	char line[500];
	uint64_t bytes;

	if (size_parse(text, &bytes, &err) == 0)
		return;
	(void)snprintf(line, sizeof(line), "%.250s: %.200s", name, err.message);
	varved_fail(EXIT_USAGE, line);
}

static void check_address(const char *name, const char *text)
{
	struct error err = ERROR_NONE;

	if (metrics_check_address(text, &err) < 0)
		fail_option(name, text, err.message);
}

static void check_readable(const char *name, const char *path)
{
	if (access(path, R_OK) < 0)
		fail_option(name, path, strerror(errno));
}

/* Where a file is missing nbdkit would go on, and speak no TLS. */
static void check_certificates(const char *name, const char *directory)
{
	static const char *const names[] = {"ca-cert.pem", "server-cert.pem",
					    "server-key.pem"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory,
			       names[i]);
		check_readable(name, path);
	}
}

enum {
	OPTION_SOCKET = 256,
	OPTION_PORT,
	OPTION_ADDRESS,
	OPTION_TLS_CERTIFICATES,
	OPTION_TLS_VERIFY_PEER,
	OPTION_TLS_PSK,
	OPTION_CONTROL,
	OPTION_MODE,
	OPTION_GROUP,
	OPTION_THREADS,
	OPTION_CONNECTIONS,
	OPTION_MEMORY,
	OPTION_MEMORY_TABLES,
	OPTION_METRICS,
	OPTION_READ_ONLY,
	OPTION_VERBOSE,
	OPTION_CONFIG,
	OPTION_END,
};

#define SHORT_OPTIONS "+c:vhV"

/* Those that are settings have the names of the configuration's keys. */
static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"port", required_argument, NULL, OPTION_PORT},
	{"address", required_argument, NULL, OPTION_ADDRESS},
	{"tls-certificates", required_argument, NULL, OPTION_TLS_CERTIFICATES},
	{"tls-verify-peer", no_argument, NULL, OPTION_TLS_VERIFY_PEER},
	{"tls-psk", required_argument, NULL, OPTION_TLS_PSK},
	{"control", required_argument, NULL, OPTION_CONTROL},
	{"mode", required_argument, NULL, OPTION_MODE},
	{"group", required_argument, NULL, OPTION_GROUP},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"connections", required_argument, NULL, OPTION_CONNECTIONS},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"memory-tables", required_argument, NULL, OPTION_MEMORY_TABLES},
	{"metrics", required_argument, NULL, OPTION_METRICS},
	{"read-only", no_argument, NULL, OPTION_READ_ONLY},
	{"verbose", no_argument, NULL, OPTION_VERBOSE},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

/* A setting, of the command line or of the configuration. */
static void apply_setting(struct varved_options *options, int option,
			  const char *name, const char *value)
{
	switch (option) {
	case OPTION_SOCKET:
		options->socket = absolute(value);
		break;
	case OPTION_PORT:
		/* A number: services' names differ from host to host. */
		(void)parse_number(name, value, 1, 65535);
		options->port = value;
		break;
	case OPTION_ADDRESS:
		options->address = value;
		break;
	case OPTION_TLS_CERTIFICATES:
		options->tls_certificates = absolute(value);
		check_certificates(name, options->tls_certificates);
		break;
	case OPTION_TLS_VERIFY_PEER:
		options->tls_verify_peer = true;
		break;
	case OPTION_TLS_PSK:
		options->tls_psk = absolute(value);
		check_readable(name, options->tls_psk);
		break;
	case OPTION_CONTROL:
		options->control = absolute(value);
		break;
	case OPTION_MODE:
		options->mode = parse_mode(name, value);
		break;
	case OPTION_GROUP:
		options->group = parse_group(name, value);
		break;
	case OPTION_THREADS:
		(void)parse_number(name, value, 1, 1024);
		options->threads = value;
		break;
	case OPTION_CONNECTIONS:
		(void)parse_number(name, value, 1, 1000000);
		options->connections = value;
		break;
	case OPTION_MEMORY:
		check_size(name, value);
		options->memory = value;
		break;
	case OPTION_MEMORY_TABLES:
		check_size(name, value);
		options->memory_tables = value;
		break;
	case OPTION_METRICS:
		check_address(name, value);
		options->metrics = value;
		break;
	case OPTION_READ_ONLY:
		options->read_only = true;
		break;
	case OPTION_VERBOSE:
		options->verbose = true;
		break;
	default:
		break;
	}
}

/* ---- the configuration ---- */

struct parser {
	struct varved_options *options;
	const char *config_path; /* NULL: not given */
	bool seen[OPTION_END - OPTION_SOCKET];
};

/* The command line goes before. */
static void apply_config(struct parser *p, const char *path,
			 const struct config *config)
{
	for (const struct option *o = long_options; o->name; o++) {
		const char *value = config_get(config, o->name);
		char name[250];

		if (!value || p->seen[o->val - OPTION_SOCKET])
			continue;
		if (o->has_arg == no_argument && strcmp(value, "no") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.200s:%u: %s", path,
			       config_line(config, o->name), o->name);
		apply_setting(p->options, o->val, name, value);
	}
	if (!p->options->store)
		p->options->store = config_get(config, "store");
}

/*
 * A store that is named has nothing to do with the configuration, unless
 * that is named too.  What was read stays: the options point into it.
 */
static void read_config(struct parser *p)
{
	const char *path = p->config_path;
	struct error err = ERROR_NONE;
	struct config *config;
	int r;

	if (!path && p->options->store)
		return;
	if (!path)
		path = config_path();
	r = config_read(path, &config, &err);
	if (r == -ENOENT && !p->config_path && !getenv("VARVE_CONFIG"))
		return;
	if (r < 0)
		varved_fail(r == -EACCES ? EXIT_PERMISSION : EXIT_USAGE,
			    err.message);
	apply_config(p, path, config);
}

/* ---- the command line ---- */

static void parse_option(struct parser *p, int option)
{
	char name[40] = "";

	switch (option) {
	case 'v':
		option = OPTION_VERBOSE;
		break;
	case 'c':
		option = OPTION_CONFIG;
		break;
	case 'h':
		printf("%s%s", varved_usage, help);
		exit(EXIT_DONE);
	case 'V':
		puts("varved " VARVE_VERSION);
		exit(EXIT_DONE);
	case '?':
		/* getopt has said what is wrong */
		fputs(varved_usage, stderr);
		varved_quit(EXIT_USAGE);
	default:
		break;
	}
	if (option == OPTION_CONFIG)
		p->config_path = optarg;
	p->seen[option - OPTION_SOCKET] = true;
	for (const struct option *o = long_options; o->name; o++)
		if (o->val == option)
			(void)snprintf(name, sizeof(name), "--%s", o->name);
	apply_setting(p->options, option, name, optarg);
}

/* What several settings must be together. */
static void check_settings(const struct varved_options *options)
{
	if (options->address && !options->port)
		varved_fail(EXIT_USAGE, "--address needs --port");
	if (options->tls_certificates && options->tls_psk)
		varved_fail(EXIT_USAGE,
			    "--tls-psk: not together with --tls-certificates");
	if (options->tls_verify_peer && !options->tls_certificates)
		varved_fail(EXIT_USAGE,
			    "--tls-verify-peer needs --tls-certificates");
}

void varved_options_parse(int argc, char **argv, struct varved_options *ret)
{
	struct parser p = {.options = ret};
	int option;

	*ret = (struct varved_options){
		.mode = 0600, .group = (gid_t)-1, .threads = "1"};
	/* "+": what stands behind the store belongs to nbdkit. */
	while ((option = getopt_long(argc, argv, SHORT_OPTIONS, long_options,
				     NULL)) != -1)
		parse_option(&p, option);
	/* getopt swallows the "--" of a command line without a store */
	if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
		ret->store = argv[optind++];
	if (ret->store && optind < argc) {
		if (strcmp(argv[optind], "--") != 0)
			fail_option("unexpected", argv[optind],
				    "nbdkit's options stand behind --");
		optind++;
	}
	ret->nbdkit_args = &argv[optind];
	read_config(&p);
	if (!ret->store)
		varved_fail(EXIT_USAGE,
			    "no store given, nor named in a configuration");
	check_settings(ret);
}
