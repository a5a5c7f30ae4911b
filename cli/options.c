/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config.h"
#include "error.h"
#include "output.h"

struct option_spec {
	char letter;	  /* 0: none */
	unsigned int bit; /* OPTION_*; 0: common */
	const char *word;
	const char *argument; /* NULL: a flag */
	size_t offset;	      /* in struct options */
	const char *text;
};

#define FIELD(name) offsetof(struct options, name)

static const struct option_spec specs[] = {
	{'n', OPTION_DRY_RUN, "dry-run", NULL, FIELD(dry_run),
	 "say what would happen; change nothing"},
	{'r', OPTION_RECURSIVE, "recursive", NULL, FIELD(recursive),
	 "snapshots too"},
	{0, OPTION_WAIT, "wait", NULL, FIELD(wait),
	 "until all the space has come back"},
	{0, OPTION_SHRINK, "shrink", NULL, FIELD(shrink),
	 "a smaller size is meant; what lies beyond it is lost"},
	{0, OPTION_FORMAT, "format", "FORMAT", FIELD(format),
	 "raw or qcow2 (default: as the name of FILE says)"},
	{0, OPTION_FORCE, "force", NULL, FIELD(force),
	 "replace FILE if it is there"},
	{'n', OPTION_TOP, "count", "COUNT", FIELD(count),
	 "end after so many reports"},
	{0, OPTION_TOP, "interval", "TIME", FIELD(interval),
	 "between two reports, as 10s (default: 2s)"},
	{0, OPTION_YES, "yes", NULL, FIELD(yes),
	 "do not ask for the name again"},
	{'m', OPTION_TEXT, "message", "TEXT", FIELD(text),
	 "a note kept with the snapshot"},
	{0, OPTION_SIZE, "size", "SIZE", FIELD(size),
	 "capacity of the store, as 50G"},
	{'t', OPTION_TYPES, "type", "TYPE", FIELD(types),
	 "volume, snapshot, hidden or all, separated by commas"},
	{'o', OPTION_COLUMNS, "output", "COLUMNS", FIELD(columns),
	 "columns to print, separated by commas"},
	{'H', OPTION_NO_HEADER, "no-header", NULL, FIELD(no_header),
	 "no header, one tab between columns"},
	{'p', OPTION_EXACT, "exact", NULL, FIELD(exact),
	 "exact numbers: bytes and seconds"},
	{0, OPTION_READ_ONLY, "read-only", NULL, FIELD(read_only),
	 "allow no writes"},
	{0, OPTION_ATTACH, "enable", NULL, FIELD(enable),
	 "now, and at boot, by systemd"},
	{0, OPTION_ATTACH, "foreground", NULL, FIELD(foreground),
	 "stay, and detach it when told to end"},
	{0, OPTION_DISABLE, "disable", NULL, FIELD(disable),
	 "and do not attach it at boot any more"},
	{0, OPTION_SERVE, "daemon", NULL, FIELD(daemon),
	 "go into the background once the store is served"},
	{0, OPTION_SERVE, "socket", "PATH", FIELD(socket), "the NBD socket"},
	{0, OPTION_SERVE, "mode", "MODE", FIELD(mode),
	 "permissions of the sockets (default: 0600)"},
	{0, OPTION_SERVE, "group", "GROUP", FIELD(group),
	 "group of the sockets"},
	{0, OPTION_SERVE, "port", "PORT", FIELD(port),
	 "serve on this TCP port too"},
	{0, OPTION_SERVE, "address", "ADDRESS", FIELD(address),
	 "address of --port (default: this host only)"},
	{0, OPTION_SERVE, "tls-certificates", "DIR", FIELD(tls_certificates),
	 "TLS with these certificates; refuse TCP without TLS"},
	{0, OPTION_SERVE, "tls-verify-peer", NULL, FIELD(tls_verify_peer),
	 "clients need a certificate too"},
	{0, OPTION_SERVE, "tls-psk", "FILE", FIELD(tls_psk),
	 "TLS with the keys in FILE; refuse TCP without TLS"},
	{0, OPTION_SERVE, "threads", "N", FIELD(threads),
	 "threads per connection (default: 1, see varved --help)"},
	{0, OPTION_SERVE, "connections", "N", FIELD(connections),
	 "NBD connections at once (default: 1000)"},
	{0, OPTION_SERVE, "memory", "SIZE", FIELD(memory),
	 "memory for the map and buffers (default: 256M)"},
	{0, OPTION_SERVE, "memory-tables", "SIZE", FIELD(memory_tables),
	 "the most that tables may take besides (default: a quarter of the "
	 "memory there is)"},
	{0, OPTION_SERVE, "metrics", "[ADDR:]PORT", FIELD(metrics),
	 "metrics for Prometheus by HTTP"},
	{'f', OPTION_FOLLOW, "follow", NULL, FIELD(follow),
	 "go on, and print what comes"},
	{0, OPTION_FOLLOW, "after", "SEQ", FIELD(after),
	 "only what came after this one"},
	{0, OPTION_REPAIR, "repair", NULL, FIELD(repair),
	 "make sound what is not; the store must not be served"},
	{0, OPTION_REPAIR, "cut-log", NULL, FIELD(cut_log),
	 "give up what lies behind damage in the log"},
	{0, OPTION_SCRUB, "rate", "BYTES", FIELD(rate),
	 "verify so much a second, as 50M (default: half of the time "
	 "while clients are connected)"},
	{0, OPTION_SCRUB, "restart", NULL, FIELD(restart),
	 "from the beginning, even if one is under way"},
	{0, OPTION_FREEZE, "freeze", NULL, FIELD(freeze),
	 "freeze the file systems that are mounted from the volumes"},
	{0, OPTION_FREEZE, "freeze-cmd", "CMD", FIELD(freeze_cmd),
	 "a shell command that makes somebody stop writing"},
	{0, OPTION_FREEZE, "thaw-cmd", "CMD", FIELD(thaw_cmd),
	 "the one that lets him go on; it is always run"},
	{0, OPTION_FREEZE, "freeze-timeout", "TIME", FIELD(freeze_timeout),
	 "thaw after that at the latest (default: 10s)"},
	{0, OPTION_GUARD, "check", "CMD", FIELD(check),
	 "a shell command that fails when the outcome is no good"},
	{0, OPTION_GUARD, "stop", "CMD", FIELD(stop),
	 "run before a rollback, as 'umount /srv'"},
	{0, OPTION_GUARD, "start", "CMD", FIELD(start),
	 "run after a rollback, as 'mount /srv'"},
	{0, OPTION_GUARD, "timeout", "TIME", FIELD(timeout),
	 "end COMMAND and the others after that; it counts as a failure"},
	{0, OPTION_GUARD, "resume", NULL, FIELD(resume),
	 "finish what a guard that was killed had begun"},
	{0, OPTION_PROGRESS, "progress", "HOW", FIELD(progress),
	 "none, bar or json (default: a bar on a terminal)"},
	{'s', OPTION_COMMON, "store", "STORE", FIELD(store),
	 "the store, a file or a block device (else $VARVE_STORE, else that "
	 "of varve.conf)"},
	{0, OPTION_COMMON, "json", NULL, FIELD(json), "print one JSON object"},
	{'q', OPTION_COMMON, "quiet", NULL, FIELD(quiet),
	 "do not say what was done"},
	{'v', OPTION_COMMON, "verbose", NULL, FIELD(verbose),
	 "say more on standard error"},
	{'h', OPTION_COMMON, "help", NULL, FIELD(help), "print this text"},
	{0, OPTION_COMMON, "version", NULL, FIELD(version),
	 "print the version"},
};

