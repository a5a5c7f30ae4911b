/* SPDX-License-Identifier: BSD-2-Clause */
#include "attachment.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "clock.h"
#include "lock-file.h"
#include "output.h"
#include "verbs.h"

#define ATTACHMENTS_MAX 4096
#define END_WAIT_MS 5000

/* ---- what is written down ---- */

static void copy_member(struct json_object *state, const char *key, char *ret,
			size_t size)
{
	snprintf(ret, size, "%s", member_string(state, key));
}

static bool read_state(struct attachment *a)
{
	char path[sizeof(a->dir) + 16];
	struct json_object *state, *number;

	snprintf(path, sizeof(path), "%s/state.json", a->dir);
	state = json_object_from_file(path);
	if (!json_object_is_type(state, json_type_object)) {
		json_object_put(state);
		return false;
	}
	copy_member(state, "store", a->store, sizeof(a->store));
	a->identity.device = member_number(state, "device");
	a->identity.inode = member_number(state, "inode");
	copy_member(state, "name", a->name, sizeof(a->name));
	copy_member(state, "export", a->export, sizeof(a->export));
	copy_member(state, "scratch", a->scratch, sizeof(a->scratch));
	a->read_only = member_bool(state, "read_only");
	copy_member(state, "uuid", a->uuid, sizeof(a->uuid));
	a->is_nbd = json_object_object_get_ex(state, "nbd", &number);
	a->number = a->is_nbd ? json_object_get_int(number) : -1;
	a->size = member_number(state, "size");
	a->mount_device = member_number(state, "mount_device");
	a->mount_inode = member_number(state, "mount_inode");
	json_object_put(state);
	return true;
}

static void add_text(struct json_object *state, const char *key,
		     const char *text)
{
	json_object_object_add(state, key, json_object_new_string(text));
}

int attachment_save(const struct attachment *a, struct error *err)
{
	struct json_object *state = must(json_object_new_object());
	char path[sizeof(a->dir) + 16], new[sizeof(a->dir) + 16];
	int r = 0;

	add_text(state, "store", a->store);
	json_object_object_add(state, "device",
			       json_object_new_uint64(a->identity.device));
	json_object_object_add(state, "inode",
			       json_object_new_uint64(a->identity.inode));
	add_text(state, "name", a->name);
	add_text(state, "export", a->export);
	add_text(state, "scratch", a->scratch);
	add_text(state, "uuid", a->uuid);
	if (a->is_nbd)
		json_object_object_add(state, "nbd",
				       json_object_new_int(a->number));
	json_object_object_add(state, "read_only",
			       json_object_new_boolean(a->read_only));
	json_object_object_add(state, "size", json_object_new_uint64(a->size));
	json_object_object_add(state, "mount_device",
			       json_object_new_uint64(a->mount_device));
	json_object_object_add(state, "mount_inode",
			       json_object_new_uint64(a->mount_inode));
	snprintf(path, sizeof(path), "%s/state.json", a->dir);
	snprintf(new, sizeof(new), "%s/state.new", a->dir);
	if (json_object_to_file_ext(new, state, JSON_C_TO_STRING_PLAIN) < 0 ||
	    rename(new, path) < 0)
		r = error_set(err, errno ? errno : EIO, "%s: %s", path,
			      strerror(errno));
	json_object_put(state);
	return r;
}

/* ---- what the system says ---- */

bool attachment_is_mounted(const struct attachment *a)
{
	char line[2 * PATH_MAX], point[PATH_MAX];
	bool found = false;
	FILE *file;

	/* not stat(2): it fails, or waits, once nbdfuse is ill */
	file = fopen("/proc/self/mountinfo", "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*u %*u %*s %*s %4095s", point) == 1 &&
			strcmp(point, a->mount) == 0;
	if (file)
		(void)fclose(file); /* only read */
	return found;
}

/* A pid is reused one day: is it an nbdfuse of ours? */
static bool is_our_nbdfuse(pid_t pid, const char *mount)
{
	char path[64], words[4096];
	size_t length, at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(words, 1, sizeof(words) - 1, file);
	(void)fclose(file); /* only read */
	words[length] = '\0';
	for (at = 0; at < length; at += strlen(words + at) + 1)
		if (strcmp(words + at, mount) == 0)
			return true;
	return false;
}

