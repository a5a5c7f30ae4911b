/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nbdkit plugin: callbacks that translate arguments and errors.
 *
 * Every volume and snapshot of the store is an export of its name.  The
 * engine guards itself, so nbdkit may call in from any number of threads.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "connections.h"
#include "engine.h"
#include "exports.h"
#include "log.h"
#include "server.h"
#include "superblock.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define BLOCK_SIZE_MINIMUM 512u
#define BLOCK_SIZE_PREFERRED 4096u
#define BLOCK_SIZE_MAXIMUM (4u << 20)

/* One connection. */
struct connection {
	struct volume_handle *volume;
	char name[NAME_MAX_BYTES + 1];
};

/* ---- errors ---- */

/* What reaches the client: nbdkit turns all others into EINVAL. */
static int nbd_errno(int r)
{
	switch (-r) {
	case ENOSPC:
	case ENOMEM:
	case EPERM:
	case EROFS:
	case ESHUTDOWN:
	case EOPNOTSUPP:
	case EINVAL:
		return -r;
	default:
		return EIO;
	}
}

/* Report a request that failed; returns -1 for the callback. */
static int fail_request(const struct connection *c, const char *what,
			uint64_t length, uint64_t offset, int r,
			const struct error *err)
{
	log_request("%s: cannot %s %" PRIu64 " bytes at %" PRIu64 ": %s",
		    c->name, what, length, offset, err->message);
	nbdkit_set_error(nbd_errno(r));
	return -1;
}

/* ---- configuration ---- */

static int set_bool(const char *value, bool *ret)
{
	int r = nbdkit_parse_bool(value);

	if (r < 0)
		return -1;
	*ret = r;
	return 0;
}

static int set_fd(const char *key, const char *value, int *ret)
{
	if (nbdkit_parse_int(key, value, ret) < 0)
		return -1;
	if (*ret < 3) {
		nbdkit_error("%s: %s is no descriptor to pass", key, value);
		return -1;
	}
	return 0;
}

static int set_size(const char *value, uint64_t *ret)
{
	int64_t bytes = nbdkit_parse_size(value);

	if (bytes < 0)
		return -1;
	*ret = (uint64_t)bytes;
	return 0;
}

static int varve_config(const char *key, const char *value)
{
	if (strcmp(key, "store") == 0) {
		free(server.store_path);
		server.store_path = nbdkit_realpath(value);
		return server.store_path ? 0 : -1;
	}
	if (strcmp(key, "read-only") == 0)
		return set_bool(value, &server.read_only);
	if (strcmp(key, "memory") == 0)
		return set_size(value, &server.memory_bytes);
	if (strcmp(key, "memory-tables") == 0)
		return set_size(value, &server.tables_bytes);
	if (strcmp(key, "metrics") == 0) {
		free(server.metrics);
		server.metrics = strdup(value);
		return server.metrics ? 0 : -1;
	}
	if (strcmp(key, "buffers") == 0)
		return nbdkit_parse_uint32_t(key, value, &server.nr_buffers);
	if (strcmp(key, "connections") == 0)
		return nbdkit_parse_uint32_t(key, value,
					     &server.max_connections);
	if (strcmp(key, "control-fd") == 0)
		return set_fd(key, value, &server.control_fd);
	if (strcmp(key, "lock-fd") == 0)
		return set_fd(key, value, &server.lock_fd);
	if (strcmp(key, "require-tls") == 0)
		return set_bool(value, &server.require_tls);
	if (strcmp(key, "keep-socket") == 0)
		return set_bool(value, &server.keep_socket);
	if (strcmp(key, "keep-control") == 0)
		return set_bool(value, &server.keep_control);
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static int varve_config_complete(void)
{
	if (server.store_path)
		return 0;
	nbdkit_error("store=FILE is missing");
	return -1;
}

#define VARVE_CONFIG_HELP \
	"store=FILE          (required) The store: a file or a block " \
	"device.\n" \
	"read-only=true      Change nothing in the store.\n" \
	"memory=SIZE         Memory for map and buffers (default: 256M).\n" \
	"memory-tables=SIZE  The most that tables may take besides\n" \
	"                    (default: a quarter of the memory there is).\n" \
	"metrics=[ADDR:]PORT Metrics for Prometheus by HTTP (default: " \
	"none).\n" \
	"buffers=N           Buffers of the log (default: 32).\n" \
	"connections=N       Connections at once (default: 1000).\n" \
	"control-fd=N        Listening control socket, from varved.\n" \
	"lock-fd=N           Descriptor that holds the lock, from varved.\n" \
	"require-tls=true    Refuse TCP without TLS (with --tls=on).\n" \
	"keep-socket=true    Do not remove the NBD socket at the end.\n" \
	"keep-control=true   Do not remove the control socket at the end."

static void varve_dump_plugin(void)
{
	printf("varve_format_version=%u\n", FORMAT_VERSION);
}

/* ---- exports ---- */

static int varve_preconnect(int readonly)
{
	if (connections_enter())
		return 0;
	log_request("too many connections: one was refused");
	return -1;
}

/*
 * A Unix socket is guarded by its mode, so only others must speak TLS.  Who
 * comes in a way we do not know is one of them.
 */
static bool peer_may_speak(bool is_tls)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	if (!server.require_tls || is_tls)
		return true;
	if (nbdkit_peer_name((struct sockaddr *)&address, &length) == 0 &&
	    address.ss_family == AF_UNIX)
		return true;
	nbdkit_error("a client without TLS was refused");
	nbdkit_set_error(EPERM);
	return false;
}