#define NR_SPECS (sizeof(specs) / sizeof(specs[0]))

static void print_usage(const struct command *command, FILE *out)
{
	if (!command) {
		fprintf(out, "usage: varve [-s STORE] VERB [OPTIONS] "
			     "OPERANDS (varve --help)\n");
		return;
	}
	fprintf(out, "usage: varve [-s STORE] %s%s%s\n", command->name,
		*command->synopsis ? " " : "", command->synopsis);
}

int usage_error(const struct command *command, const char *format, ...)
{
	va_list args;

	fputs("varve: ", stderr);
	if (command)
		fprintf(stderr, "%s: ", command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	print_usage(command, stderr);
	return EXIT_USAGE;
}

static void print_option(const struct option_spec *spec, FILE *out)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s", spec->letter ? '-' : ' ',
		 spec->letter ? spec->letter : ' ', spec->letter ? ", " : "  ",
		 spec->word, spec->argument ? " " : "",
		 spec->argument ? spec->argument : "");
	fprintf(out, "  %-24s %s\n", left, spec->text);
}

static void print_options(unsigned int accepts, bool common, FILE *out)
{
	size_t i;

	for (i = 0; i < NR_SPECS; i++)
		if (common ? specs[i].bit == OPTION_COMMON
			   : (specs[i].bit & accepts) != 0)
			print_option(&specs[i], out);
}