/* A monitor holds a lock of the file for as long as it lives. */
static bool is_our_monitor(FILE *file)
{
	return flock(fileno(file), LOCK_SH | LOCK_NB) < 0 &&
	       errno == EWOULDBLOCK;
}

static pid_t running_pid(const struct attachment *a)
{
	char path[sizeof(a->dir) + 16];
	bool ours;
	int pid = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/pid", a->dir);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1 || pid < 0)
		pid = 0;
	ours = a->is_nbd ? is_our_monitor(file)
			 : pid > 0 && is_our_nbdfuse(pid, a->mount);
	(void)fclose(file); /* only read */
	return ours ? pid : 0;
}

void attachment_device(const struct attachment *a, struct nbd_device *ret)
{
	*ret = (struct nbd_device){
		.number = (unsigned int)a->number,
		.size = a->size,
	};
	snprintf(ret->backend, sizeof(ret->backend), "varve/%s/%s", a->uuid,
		 a->name);
}

static void find_nbd(struct attachment *a)
{
	struct nbd_device device;

	attachment_device(a, &device);
	if (a->number >= 0 && nbd_has_backend(device.number, device.backend))
		nbd_format_path(device.number, a->device);
}

static void find_loop(struct attachment *a)
{
	const struct backing_file file = {
		.path = a->mount,
		.device = a->mount_device,
		.inode = a->mount_inode,
	};

	if (file.device)
		(void)loop_find(&file, a->device); /* none: stays "" */
}

int attachment_mounted(struct attachment *a, struct error *err)
{
	struct stat st;

	if (stat(a->mount, &st) < 0)
		return error_set(err, errno, "%s: %s", a->mount,
				 strerror(errno));
	a->mount_device = st.st_dev;
	a->mount_inode = st.st_ino;
	return attachment_save(a, err);
}

void attachment_refresh(struct attachment *a)
{
	a->device[0] = '\0';
	if (a->is_nbd) {
		/* it is the monitor that chooses the number */
		(void)read_state(a);
		find_nbd(a);
	} else {
		find_loop(a);
	}
	a->pid = running_pid(a);
}

/* ---- all of them ---- */

static void attach_dir(const char *runtime, char *ret, size_t size)
{
	snprintf(ret, size, "%s/attach", runtime);
}

static void add_attachment(struct attachments *all, const struct attachment *a)
{
	all->ptr = must(reallocarray(all->ptr, all->nr + 1, sizeof(*a)));
	all->ptr[all->nr++] = *a;
}

static void load_dir(const char *runtime, struct attachments *ret)
{
	char path[RUNTIME_PATH_MAX + 8];
	struct dirent *entry;
	struct attachment a;
	DIR *dir;

	attach_dir(runtime, path, sizeof(path));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (!isdigit(entry->d_name[0]))
			continue;
		a = (struct attachment){0};
		snprintf(a.dir, sizeof(a.dir), "%s/%.8s", path, entry->d_name);
		snprintf(a.mount, sizeof(a.mount), "%s/nbd", a.dir);
		if (!read_state(&a))
			continue;
		attachment_refresh(&a);
		add_attachment(ret, &a);
	}
	if (dir)
		(void)closedir(dir); /* only read */
}

void attachments_load(struct attachments *ret)
{
	struct runtime_path dirs[RUNTIME_DIRS_MAX];
	size_t nr = runtime_dirs(dirs), i, j;

	*ret = (struct attachments){0};
	for (i = 0; i < nr; i++) {
		for (j = 0; j < i; j++)
			if (strcmp(dirs[i].path, dirs[j].path) == 0)
				break;
		if (j == i)
			load_dir(dirs[i].path, ret);
	}
}

void attachments_load_of(const char *store, struct attachments *ret)
{
	struct store_identity identity = {0};
	struct stat st;
	size_t i, kept = 0;

	attachments_load(ret);
	if (stat(store, &st) == 0)
		identity = (struct store_identity){st.st_dev, st.st_ino};
	for (i = 0; i < ret->nr; i++)
		if (ret->ptr[i].identity.device == identity.device &&
		    ret->ptr[i].identity.inode == identity.inode)
			ret->ptr[kept++] = ret->ptr[i];
	ret->nr = kept;
}

void attachments_done(struct attachments *attachments)
{
	free(attachments->ptr);
	*attachments = (struct attachments){0};
}