static int varve_list_exports(int readonly, int is_tls,
			      struct nbdkit_exports *exports)
{
	if (!peer_may_speak(is_tls))
		return -1;
	return exports_list(server.store, exports);
}

static const char *varve_default_export(int readonly, int is_tls)
{
	char name[NAME_MAX_BYTES + 1];

	if (exports_default(server.store, name) < 0)
		return NULL;
	return nbdkit_strdup_intern(name);
}

static const char *varve_export_description(void *handle)
{
	const struct connection *c = handle;
	char text[EXPORT_DESCRIPTION_BYTES];

	exports_describe(server.store, c->name, text);
	return text[0] ? nbdkit_strdup_intern(text) : NULL;
}

/* Whether a name may be written is the engine's business: ask, then yield. */
static int open_volume(const char *name, bool read_only,
		       struct volume_handle **ret, struct error *err)
{
	int r = -EROFS;

	if (!read_only)
		r = volume_open(server.store, name, VOLUME_OPEN_WRITE, ret,
				err);
	if (r == -EROFS)
		r = volume_open(server.store, name, 0, ret, err);
	return r;
}

static void *varve_open(int readonly)
{
	struct error err = ERROR_NONE;
	const char *name = nbdkit_export_name();
	struct connection *c;
	int r;

	if (!name || !peer_may_speak(nbdkit_is_tls() > 0))
		return NULL;
	if (name[0] == '\0') {
		nbdkit_error("no export was named, and the store has not "
			     "exactly one volume to choose");
		nbdkit_set_error(EINVAL);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		nbdkit_error("%s: out of memory", name);
		return NULL;
	}
	r = open_volume(name, readonly || server.read_only, &c->volume, &err);
	if (r < 0) {
		nbdkit_error("%s", err.message);
		nbdkit_set_error(nbd_errno(r));
		free(c);
		return NULL;
	}
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

static void varve_close(void *handle)
{
	struct connection *c = handle;

	volume_close(c->volume);
	free(c);
}

/* ---- what an export can do ---- */

static int64_t varve_get_size(void *handle)
{
	const struct connection *c = handle;

	return (int64_t)volume_size(c->volume);
}

static int varve_can_write(void *handle)
{
	const struct connection *c = handle;

	return !volume_is_read_only(c->volume);
}

static int varve_yes(void *handle)
{
	return 1;
}

static int varve_no(void *handle)
{
	return 0;
}

static int varve_can_fua(void *handle)
{
	return NBDKIT_FUA_NATIVE;
}

static int varve_can_cache(void *handle)
{
	return NBDKIT_CACHE_NATIVE;
}

/* A view of its own must not be put together from several connections. */
static int varve_can_multi_conn(void *handle)
{
	const struct connection *c = handle;

	return !volume_is_private(c->volume);
}

static int varve_block_size(void *handle, uint32_t *minimum,
			    uint32_t *preferred, uint32_t *maximum)
{
	*minimum = BLOCK_SIZE_MINIMUM;
	*preferred = BLOCK_SIZE_PREFERRED;
	*maximum = BLOCK_SIZE_MAXIMUM;
	return 0;
}

/* ---- requests ---- */

static int varve_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_read(c->volume, buf, count, offset, &err);

	return r < 0 ? fail_request(c, "read", count, offset, r, &err) : 0;
}

