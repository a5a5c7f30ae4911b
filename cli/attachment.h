/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attached volumes: RUNTIME/attach/N is a directory for each.
 *
 *   state.json  what is attached; written before anything else is done
 *   nbd         the file that nbdfuse is mounted over
 *   pid, log    of the helper process
 *
 * The device is /dev/nbdN, and the helper a monitor that connects it anew
 * (monitor.h); or, where the kernel has no NBD client, a loop device, and the
 * helper nbdfuse.  A loop device is found by its backing file, its path and
 * what it is, /dev/nbdN by the identifier of its backend, and whether the
 * helper lives by its pid: so any process may die at any point, and what it
 * left behind is still seen, used or cleaned up.
 */
#ifndef CLI_ATTACHMENT_H
#define CLI_ATTACHMENT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "connect.h"
#include "error.h"
#include "loop.h"
#include "names.h"
#include "nbd-kernel.h"
#include "runtime.h"

#define EXPORT_NAME_MAX (NAME_MAX_BYTES + 32)
#define UUID_TEXT_MAX 40

struct attachment {
	char dir[RUNTIME_PATH_MAX + 32];
	char mount[RUNTIME_PATH_MAX + 40]; /* dir/nbd */
	char store[PATH_MAX];		   /* absolute */
	struct store_identity identity;
	char name[NAME_MAX_BYTES + 1]; /* vol or vol@s */
	char export[EXPORT_NAME_MAX];  /* what nbdfuse asks for */
	char scratch[EXPORT_NAME_MAX]; /* dropped at detach; "": none */
	char uuid[UUID_TEXT_MAX];      /* of the store */
	bool read_only;
	bool is_nbd;
	int number; /* of /dev/nbdN; -1: none yet */
	uint64_t size;
	uint64_t mount_device, mount_inode; /* of the mounted file; 0: none */
	/* seen in the system */
	char device[DEVICE_PATH_MAX]; /* "": none */
	pid_t pid;		      /* of the helper; 0: not running */
};

struct attachments {
	struct attachment *ptr;
	size_t nr;
};

/* All of this host, as they are now.  Unreadable ones are left out. */
void attachments_load(struct attachments *ret);
/* Those of @store only. */
void attachments_load_of(const char *store, struct attachments *ret);
void attachments_done(struct attachments *attachments);
/* The device of vol or vol@s; NULL: not attached. */
const char *attachments_device(const struct attachments *attachments,
			       const char *name);

/*
 * One attach or detach at a time.  Returns a descriptor to close, or a
 * negative errno.
 */
int attachments_lock(struct error *err);

/* Make the next free directory and write state.json.  Lock: held. */
int attachment_make(struct attachment *a, struct error *err);
/* Write state.json anew. */
int attachment_save(const struct attachment *a, struct error *err);
/* The file is mounted: write down what it is, for its loop device. */
int attachment_mounted(struct attachment *a, struct error *err);
/* What the kernel is told of a->number; its flags are left 0. */
void attachment_device(const struct attachment *a, struct nbd_device *ret);
/* Look at the system again. */
void attachment_refresh(struct attachment *a);
bool attachment_is_mounted(const struct attachment *a);

/*
 * Can what the kernel still has to write reach the store?  Asks the server.
 */
bool attachment_is_linked(const struct attachment *a);

/*
 * The volume has @size bytes now: the kernel learns it, and a file system on
 * the device can grow.
 */
int attachment_resize(const struct attachment *a, uint64_t size,
		      struct error *err);

/* End the helper; the device stays.  Lock: held. */
void attachment_end_helper(const struct attachment *a);

/*
 * Take it apart: device, mount, helper, directory; whatever of that
 * there is.  -EBUSY: the device is in use, and nothing was done.
 * Lock: held.
 */
int attachment_release(struct attachment *a, struct error *err);

/*
 * After the release: wait until the server has seen the connection go, and
 * drop the scratch view.  Without a server there is nothing to do: the store
 * drops scratch views that nobody has open by itself.
 */
void attachment_forget(const struct attachment *a);

#endif
