/* SPDX-License-Identifier: BSD-2-Clause */
#include "varved-options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "varved-exit.h"
#include "verbs.h"

static const char help[] =
	"\n"
	"Serve the volumes and snapshots of a varve store by NBD.\n"
	"\n"
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
	"      --read-only      serve everything read-only, change nothing\n"
	"  -v, --verbose        nbdkit's debug messages on standard error\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"What follows -- goes to nbdkit as it is, for example --filter=log.\n";

static _Noreturn void fail_option(const char *option, const char *value,
				  const char *why)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "%s %.100s: %s", option, value, why);
	varved_fail(EXIT_USAGE, text);
}

static unsigned long parse_number(const char *option, const char *text,
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
		fail_option(option, text, why);
	}
	return value;
}

static mode_t parse_mode(const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 8);
	if (errno || text[0] < '0' || text[0] > '7' || *end || value > 0777)
		fail_option("--mode", text, "must be octal, as 0660");
	return (mode_t)value;
}

static gid_t parse_group(const char *text)
{
	struct group *group = getgrnam(text);

	if (group)
		return group->gr_gid;
	if (text[0] < '0' || text[0] > '9')
		fail_option("--group", text, "no such group");
	return (gid_t)parse_number("--group", text, 0, UINT_MAX - 1);
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
	OPTION_READ_ONLY,
};

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
	{"read-only", no_argument, NULL, OPTION_READ_ONLY},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void parse_option(int option, struct varved_options *options)
{
	switch (option) {
	case OPTION_SOCKET:
		options->socket = absolute(optarg);
		break;
	case OPTION_PORT:
		/* A number: services' names differ from host to host. */
		(void)parse_number("--port", optarg, 1, 65535);
		options->port = optarg;
		break;
	case OPTION_ADDRESS:
		options->address = optarg;
		break;
	case OPTION_TLS_CERTIFICATES:
		options->tls_certificates = absolute(optarg);
		break;
	case OPTION_TLS_VERIFY_PEER:
		options->tls_verify_peer = true;
		break;
	case OPTION_TLS_PSK:
		options->tls_psk = absolute(optarg);
		break;
	case OPTION_CONTROL:
		options->control = absolute(optarg);
		break;
	case OPTION_MODE:
		options->mode = parse_mode(optarg);
		break;
	case OPTION_GROUP:
		options->group = parse_group(optarg);
		break;
	case OPTION_THREADS:
		(void)parse_number("--threads", optarg, 1, 1024);
		options->threads = optarg;
		break;
	case OPTION_CONNECTIONS:
		(void)parse_number("--connections", optarg, 1, 1000000);
		options->connections = optarg;
		break;
	case OPTION_MEMORY:
		options->memory = optarg;
		break;
	case OPTION_MEMORY_TABLES:
		options->memory_tables = optarg;
		break;
	case OPTION_READ_ONLY:
		options->read_only = true;
		break;
	case 'v':
		options->verbose = true;
		break;
	case 'h':
		printf("%s%s", varved_usage, help);
		exit(EXIT_DONE);
	case 'V':
		puts("varved " VARVE_VERSION);
		exit(EXIT_DONE);
	default:
		/* getopt has said what is wrong */
		fputs(varved_usage, stderr);
		varved_quit(EXIT_USAGE);
	}
}

static void check_readable(const char *option, const char *path)
{
	if (access(path, R_OK) == 0)
		return;
	fail_option(option, path, strerror(errno));
}

/* Where a file is missing nbdkit would go on, and speak no TLS. */
static void check_certificates(const char *directory)
{
	static const char *const names[] = {"ca-cert.pem", "server-cert.pem",
					    "server-key.pem"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory,
			       names[i]);
		check_readable("--tls-certificates", path);
	}
}

static void check_tls(const struct varved_options *options)
{
	if (options->tls_certificates && options->tls_psk)
		varved_fail(EXIT_USAGE,
			    "--tls-psk: not together with --tls-certificates");
	if (options->tls_verify_peer && !options->tls_certificates)
		varved_fail(EXIT_USAGE,
			    "--tls-verify-peer needs --tls-certificates");
	if (options->tls_certificates)
		check_certificates(options->tls_certificates);
	if (options->tls_psk)
		check_readable("--tls-psk", options->tls_psk);
}

void varved_options_parse(int argc, char **argv, struct varved_options *ret)
{
	int option;

	*ret = (struct varved_options){
		.mode = 0600, .group = (gid_t)-1, .threads = "1"};
	/* "+": what stands behind the store belongs to nbdkit. */
	while ((option = getopt_long(argc, argv, "+vhV", long_options, NULL)) !=
	       -1)
		parse_option(option, ret);
	if (optind >= argc)
		varved_fail(EXIT_USAGE, "no store given");
	ret->store = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") != 0)
		fail_option("unexpected", argv[optind],
			    "nbdkit's options stand behind --");
	ret->nbdkit_args = &argv[optind < argc ? optind + 1 : argc];
	if (ret->address && !ret->port)
		varved_fail(EXIT_USAGE, "--address needs --port");
	check_tls(ret);
}
