/* SPDX-License-Identifier: BSD-2-Clause */
#include "negotiate.h"

#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "duration.h"

#define CONNECT_WAIT_MS 10000

static int nbd_failed(const char *export, struct error *err)
{
	int code = nbd_get_errno();

	return error_set(err, code ? code : EIO, "%s: %s", export,
			 nbd_get_error());
}

static int wait_ready(struct nbd_handle *handle, const char *export,
		      struct error *err)
{
	int64_t left, deadline = now_ms() + CONNECT_WAIT_MS;

	while (nbd_aio_is_ready(handle) != 1) {
		left = deadline - now_ms();
		if (left <= 0)
			return error_set(err, ETIMEDOUT,
					 "%s: the server does not answer",
					 export);
		if (nbd_poll(handle, (int)left) < 0)
			return nbd_failed(export, err);
	}
	return 0;
}

static int connect_handle(struct nbd_handle *handle, const char *path,
			  const char *export, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ENAMETOOLONG, "%s: name too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (nbd_set_export_name(handle, export) < 0 ||
	    nbd_set_request_structured_replies(handle, false) < 0 ||
	    nbd_aio_connect(handle, (struct sockaddr *)&address,
			    sizeof(address)) < 0)
		return nbd_failed(export, err);
	return wait_ready(handle, export, err);
}

/* libnbd has read the flags and tells them one by one. */
static uint64_t export_flags(struct nbd_handle *handle)
{
	const struct {
		int (*has)(struct nbd_handle *handle);
		uint64_t flag;
	} flags[] = {
		{nbd_is_read_only, NBD_FLAG_READ_ONLY},
		{nbd_can_flush, NBD_FLAG_SEND_FLUSH},
		{nbd_can_fua, NBD_FLAG_SEND_FUA},
		{nbd_can_trim, NBD_FLAG_SEND_TRIM},
		{nbd_can_multi_conn, NBD_FLAG_CAN_MULTI_CONN},
	};
	uint64_t ret = NBD_FLAG_HAS_FLAGS;
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].has(handle) == 1)
			ret |= flags[i].flag;
	return ret;
}

int negotiate(const char *path, const char *export, uint64_t *ret_flags,
	      struct error *err)
{
	struct nbd_handle *handle = nbd_create();
	int fd;

	if (!handle)
		return nbd_failed(export, err);
	fd = connect_handle(handle, path, export, err);
	if (fd == 0) {
		*ret_flags = export_flags(handle);
		/* the connection lives on in the copy */
		fd = fcntl(nbd_aio_get_fd(handle), F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			fd = error_set(err, errno, "%s: %s", export,
				       strerror(errno));
	}
	nbd_close(handle);
	return fd;
}
