/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbd-kernel.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

/*
 * 512, as all that makes partitions or file systems takes for granted of a
 * disk that may one day be moved.
 */
#define BLOCK_SIZE 512u
/*
 * A request that has no answer after this time is sent again on another
 * connection.  No write of ours waits longer than 10 s for space, so that an
 * old one cannot overtake a newer one.
 */
#define REQUEST_TIMEOUT_S 30u
/* Without any connection, requests wait for so long before they fail. */
#define DEAD_TIMEOUT_S 120u
#define FREE_TRIES 200 /* of 50 ms */

struct nbd_kernel {
	struct nl_sock *commands;
	struct nl_sock *notices; /* NULL: does not listen */
	int family;
	/* of the command under way */
	bool answered;
	int answer; /* 0 or a negative errno */
	/* of the notices being read */
	unsigned int watched;
	bool died;
};

/* ---- sysfs ---- */

bool nbd_parse_path(const char *path, unsigned int *ret_number)
{
	char rest;

	return strncmp(path, "/dev/nbd", 8) == 0 &&
	       isdigit((unsigned char)path[8]) &&
	       sscanf(path + 8, "%6u%c", ret_number, &rest) == 1 &&
	       *ret_number < NBD_NUMBERS_MAX;
}

void nbd_format_path(unsigned int number, char ret[DEVICE_PATH_MAX])
{
	snprintf(ret, DEVICE_PATH_MAX, "/dev/nbd%u", number);
}

bool nbd_is_connected(unsigned int number)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/nbd%u/pid", number);
	return access(path, F_OK) == 0;
}

bool nbd_has_backend(unsigned int number, const char *backend)
{
	char path[64], line[NBD_BACKEND_MAX + 2];
	bool same;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/nbd%u/backend", number);
	file = fopen(path, "re");
	if (!file)
		return false;
	same = fgets(line, sizeof(line), file) != NULL;
	(void)fclose(file); /* only read */
	if (!same)
		return false;
	line[strcspn(line, "\n")] = '\0';
	return strcmp(line, backend) == 0;
}

/* ---- netlink ---- */

static int netlink_error(int r, const char *what, struct error *err)
{
	return error_set(err, r == -NLE_NOMEM ? ENOMEM : EIO, "netlink: %s: %s",
			 what, nl_geterror(r));
}

/* libnl keeps no errno: so the kernel's own is taken out of its answer. */
static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error,
		    void *opaque)
{
	struct nbd_kernel *kernel = opaque;

	kernel->answered = true;
	kernel->answer = error->error;
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *opaque)
{
	struct nbd_kernel *kernel = opaque;

	kernel->answered = true;
	kernel->answer = 0;
	return NL_STOP;
}

static int on_notice(struct nl_msg *msg, void *opaque)
{
	struct nlattr *attrs[NBD_ATTR_MAX + 1];
	struct nbd_kernel *kernel = opaque;
	struct nlmsghdr *header = nlmsg_hdr(msg);

	if (genlmsg_parse(header, 0, attrs, NBD_ATTR_MAX, NULL) == 0 &&
	    genlmsg_hdr(header)->cmd == NBD_CMD_LINK_DEAD &&
	    attrs[NBD_ATTR_INDEX] &&
	    nla_get_u32(attrs[NBD_ATTR_INDEX]) == kernel->watched)
		kernel->died = true;
	return NL_OK;
}

static struct nl_sock *open_socket(struct error *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	int r = sock ? genl_connect(sock) : -NLE_NOMEM;

	if (r == 0)
		return sock;
	(void)netlink_error(r, "cannot connect", err);
	nl_socket_free(sock);
	return NULL;
}

