/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's NBD client: /dev/nbdN, told what to do by netlink.
 *
 * What is connected is asked of the kernel each time (sysfs), never
 * remembered: a device is ours when its backend identifier is: "varve/", the
 * store's uuid, "/" and the name of what is attached.
 *
 * Typical use: nbd_kernel_open(), nbd_kernel_connect() with a socket that has
 * been negotiated, and for as long as the device lives nbd_kernel_wait() for
 * a connection that died and nbd_kernel_reconnect() with a new one.
 */
#ifndef CLI_NBD_KERNEL_H
#define CLI_NBD_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block-device.h"
#include "error.h"
#include "names.h"

#define NBD_BACKEND_MAX (NAME_MAX_BYTES + 64)

struct nbd_kernel;

/* What the kernel is told of a device. */
struct nbd_device {
	unsigned int number;
	char backend[NBD_BACKEND_MAX];
	uint64_t size;	/* bytes */
	uint64_t flags; /* NBD_FLAG_* of the export */
};

/*
 * -ENODEV: this kernel has no NBD client, or not in this network namespace;
 * its module is loaded when it is there.  Only root.
 */
int nbd_kernel_open(struct nbd_kernel **ret, struct error *err);
void nbd_kernel_close(struct nbd_kernel *kernel);

/*
 * Make /dev/nbdN of @fd, a socket in transmission phase, of which the kernel
 * takes a reference of its own.  Where the export allows two, there is another
 * connection that is dead, to be replaced.  -EBUSY: that device is connected
 * already.
 */
int nbd_kernel_connect(struct nbd_kernel *kernel,
		       const struct nbd_device *device, int fd,
		       struct error *err);

/* @fd for a connection that died; when none has, it is not used. */
int nbd_kernel_reconnect(struct nbd_kernel *kernel,
			 const struct nbd_device *device, int fd,
			 struct error *err);

/* The kernel says that the size has changed, and file systems may grow. */
int nbd_kernel_resize(struct nbd_kernel *kernel,
		      const struct nbd_device *device, struct error *err);

/*
 * Disconnect, with the device held by @fd of device_hold(), and wait until it
 * is free.  Closes @fd in any case.
 */
int nbd_kernel_disconnect(struct nbd_kernel *kernel,
			  const struct nbd_device *device, int fd,
			  struct error *err);

/*
 * Hear of connections that die from now on; nbd_kernel_wait() returns true
 * when one of the device @number has died, or may have.
 */
int nbd_kernel_listen(struct nbd_kernel *kernel, struct error *err);
bool nbd_kernel_wait(struct nbd_kernel *kernel, unsigned int number,
		     int timeout_ms);

#define NBD_NUMBERS_MAX 4096
/* "/dev/nbd3"; false: not one. */
bool nbd_parse_path(const char *path, unsigned int *ret_number);
void nbd_format_path(unsigned int number, char ret[DEVICE_PATH_MAX]);
/* Is it connected, by whomever? */
bool nbd_is_connected(unsigned int number);
/* Is it connected with this backend identifier? */
bool nbd_has_backend(unsigned int number, const char *backend);

#endif
