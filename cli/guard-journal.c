/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard-journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "clock.h"
#include "duration.h"
#include "lock-file.h"
#include "output.h"

/* A command that is being ended needs some seconds. */
#define TAKE_WAIT_MS 15000

static const char *const state_words[] = {
	[GUARD_BEGIN] = "begin", [GUARD_RUN] = "run",
	[GUARD_CHECK] = "check", [GUARD_ROLLBACK] = "rollback",
	[GUARD_START] = "start",
};

#define NR_STATES (sizeof(state_words) / sizeof(state_words[0]))

/* ---- the directory ---- */

/* STATE; -ENOENT: nobody says where. */
static int state_dir(char *ret, size_t size, struct error *err)
{
	const char *state = getenv("STATE_DIRECTORY");
	const char *home = getenv("HOME");
	int length = 0;

	if (state && *state == '/')
		length = snprintf(ret, size, "%.*s", (int)strcspn(state, ":"),
				  state);
	else if (geteuid() == 0)
		length = snprintf(ret, size, "/var/lib/varve");
	else if ((state = getenv("XDG_STATE_HOME")) && *state == '/')
		length = snprintf(ret, size, "%s/varve", state);
	else if (home && *home == '/')
		length = snprintf(ret, size, "%s/.local/state/varve", home);
	if (length > 0 && (size_t)length < size - 256)
		return 0;
	return error_set(err, ENOENT,
			 "no directory for the journal: set "
			 "STATE_DIRECTORY");
}

/* And what is above it, as far as that is missing. */
static int make_dirs(char *path, mode_t mode)
{
	char *slash;

	for (slash = strchr(path + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return mkdir(path, mode) < 0 && errno != EEXIST ? -1 : 0;
}

static int guard_dir(char *ret, size_t size, struct error *err)
{
	struct stat st;
	int r = state_dir(ret, size, err);

	if (r < 0)
		return r;
	strcat(ret, "/guard");
	if (make_dirs(ret, 0700) < 0 || lstat(ret, &st) < 0)
		return error_set(err, errno, "%s: %s", ret, strerror(errno));
	/* the commands in there are run */
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 022))
		return error_set(err, EACCES,
				 "%s: must be writable by this user only", ret);
	return 0;
}

static int sync_dir_of(const char *path)
{
	char dir[PATH_MAX];
	CLEANUP_CLOSE int fd = -1;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -1 : 0;
}

/* ---- one file ---- */

static int write_file(const char *path, const char *text)
{
	CLEANUP_CLOSE int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t length = strlen(text);
	ssize_t n;

	while (fd >= 0 && length > 0) {
		n = write(fd, text, length);
		if (n < 0)
			return -1;
		text += n;
		length -= (size_t)n;
	}
	return fd < 0 || fsync(fd) < 0 ? -1 : 0;
}

int guard_journal_set(struct guard_journal *journal, enum guard_state state,
		      struct error *err)
{
	char new[PATH_MAX + 8];
	const char *text;
	int r;

	journal->state = state;
	json_object_object_add(journal->what, "state",
			       json_object_new_string(state_words[state]));
	text = must((void *)json_object_to_json_string_ext(
		journal->what, JSON_C_TO_STRING_PLAIN));
	snprintf(new, sizeof(new), "%s.new", journal->path);
	if (write_file(new, text) < 0 || rename(new, journal->path) < 0 ||
	    sync_dir_of(journal->path) < 0) {
		r = error_set(err, errno, "%s: %s", journal->path,
			      strerror(errno));
		(void)unlink(new); /* half of it, or none */
		return r;
	}
	return 0;
}

static void lock_path(const struct guard_journal *journal, char ret[PATH_MAX])
{
	size_t length = strlen(journal->path) - strlen(".json");

	snprintf(ret, PATH_MAX, "%.*s.lock", (int)length, journal->path);
}

int guard_journal_remove(struct guard_journal *journal, struct error *err)
{
	char path[PATH_MAX];

	if (unlink(journal->path) < 0 || sync_dir_of(journal->path) < 0)
		return error_set(err, errno, "%s: %s", journal->path,
				 strerror(errno));
	lock_path(journal, path);
	(void)unlink(path); /* a lock without a journal says nothing */
	return 0;
}

void guard_journal_close(struct guard_journal *journal)
{
	json_object_put(journal->what);
	if (journal->lock >= 0)
		(void)close(journal->lock); /* nothing was written */
	*journal = (struct guard_journal){.lock = -1};
}

/* ---- all of them ---- */

static bool state_parse(const char *word, enum guard_state *ret)
{
	size_t i;

	for (i = 0; i < NR_STATES; i++)
		if (strcmp(word, state_words[i]) == 0) {
			*ret = (enum guard_state)i;
			return true;
		}
	return false;
}

/* One that cannot be read must not be passed over: something is undecided. */
static int load_one(const char *path, struct guard_journal *ret,
		    struct error *err)
{
	*ret = (struct guard_journal){.lock = -1};
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	ret->what = json_object_from_file(path);
	if (!ret->what && access(path, F_OK) < 0 && errno == ENOENT)
		return -ENOENT; /* finished meanwhile */
	if (json_object_is_type(ret->what, json_type_object) &&
	    state_parse(member_string(ret->what, "state"), &ret->state))
		return 0;
	json_object_put(ret->what);
	return error_set(err, EUCLEAN, "%s: not the journal of a guard", path);
}