const char *attachments_device(const struct attachments *attachments,
			       const char *name)
{
	size_t i;

	for (i = 0; i < attachments->nr; i++)
		if (strcmp(attachments->ptr[i].name, name) == 0 &&
		    attachments->ptr[i].device[0])
			return attachments->ptr[i].device;
	return NULL;
}

/* ---- making one and taking it apart ---- */

/* RUNTIME/attach, made when it is not there. */
static int own_attach_dir(char *ret, size_t size, struct error *err)
{
	struct runtime_path own;
	int r = runtime_dir_own(&own, err);

	if (r < 0)
		return r;
	attach_dir(own.path, ret, size);
	if (mkdir(ret, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "%s: %s", ret, strerror(errno));
	return 0;
}

int attachments_lock(struct error *err)
{
	char dir[RUNTIME_PATH_MAX + 8], path[RUNTIME_PATH_MAX + 16];
	int r = own_attach_dir(dir, sizeof(dir), err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/lock", dir);
	return lock_file(path, LOCK_EX, err);
}

/* The file that will be mounted over. */
static int make_mount_point(const struct attachment *a, struct error *err)
{
	CLEANUP_CLOSE int fd =
		open(a->mount, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_set(err, errno, "%s: %s", a->mount,
				 strerror(errno));
	return 0;
}

int attachment_make(struct attachment *a, struct error *err)
{
	char parent[RUNTIME_PATH_MAX + 8];
	int r = own_attach_dir(parent, sizeof(parent), err), i;

	if (r < 0)
		return r;
	for (i = 0; i < ATTACHMENTS_MAX; i++) {
		snprintf(a->dir, sizeof(a->dir), "%s/%d", parent, i);
		if (mkdir(a->dir, 0755) == 0)
			break;
		/* an empty one is what a killed attach left */
		if (errno == EEXIST && rmdir(a->dir) == 0 &&
		    mkdir(a->dir, 0755) == 0)
			break;
		if (errno != EEXIST && errno != ENOTEMPTY)
			return error_set(err, errno, "%s: %s", a->dir,
					 strerror(errno));
	}
	if (i == ATTACHMENTS_MAX)
		return error_set(err, EBUSY, "more than %d attachments",
				 ATTACHMENTS_MAX);
	snprintf(a->mount, sizeof(a->mount), "%s/nbd", a->dir);
	r = attachment_save(a, err);
	return r < 0 || a->is_nbd ? r : make_mount_point(a, err);
}

/* Pages not yet written go out. */
static void write_out(const struct attachment *a, int fd)
{
	if (a->read_only || !attachment_is_linked(a))
		return; /* they cannot */
	if (fsync(fd) < 0)
		print_error("%s: %s: not all could be written out: %s", a->name,
			    a->device, strerror(errno));
}

/* Closes @fd. */
static int disconnect(const struct attachment *a, int fd, struct error *err)
{
	struct nbd_kernel *kernel;
	struct nbd_device device;
	int r = nbd_kernel_open(&kernel, err);

	if (r < 0) {
		(void)close(fd); /* nothing was written */
		return r;
	}
	attachment_device(a, &device);
	r = nbd_kernel_disconnect(kernel, &device, fd, err);
	nbd_kernel_close(kernel);
	return r;
}

static int release_device(struct attachment *a, struct error *err)
{
	int fd, r;

	if (!a->device[0])
		return 0;
	fd = device_hold(a->device, a->read_only, err);
	if (fd < 0)
		return error_prefix(err, "%s", a->name);
	write_out(a, fd);
	r = a->is_nbd ? disconnect(a, fd, err)
		      : loop_unmake(a->device, fd, err);
	return r < 0 ? error_prefix(err, "%s", a->name) : 0;
}

static int resize_nbd(const struct attachment *a, uint64_t size,
		      struct error *err)
{
	struct nbd_kernel *kernel;
	struct nbd_device device;
	int r = nbd_kernel_open(&kernel, err);

	if (r < 0)
		return r;
	attachment_device(a, &device);
	device.size = size;
	r = nbd_kernel_resize(kernel, &device, err);
	nbd_kernel_close(kernel);
	return r;
}

int attachment_resize(const struct attachment *a, uint64_t size,
		      struct error *err)
{
	return a->is_nbd ? resize_nbd(a, size, err)
			 : loop_set_size(a->device, size, err);
}

/* The kernel may hold the file for a moment after the loop device. */
static int release_mount(const struct attachment *a, struct error *err)
{
	int tries;

	for (tries = 0; tries < 40 && attachment_is_mounted(a); tries++) {
		if (umount2(a->mount, UMOUNT_NOFOLLOW) == 0)
			return 0;
		sleep_ms(50);
	}
	if (!attachment_is_mounted(a))
		return 0;
	if (umount2(a->mount, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
		return error_set(err, errno, "%s: %s: %s", a->name, a->mount,
				 strerror(errno));
	return 0;
}

static bool is_helper(const struct attachment *a)
{
	return a->is_nbd ? running_pid(a) == a->pid
			 : is_our_nbdfuse(a->pid, a->mount);
}

/* nbdfuse ends when it is unmounted; one that does not is told to. */
void attachment_end_helper(const struct attachment *a)
{
	struct pollfd pollfd = {.events = POLLIN};
	CLEANUP_CLOSE int fd = -1;

	if (!a->pid)
		return;
	fd = pidfd_open(a->pid, 0);
	if (fd < 0 || !is_helper(a))
		return; /* it has gone */
	pollfd.fd = fd;
	if (!a->is_nbd && poll(&pollfd, 1, END_WAIT_MS) == 1)
		return;
	(void)pidfd_send_signal(fd, SIGTERM, NULL, 0); /* it may have gone */
	(void)poll(&pollfd, 1, END_WAIT_MS);
}

static void remove_dir(const struct attachment *a)
{
	static const char *const names[] = {"nbd", "pid", "log", "state.new",
					    "state.json"};
	char path[sizeof(a->dir) + 16];
	size_t i;

	/* what stays behind is looked at again by the next attach */
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", a->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(a->dir);
}

int attachment_release(struct attachment *a, struct error *err)
{
	int r;

	attachment_refresh(a);
	if (a->is_nbd && !a->device[0] && a->pid) {
		/* a monitor that may just be connecting it */
		attachment_end_helper(a);
		attachment_refresh(a);
	}
	r = release_device(a, err);
	if (r == 0)
		r = release_mount(a, err);
	if (r < 0)
		return r;
	attachment_end_helper(a);
	remove_dir(a);
	return 0;
}

/* ---- the server's side ---- */

static int delete_scratch(struct connection *c, const struct attachment *a)
{
	return connection_call(c, "delete", names_args_of(array_of(a->scratch)),
			       NULL);
}

static int check_detached(struct connection *c, const struct attachment *a)
{
	struct json_object *data;
	int r;

	r = connection_call(c, "show", name_args(a->name), &data);
	if (r == 0 && member_number(data, "attached") > 0)
		r = EXIT_BUSY;
	json_object_put(data);
	return r;
}

/* How many handles the server has of the export that @a is made of. */
static uint64_t count_handles(struct connection *c, const struct attachment *a)
{
	const char *name = a->scratch[0] ? a->scratch : a->name;
	struct json_object *data;
	uint64_t nr = 0;

	if (connection_call(c, "show", name_args(name), &data) == 0)
		nr = member_number(data, "attached") +
		     (a->scratch[0] ? member_number(data, "writers") : 0);
	json_object_put(data);
	return nr;
}

bool attachment_is_linked(const struct attachment *a)
{
	struct connection *c = NULL;
	bool linked;

	if (!a->is_nbd)
		return a->pid != 0;
	if (access(a->store, F_OK) < 0 ||
	    connection_open(a->store, CONNECT_SERVED | CONNECT_QUIET, &c))
		return false;
	/* a monitor that lives connects what is not connected */
	linked = a->pid || count_handles(c, a) > 0;
	(void)connection_close(c, 0); /* a server's: nothing to lose */
	return linked;
}

void attachment_forget(const struct attachment *a)
{
	struct connection *c = NULL;
	int tries, r = EXIT_BUSY;

	if (access(a->store, F_OK) < 0 ||
	    connection_open(a->store, CONNECT_SERVED | CONNECT_QUIET, &c))
		return;
	for (tries = 0; tries < 40 && r == EXIT_BUSY; tries++) {
		if (tries)
			sleep_ms(50);
		r = a->scratch[0] ? delete_scratch(c, a) : check_detached(c, a);
	}
	(void)connection_close(c, 0); /* a server's: nothing to lose */
}
