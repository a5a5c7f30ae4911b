/* SPDX-License-Identifier: BSD-2-Clause */
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "volume-record.h"

/* ---- values ---- */

/* Decimal digits, above 0, below 2^63, without leading zeros. */
static bool parse_bytes(const char *text, size_t length, uint64_t *ret)
{
	uint64_t value = 0;

	if (length == 0 || length > 19 || text[0] == '0')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value > INT64_MAX)
		return false;
	*ret = value;
	return true;
}

static bool text_is(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool set_bytes(uint64_t *to, const char *value, size_t length)
{
	if (parse_bytes(value, length, to))
		return true;
	if (!text_is(value, length, "none"))
		return false;
	*to = 0;
	return true;
}

static bool set_quota(struct settings *s, const char *value, size_t length)
{
	return set_bytes(&s->quota, value, length);
}

static bool set_reservation(struct settings *s, const char *value,
			    size_t length)
{
	return set_bytes(&s->reservation, value, length);
}

static bool set_on_full(struct settings *s, const char *value, size_t length)
{
	s->pause = text_is(value, length, "pause");
	return s->pause || text_is(value, length, "error");
}

/* What there is to be set. */
static const struct known {
	const char *key;
	const char *values; /* for messages */
	const char *standard;
	bool (*set)(struct settings *s, const char *value, size_t length);
} all_known[] = {
	{"quota", "a size or none", "none", set_quota},
	{"reservation", "a size or none", "none", set_reservation},
	{"on-full", "error or pause", "error", set_on_full},
};

static const struct known *find_known(const char *key, size_t length)
{
	for (size_t i = 0; i < sizeof(all_known) / sizeof(all_known[0]); i++)
		if (text_is(key, length, all_known[i].key))
			return &all_known[i];
	return NULL;
}

/* ---- attributes ---- */

void settings_parse(const char *attrs, size_t length, struct settings *ret)
{
	*ret = (struct settings){0};
	for (size_t at = 0; at < length;) {
		const char *attr = attrs + at;
		size_t n = strnlen(attr, length - at);
		size_t key = strcspn(attr, "=");
		const struct known *known = find_known(attr, key);
		struct settings changed = *ret;

		if (known && known->set(&changed, attr + key + 1, n - key - 1))
			*ret = changed;
		at += n + 1;
	}
}

static int check_setting(const char *volume, const struct setting *settings,
			 size_t i, struct error *err)
{
	const char *key = settings[i].key, *value = settings[i].value;
	const struct known *known = find_known(key, strlen(key));
	struct settings ignored;

	if (!known)
		return error_set(err, EINVAL,
				 "%s: unknown setting, known are quota, "
				 "reservation and on-full",
				 volume);
	if (!known->set(&ignored, value, strlen(value)))
		return error_set(err, EINVAL, "%s: %s must be %s", volume, key,
				 known->values);
	for (size_t k = 0; k < i; k++)
		if (strcmp(settings[k].key, key) == 0)
			return error_set(err, EINVAL, "%s: %s is named twice",
					 volume, key);
	return 0;
}

static bool is_changed(const char *attr, const struct setting *settings,
		       size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (text_is(attr, strcspn(attr, "="), settings[i].key))
			return true;
	return false;
}

/* Append "key=value" and its zero byte. */
static int append(const char *volume, const struct setting *setting, char *to,
		  size_t *length, struct error *err)
{
	size_t key = strlen(setting->key), value = strlen(setting->value);

	if (*length + key + value + 2 > VOLUME_ATTRS_MAX_BYTES)
		return error_set(err, EINVAL,
				 "%s: no room for another attribute", volume);
	memcpy(to + *length, setting->key, key);
	to[*length + key] = '=';
	memcpy(to + *length + key + 1, setting->value, value + 1);
	*length += key + value + 2;
	return 0;
}

int settings_change(const char *volume, const char *attrs, size_t length,
		    const struct setting *settings, size_t nr, char *ret,
		    size_t *ret_length, struct error *err)
{
	size_t out = 0;
	int r = 0;

	if (nr == 0)
		return error_set(err, EINVAL, "%s: nothing to set", volume);
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = check_setting(volume, settings, i, err);
	if (r < 0)
		return r;
	/* what is not changed stays, in its order */
	for (size_t at = 0; at < length;) {
		size_t n = strnlen(attrs + at, length - at) + 1;

		if (!is_changed(attrs + at, settings, nr)) {
			memcpy(ret + out, attrs + at, n);
			out += n;
		}
		at += n;
	}
	for (size_t i = 0; r == 0 && i < nr; i++) {
		const char *key = settings[i].key;
		const struct known *known = find_known(key, strlen(key));

		if (strcmp(settings[i].value, known->standard) != 0)
			r = append(volume, &settings[i], ret, &out, err);
	}
	*ret_length = out;
	return r;
}

void settings_format_size(uint64_t bytes, char ret[SIZE_TEXT_BYTES])
{
	static const char *const units[] = {"bytes", "KiB", "MiB",
					    "GiB",   "TiB", "PiB"};
	size_t i = 0;

	while (i + 1 < sizeof(units) / sizeof(units[0]) && bytes &&
	       bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(ret, SIZE_TEXT_BYTES, "%" PRIu64 " %s", bytes, units[i]);
}
