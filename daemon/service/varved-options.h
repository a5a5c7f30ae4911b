/* SPDX-License-Identifier: BSD-2-Clause */
/* What varved is told, by its command line and the configuration file. */
#ifndef SERVICE_VARVED_OPTIONS_H
#define SERVICE_VARVED_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

struct varved_options {
	const char *store; /* as it was typed, or configured */
	char *socket;	   /* absolute; NULL: the runtime directory's */
	char *control;
	const char *address;
	const char *port;
	const char *threads;
	const char *connections;
	const char *memory;
	const char *memory_tables;
	const char *metrics;	/* [ADDRESS:]PORT; NULL: none */
	char *tls_certificates; /* absolute; NULL: none */
	char *tls_psk;
	bool tls_verify_peer;
	mode_t mode;
	gid_t group;
	bool read_only;
	bool verbose;
	char **nbdkit_args; /* NULL-terminated */
};

/* Ends the process when they are wrong, or asked for help. */
void varved_options_parse(int argc, char **argv, struct varved_options *ret);

#endif