static int is_journal(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && strcmp(dot, ".json") == 0;
}

static void journals_free(struct guard_journal *journals, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		guard_journal_close(&journals[i]);
	free(journals);
}

int guard_journals_load(struct guard_journal **ret, size_t *ret_nr,
			struct error *err)
{
	struct guard_journal *all;
	struct dirent **entries;
	char dir[PATH_MAX], path[PATH_MAX + 256];
	int nr, i, r = guard_dir(dir, sizeof(dir), err);
	size_t loaded = 0;

	if (r < 0)
		return r;
	nr = scandir(dir, &entries, is_journal, alphasort);
	if (nr < 0)
		return error_set(err, errno, "%s: %s", dir, strerror(errno));
	all = must(calloc((size_t)nr + 1, sizeof(*all)));
	for (i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		if (r == 0)
			r = load_one(path, &all[loaded], err);
		if (r == 0)
			loaded++;
		else if (r == -ENOENT)
			r = 0;
		free(entries[i]);
	}
	free(entries);
	*ret = all;
	*ret_nr = loaded;
	if (r == 0)
		return 0;
	journals_free(all, loaded);
	return r;
}

/* As it is now that nobody else changes it. */
static int load_again(struct guard_journal *journal, const char *lock,
		      struct error *err)
{
	struct guard_journal now;
	int r = load_one(journal->path, &now, err);

	if (r == -ENOENT) {
		(void)unlink(lock); /* a lock without a journal says nothing */
		return error_set(err, ENOENT, "finished meanwhile");
	}
	if (r < 0)
		return r;
	json_object_put(journal->what);
	journal->what = now.what;
	journal->state = now.state;
	return 0;
}

int guard_journal_take(struct guard_journal *journal, struct error *err)
{
	int64_t deadline = now_ms() + TAKE_WAIT_MS;
	char path[PATH_MAX];

	lock_path(journal, path);
	for (;;) {
		journal->lock = lock_file(path, LOCK_EX | LOCK_NB, err);
		if (journal->lock != -EWOULDBLOCK || now_ms() >= deadline)
			break;
		sleep_ms(50);
	}
	if (journal->lock == -EWOULDBLOCK)
		return error_set(err, EBUSY, "@%s: this guard is still running",
				 member_string(journal->what, "snapshot"));
	if (journal->lock < 0)
		return journal->lock;
	return load_again(journal, path, err);
}

bool guard_journal_has_volume(struct json_object *what, const char *volume)
{
	struct json_object *volumes;
	size_t i;

	if (!json_object_object_get_ex(what, "volumes", &volumes))
		return false;
	for (i = 0; i < json_object_array_length(volumes); i++)
		if (strcmp(json_object_get_string(
				   json_object_array_get_idx(volumes, i)),
			   volume) == 0)
			return true;
	return false;
}

static bool share_a_volume(struct json_object *a, struct json_object *b)
{
	struct json_object *volumes;
	size_t i;

	if (strcmp(member_string(a, "uuid"), member_string(b, "uuid")) != 0 ||
	    !json_object_object_get_ex(a, "volumes", &volumes))
		return false;
	for (i = 0; i < json_object_array_length(volumes); i++)
		if (guard_journal_has_volume(
			    b, json_object_get_string(
				       json_object_array_get_idx(volumes, i))))
			return true;
	return false;
}

/* Two guards of a volume could take back one another's work. */
static int check_others(struct json_object *what, struct error *err)
{
	struct guard_journal *all;
	size_t nr, i;
	int r = guard_journals_load(&all, &nr, err);

	if (r < 0)
		return r;
	for (i = 0; i < nr && r == 0; i++)
		if (share_a_volume(what, all[i].what))
			r = error_set(err, EBUSY,
				      "@%s: this guard of the same volume is "
				      "not finished: varve guard --resume",
				      member_string(all[i].what, "snapshot"));
	journals_free(all, nr);
	return r;
}

static int create_locked(const char *dir, struct guard_journal *ret,
			 struct error *err)
{
	char path[PATH_MAX];
	int r = check_others(ret->what, err);

	if (r < 0)
		return r;
	if (snprintf(ret->path, sizeof(ret->path), "%s/%s.%d.json", dir,
		     member_string(ret->what, "snapshot"),
		     (int)getpid()) >= (int)sizeof(ret->path))
		return error_set(err, ENAMETOOLONG, "%s: too long", dir);
	lock_path(ret, path);
	ret->lock = lock_file(path, LOCK_EX | LOCK_NB, err);
	if (ret->lock < 0)
		return ret->lock;
	return guard_journal_set(ret, GUARD_BEGIN, err);
}

int guard_journal_create(struct json_object *what, struct guard_journal *ret,
			 struct error *err)
{
	char dir[PATH_MAX], path[PATH_MAX + 8];
	CLEANUP_CLOSE int lock = -1;
	int r;

	*ret = (struct guard_journal){.lock = -1, .what = what};
	r = guard_dir(dir, sizeof(dir), err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/lock", dir);
	lock = lock_file(path, LOCK_EX, err);
	return lock < 0 ? lock : create_locked(dir, ret, err);
}
