/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many clients at once through a server: NBD for the disks, the control
 * socket for snapshots.
 *
 * order-nbd [--seconds N] [--clients N] [--seed N] STORE SOCKET
 *
 * STORE is served at SOCKET and has the volumes a and b.
 */
#include <errno.h>
#include <json-c/json.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "clients.h"
#include "clock.h"
#include "random.h"
#include "test-store.h"
#include "verbs.h"

#define SECONDS_DEFAULT 10u
#define CLIENTS_DEFAULT 16u

static const char *store_path, *socket_path;

/* ---- disks ---- */

static int nbd_result(int r, struct error *err)
{
	return r < 0 ? error_set(err, EIO, "%s", nbd_get_error()) : 0;
}

static int connect_to(const char *name, void **ret, struct error *err)
{
	struct nbd_handle *h = nbd_create();
	int r = h ? 0 : -1;

	/* requests go as they are, whatever block size is advertised */
	if (r == 0)
		r = nbd_set_strict_mode(h, 0);
	if (r == 0)
		r = nbd_set_export_name(h, name);
	if (r == 0)
		r = nbd_connect_unix(h, socket_path);
	r = nbd_result(r, err);
	if (r < 0)
		nbd_close(h);
	else
		*ret = h;
	return r;
}

static int open_export(const char *name, bool write, void **ret,
		       struct error *err)
{
	int r = connect_to(name, ret, err);

	if (r < 0 || !write || nbd_is_read_only(*ret) == 0)
		return r;
	nbd_close(*ret);
	return error_set(err, EROFS, "%s: is read-only", name);
}

static void close_export(void *connection)
{
	(void)nbd_shutdown(connection, 0); /* it goes in any case */
	nbd_close(connection);
}

static int read_export(void *connection, void *ret, uint32_t length,
		       uint64_t offset, struct error *err)
{
	return nbd_result(nbd_pread(connection, ret, length, offset, 0), err);
}

static int write_export(void *connection, const void *data, uint32_t length,
			uint64_t offset, bool fua, struct error *err)
{
	return nbd_result(nbd_pwrite(connection, data, length, offset,
				     fua ? LIBNBD_CMD_FLAG_FUA : 0),
			  err);
}

static int zero_export(void *connection, uint32_t length, uint64_t offset,
		       struct error *err)
{
	return nbd_result(nbd_zero(connection, length, offset, 0), err);
}

static int trim_export(void *connection, uint32_t length, uint64_t offset,
		       struct error *err)
{
	return nbd_result(nbd_trim(connection, length, offset, 0), err);
}

static int flush_export(void *connection, struct error *err)
{
	return nbd_result(nbd_flush(connection, 0), err);
}

/* ---- verbs ---- */

/* On a connection for this one verb; returns as client_call(). */
static int try_call(const char *verb, struct json_object *args,
		    struct error *err)
{
	struct json_object *data = NULL;
	struct client *client;
	int r;

	r = client_connect(store_path, &client, err);
	if (r == 0) {
		r = client_call(client, verb, args, &data, err);
		client_close(client);
	}
	json_object_put(data);
	return r;
}

/*
 * Takes @args over.  The server notices a little later than we do that a
 * snapshot's connection is closed; until then the snapshot is in use.
 */
static int call(const char *verb, struct json_object *args, struct error *err)
{
	int r, tries = 0;

	while ((r = try_call(verb, args, err)) == EXIT_BUSY && tries++ < 6000)
		sleep_ms(10);
	json_object_put(args);
	return r ? -EIO : 0;
}

static struct json_object *pair(const char *name)
{
	struct json_object *args = json_object_new_object();
	struct json_object *names = json_object_new_array();
	char text[64];

	for (const char *volume = "ab"; *volume; volume++) {
		(void)snprintf(text, sizeof(text), "%c@%s", *volume, name);
		(void)json_object_array_add(names,
					    json_object_new_string(text));
	}
	(void)json_object_object_add(args, "names", names);
	return args;
}

static int take_snapshots(const char *name, struct error *err)
{
	return call("snapshot", pair(name), err);
}

static int delete_snapshots(const char *name, struct error *err)
{
	return call("delete", pair(name), err);
}

static int look_around(struct error *err)
{
	static const char *const verbs[] = {"list", "status", "check"};
	int r = 0;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		sleep_ms(50);
		if (r == 0)
			r = call(verbs[i], NULL, err);
	}
	return r;
}

static const struct clients_target nbd_target = {
	.open = open_export,
	.close = close_export,
	.read = read_export,
	.write = write_export,
	.zero = zero_export,
	.trim = trim_export,
	.flush = flush_export,
	.snapshot = take_snapshots,
	.delete_snapshot = delete_snapshots,
	.disturb = look_around,
};

int main(int argc, char **argv)
{
	struct clients_options options = {
		.nr_clients = (unsigned int)test_option(&argc, argv, "clients",
							CLIENTS_DEFAULT),
		.seconds = (unsigned int)test_option(&argc, argv, "seconds",
						     SECONDS_DEFAULT),
		.seed = test_option(&argc, argv, "seed", rng_time_seed()),
	};

	if (argc != 3)
		die("usage: %s [--seconds N] [--clients N] [--seed N] "
		    "STORE SOCKET",
		    argv[0]);
	store_path = argv[1];
	socket_path = argv[2];
	clients_run(&nbd_target, &options);
	return 0;
}