/* Ends when the module is there, or cannot be had. */
static void load_module(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("modprobe", "modprobe", "-q", "nbd", (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0); /* whatever it said: tried next */
}

int nbd_kernel_open(struct nbd_kernel **ret, struct error *err)
{
	struct nbd_kernel *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return error_set(err, ENOMEM, "out of memory");
	kernel->commands = open_socket(err);
	if (!kernel->commands) {
		nbd_kernel_close(kernel);
		return -ENODEV;
	}
	kernel->family =
		genl_ctrl_resolve(kernel->commands, NBD_GENL_FAMILY_NAME);
	if (kernel->family < 0) {
		load_module();
		kernel->family = genl_ctrl_resolve(kernel->commands,
						   NBD_GENL_FAMILY_NAME);
	}
	if (kernel->family < 0) {
		nbd_kernel_close(kernel);
		return error_set(err, ENODEV, "the kernel has no nbd here");
	}
	(void)nl_socket_modify_err_cb(kernel->commands, NL_CB_CUSTOM, on_error,
				      kernel);
	(void)nl_socket_modify_cb(kernel->commands, NL_CB_ACK, NL_CB_CUSTOM,
				  on_ack, kernel);
	*ret = kernel;
	return 0;
}

void nbd_kernel_close(struct nbd_kernel *kernel)
{
	if (!kernel)
		return;
	nl_socket_free(kernel->commands);
	nl_socket_free(kernel->notices);
	free(kernel);
}

/* ---- commands ---- */

static struct nl_msg *new_message(const struct nbd_kernel *kernel,
				  uint8_t command,
				  const struct nbd_device *device)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg)
		return NULL;
	if (genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, kernel->family, 0, 0,
			command, NBD_GENL_VERSION) &&
	    nla_put_u32(msg, NBD_ATTR_INDEX, device->number) == 0 &&
	    nla_put_string(msg, NBD_ATTR_BACKEND_IDENTIFIER, device->backend) ==
		    0)
		return msg;
	nlmsg_free(msg);
	return NULL;
}

static int put_size(struct nl_msg *msg, const struct nbd_device *device)
{
	return nla_put_u64(msg, NBD_ATTR_SIZE_BYTES, device->size) < 0 ||
			       nla_put_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES,
					   BLOCK_SIZE) < 0
		       ? -1
		       : 0;
}

static int put_timeouts(struct nl_msg *msg)
{
	return nla_put_u64(msg, NBD_ATTR_TIMEOUT, REQUEST_TIMEOUT_S) < 0 ||
			       nla_put_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT,
					   DEAD_TIMEOUT_S) < 0
		       ? -1
		       : 0;
}

static int put_sockets(struct nl_msg *msg, const int *sockets, size_t nr)
{
	struct nlattr *all = nla_nest_start(msg, NBD_ATTR_SOCKETS), *one;
	size_t i;

	if (!all)
		return -1;
	for (i = 0; i < nr; i++) {
		one = nla_nest_start(msg, NBD_SOCK_ITEM);
		if (!one ||
		    nla_put_u32(msg, NBD_SOCK_FD, (uint32_t)sockets[i]) < 0)
			return -1;
		(void)nla_nest_end(msg, one); /* fits: it only sets a length */
	}
	(void)nla_nest_end(msg, all);
	return 0;
}

/* Send @msg, which is freed, and wait for what the kernel says. */
static int run(struct nbd_kernel *kernel, struct nl_msg *msg,
	       const struct nbd_device *device, struct error *err)
{
	int r;

	kernel->answered = false;
	r = nl_send_auto(kernel->commands, msg);
	nlmsg_free(msg);
	while (r >= 0 && !kernel->answered)
		r = nl_recvmsgs_default(kernel->commands);
	if (!kernel->answered)
		return netlink_error(r, "nbd", err);
	if (kernel->answer == 0)
		return 0;
	return error_set(err, -kernel->answer, "/dev/nbd%u: %s", device->number,
			 strerror(-kernel->answer));
}

static int message_failed(struct nl_msg *msg, struct error *err)
{
	nlmsg_free(msg);
	return error_set(err, ENOMEM, "out of memory");
}

/*
 * The kernel announces a device before it shows the backend identifier, and
 * its end before it takes that away; but udev names it by that.
 */
static void announce(unsigned int number)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/nbd%u/uevent", number);
	file = fopen(path, "we");
	if (!file)
		return;
	(void)fputs("change", file);
	(void)fclose(file); /* without it, only a name is wrong */
}

/*
 * The kernel looks for partitions when a device is opened first.  That is to
 * be now, and not when the server may have gone and a detach would wait for
 * it.
 */
static void find_partitions(unsigned int number)
{
	char path[DEVICE_PATH_MAX];
	int fd;

	nbd_format_path(number, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd); /* only read */
}

/* A connection that ends as soon as the kernel looks at it. */
static int dead_socket(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	(void)close(fds[1]); /* nothing was written */
	return fds[0];
}