void options_help(const struct command *command, FILE *out)
{
	print_usage(command, out);
	fprintf(out, "\n%s\n", command->summary);
	if (command->details)
		fprintf(out, "\n%s\n", command->details);
	if (command->accepts) {
		fprintf(out, "\nOptions:\n");
		print_options(command->accepts, false, out);
	}
	fprintf(out, "\nCommon options:\n");
	print_options(0, true, out);
}

static const struct option_spec *find_word(const char *word, size_t length)
{
	size_t i;

	for (i = 0; i < NR_SPECS; i++)
		if (strlen(specs[i].word) == length &&
		    memcmp(specs[i].word, word, length) == 0)
			return &specs[i];
	return NULL;
}

/* A letter may mean something else to the verb that stands before it. */
static const struct option_spec *find_letter(const struct command *command,
					     char letter)
{
	const struct option_spec *found = NULL;
	size_t i;

	for (i = 0; i < NR_SPECS; i++) {
		if (specs[i].letter != letter)
			continue;
		if (command && (specs[i].bit & command->accepts))
			return &specs[i];
		if (!found)
			found = &specs[i];
	}
	return found;
}

/* Where the parser is. */
struct parser {
	struct options *options;
	char **argv;
	int argc;
	int at;		     /* the word looked at */
	bool seen[NR_SPECS]; /* given so far */
	const char *verb;
	bool only_operands; /* after "--" */
};

static int apply(struct parser *p, const struct option_spec *spec,
		 const char *value)
{
	char *base = (char *)p->options;

	p->seen[spec - specs] = true;
	if (spec->argument)
		memcpy(base + spec->offset, &value, sizeof(value));
	else
		*(bool *)(base + spec->offset) = true;
	return 0;
}

/* The argument of an option that has none attached to it. */
static const char *next_word(struct parser *p)
{
	return p->at + 1 < p->argc ? p->argv[++p->at] : NULL;
}

static int parse_word(struct parser *p, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	const struct option_spec *spec = find_word(word, length);
	const char *value = equals ? equals + 1 : NULL;

	if (!spec)
		return usage_error(p->options->command, "unknown option --%.*s",
				   (int)length, word);
	if (!spec->argument && value)
		return usage_error(p->options->command,
				   "--%s takes no argument", spec->word);
	if (spec->argument && !value)
		value = next_word(p);
	if (spec->argument && !value)
		return usage_error(p->options->command, "--%s needs %s",
				   spec->word, spec->argument);
	return apply(p, spec, value);
}

static int parse_letters(struct parser *p, const char *letters)
{
	const struct option_spec *spec;
	const char *value;

	for (; *letters; letters++) {
		spec = find_letter(p->options->command, *letters);
		if (!spec)
			return usage_error(p->options->command,
					   "unknown option -%c", *letters);
		if (!spec->argument) {
			(void)apply(p, spec, NULL);
			continue;
		}
		value = letters[1] ? letters + 1 : next_word(p);
		if (!value)
			return usage_error(p->options->command, "-%c needs %s",
					   *letters, spec->argument);
		return apply(p, spec, value);
	}
	return 0;
}