static int varve_pwrite(void *handle, const void *buf, uint32_t count,
			uint64_t offset, uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_write(c->volume, buf, count, offset,
			     flags & NBDKIT_FLAG_FUA, &err);

	return r < 0 ? fail_request(c, "write", count, offset, r, &err) : 0;
}

/* Zeroed blocks take no space whether or not the client asked for that. */
static int varve_zero(void *handle, uint32_t count, uint64_t offset,
		      uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_zero(c->volume, count, offset, flags & NBDKIT_FLAG_FUA,
			    &err);

	return r < 0 ? fail_request(c, "zero", count, offset, r, &err) : 0;
}

static int varve_trim(void *handle, uint32_t count, uint64_t offset,
		      uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_trim(c->volume, count, offset, flags & NBDKIT_FLAG_FUA,
			    &err);

	return r < 0 ? fail_request(c, "trim", count, offset, r, &err) : 0;
}

static int varve_flush(void *handle, uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_flush(c->volume, &err);

	if (r == 0)
		return 0;
	log_request("%s: cannot flush: %s", c->name, err.message);
	nbdkit_set_error(nbd_errno(r));
	return -1;
}

static int varve_cache(void *handle, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_cache(c->volume, count, offset, &err);

	return r < 0 ? fail_request(c, "cache", count, offset, r, &err) : 0;
}

static int add_extent(void *opaque, uint64_t offset, uint64_t length,
		      bool is_hole)
{
	uint32_t type = is_hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;

	return nbdkit_add_extent(opaque, offset, length, type) < 0 ? -errno : 0;
}

static int varve_extents(void *handle, uint32_t count, uint64_t offset,
			 uint32_t flags, struct nbdkit_extents *extents)
{
	struct connection *c = handle;
	struct error err = ERROR_NONE;
	int r = volume_extents(c->volume, count, offset, add_extent, extents,
			       &err);

	return r < 0 ? fail_request(c, "map", count, offset, r, &err) : 0;
}

static struct nbdkit_plugin plugin = {
	.name = "varve",
	.longname = "varve volumes and snapshots",
	.version = VARVE_VERSION,
	.description = "Serve the volumes and snapshots of a varve store.",
	.config = varve_config,
	.config_complete = varve_config_complete,
	.config_help = VARVE_CONFIG_HELP,
	.magic_config_key = "store",
	.dump_plugin = varve_dump_plugin,
	.get_ready = server_open,
	.after_fork = server_start,
	.preconnect = varve_preconnect,
	.list_exports = varve_list_exports,
	.default_export = varve_default_export,
	.export_description = varve_export_description,
	.open = varve_open,
	.close = varve_close,
	.get_size = varve_get_size,
	.can_write = varve_can_write,
	.can_flush = varve_yes,
	.is_rotational = varve_no,
	.can_trim = varve_yes,
	.can_zero = varve_yes,
	.can_fast_zero = varve_yes,
	.can_fua = varve_can_fua,
	.can_extents = varve_yes,
	.can_cache = varve_can_cache,
	.can_multi_conn = varve_can_multi_conn,
	.block_size = varve_block_size,
	.pread = varve_pread,
	.pwrite = varve_pwrite,
	.zero = varve_zero,
	.trim = varve_trim,
	.flush = varve_flush,
	.cache = varve_cache,
	.extents = varve_extents,
	.errno_is_preserved = 1,
};

struct nbdkit_plugin *plugin_init(void); /* the macro declares none */
NBDKIT_REGISTER_PLUGIN(plugin)