/*
 * How many connections there are is said once.  The dead one is first: the
 * kernel is done with it before it begins with the other.
 */
int nbd_kernel_connect(struct nbd_kernel *kernel,
		       const struct nbd_device *device, int fd,
		       struct error *err)
{
	CLEANUP_CLOSE int dead =
		device->flags & NBD_FLAG_CAN_MULTI_CONN ? dead_socket() : -1;
	const int sockets[] = {dead, fd};
	size_t skip = dead < 0; /* then there is one only */
	struct nl_msg *msg = new_message(kernel, NBD_CMD_CONNECT, device);
	int r;

	if (!msg || put_size(msg, device) < 0 || put_timeouts(msg) < 0 ||
	    nla_put_u64(msg, NBD_ATTR_SERVER_FLAGS, device->flags) < 0 ||
	    put_sockets(msg, sockets + skip, 2 - skip) < 0)
		return message_failed(msg, err);
	r = run(kernel, msg, device, err);
	if (r < 0)
		return r;
	find_partitions(device->number);
	announce(device->number);
	return 0;
}

int nbd_kernel_reconnect(struct nbd_kernel *kernel,
			 const struct nbd_device *device, int fd,
			 struct error *err)
{
	struct nl_msg *msg = new_message(kernel, NBD_CMD_RECONFIGURE, device);

	if (!msg || put_sockets(msg, &fd, 1) < 0)
		return message_failed(msg, err);
	return run(kernel, msg, device, err);
}

int nbd_kernel_resize(struct nbd_kernel *kernel,
		      const struct nbd_device *device, struct error *err)
{
	struct nl_msg *msg = new_message(kernel, NBD_CMD_RECONFIGURE, device);

	if (!msg || put_size(msg, device) < 0)
		return message_failed(msg, err);
	return run(kernel, msg, device, err);
}

static int disconnect(struct nbd_kernel *kernel,
		      const struct nbd_device *device, struct error *err)
{
	struct nl_msg *msg = new_message(kernel, NBD_CMD_DISCONNECT, device);

	if (!msg)
		return message_failed(msg, err);
	return run(kernel, msg, device, err);
}

int nbd_kernel_disconnect(struct nbd_kernel *kernel,
			  const struct nbd_device *device, int fd,
			  struct error *err)
{
	char path[DEVICE_PATH_MAX];
	int r, tries;

	r = disconnect(kernel, device, err);
	(void)close(fd); /* the kernel lets go only now */
	if (r < 0)
		return r;
	for (tries = 0; tries < FREE_TRIES; tries++) {
		if (!nbd_has_backend(device->number, device->backend)) {
			announce(device->number);
			return 0;
		}
		sleep_ms(50);
	}
	nbd_format_path(device->number, path);
	return device_busy(path, err);
}

/* ---- notices ---- */

int nbd_kernel_listen(struct nbd_kernel *kernel, struct error *err)
{
	int group, r;

	kernel->notices = open_socket(err);
	if (!kernel->notices)
		return -EIO;
	group = genl_ctrl_resolve_grp(kernel->notices, NBD_GENL_FAMILY_NAME,
				      NBD_GENL_MCAST_GROUP_NAME);
	if (group < 0)
		return netlink_error(group, "nbd's notices", err);
	nl_socket_disable_seq_check(kernel->notices);
	r = nl_socket_add_membership(kernel->notices, group);
	if (r == 0)
		r = nl_socket_set_nonblocking(kernel->notices);
	if (r == 0)
		r = nl_socket_modify_cb(kernel->notices, NL_CB_VALID,
					NL_CB_CUSTOM, on_notice, kernel);
	return r < 0 ? netlink_error(r, "nbd's notices", err) : 0;
}

bool nbd_kernel_wait(struct nbd_kernel *kernel, unsigned int number,
		     int timeout_ms)
{
	struct pollfd pollfd = {
		.fd = nl_socket_get_fd(kernel->notices),
		.events = POLLIN,
	};
	int r = 0;

	kernel->watched = number;
	kernel->died = false;
	if (poll(&pollfd, 1, timeout_ms) != 1)
		return false;
	while (r >= 0)
		r = nl_recvmsgs_default(kernel->notices);
	/* one that was lost may have been ours */
	return kernel->died || r != -NLE_AGAIN;
}