/* The first operand of all is the verb. */
static int parse_operand(struct parser *p, char *word)
{
	struct options *o = p->options;

	if (p->verb) {
		o->operands[o->nr_operands++] = word;
		return 0;
	}
	p->verb = word;
	o->command = command_find(word);
	if (!o->command)
		return usage_error(NULL, "unknown verb '%s'", word);
	return 0;
}

static int parse_one(struct parser *p)
{
	char *word = p->argv[p->at];

	if (p->only_operands || word[0] != '-' || !word[1])
		return parse_operand(p, word);
	if (strcmp(word, "--") == 0) {
		p->only_operands = true;
		p->options->nr_after_dashes = -p->options->nr_operands;
		return 0;
	}
	if (word[1] == '-')
		return parse_word(p, word + 2);
	return parse_letters(p, word + 1);
}

/*
 * Operand @n (from 0) as the verb's synopsis calls it: the n-th word that is
 * not in brackets.
 */
static int operand_missing(const struct command *c, int n)
{
	const char *at = c->synopsis;
	size_t length;

	for (;;) {
		at += strspn(at, " ");
		length = strcspn(at, *at == '[' ? "]" : " ");
		if (*at == '[')
			length++;
		else if (n-- == 0)
			break;
		at += length;
	}
	if (length > 3 && strncmp(at + length - 3, "...", 3) == 0)
		length -= 3;
	return usage_error(c, "%.*s is missing", (int)length, at);
}

/* Did the verb get only what it takes? */
static int check_accepted(const struct parser *p)
{
	const struct options *o = p->options;
	const struct command *c = o->command;
	size_t i;

	for (i = 0; i < NR_SPECS; i++)
		if (p->seen[i] && specs[i].bit && !(specs[i].bit & c->accepts))
			return usage_error(c, "does not take --%s",
					   specs[i].word);
	if (o->nr_operands < c->min_operands)
		return operand_missing(c, o->nr_operands);
	if (c->max_operands >= 0 && o->nr_operands > c->max_operands)
		return usage_error(c, "too many operands: '%s'",
				   o->operands[c->max_operands]);
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	struct parser p = {.options = ret, .argv = argv, .argc = argc};
	int r;

	*ret = (struct options){.operands = argv};
	for (p.at = 1; p.at < argc; p.at++) {
		r = parse_one(&p);
		if (r)
			return r;
	}
	argv[ret->nr_operands] = NULL;
	if (p.only_operands)
		ret->nr_after_dashes += ret->nr_operands;
	if (ret->help || ret->version)
		return 0;
	if (!ret->command)
		return usage_error(NULL, "which verb?");
	return check_accepted(&p);
}

static const char *given_store(const struct options *options)
{
	const char *store =
		options->store ? options->store : getenv("VARVE_STORE");

	return store && *store ? store : NULL;
}

/* Read once: a verb may ask again, and what was read stays. */
static int read_config(struct config **ret)
{
	static struct config *config;
	struct error err = ERROR_NONE;
	int r = 0;

	if (!config)
		r = config_read(config_path(), &config, &err);
	if (r < 0 && (r != -ENOENT || getenv("VARVE_CONFIG"))) {
		print_error("%s", err.message);
		return r;
	}
	*ret = config;
	return 0;
}

const char *options_store(const struct options *options)
{
	const char *store = given_store(options);
	struct config *config;

	if (store)
		return store;
	if (read_config(&config) < 0)
		return NULL;
	store = config ? config_get(config, "store") : NULL;
	if (!store)
		(void)usage_error(options->command,
				  "no store given: use -s STORE, set "
				  "VARVE_STORE, or name it in %s",
				  config_path());
	return store;
}

bool options_store_is_configured(const struct options *options)
{
	return !given_store(options);
}
