#include "proto/layout/layout.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"

/* Texts are a byte of length and as many bytes; no NUL, no control characters. */
static int
add_text(struct buf *out, const char *text, struct err *err)
{
	size_t n = strlen(text);

	return buf_add_u8(out, (uint8_t)n, err) != 0 || buf_add(out, text, n, err) != 0
		   ? -1
		   : 0;
}

/* Bytes of the UTF-8 character at `s` that may be shown: 0 if it is none. */
static size_t
shown(const uint8_t *s)
{
	size_t more = s[0] < 0x80		    ? 0
		      : s[0] >= 0xc2 && s[0] < 0xe0 ? 1
		      : (s[0] & 0xf0) == 0xe0	    ? 2
		      : s[0] >= 0xf0 && s[0] < 0xf5 ? 3
						    : SIZE_MAX;

	if (more == SIZE_MAX || (s[0] == 0xc2 && s[1] < 0xa0))
		return 0;
	/* Too long a form, a surrogate, past the last character. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	for (size_t i = 1; i <= more; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return more + 1;
}

/* What a terminal would take for an order, or JSON cannot hold, is a '?'. */
static void
tidy(char *text)
{
	for (size_t n; *text != '\0'; text += n > 0 ? n : 1)
		if ((n = shown((const uint8_t *)text)) == 0)
			*text = '?';
}

/* A disk's name is a volume's too. */
static int
name_ok(const char *name)
{
	return name[0] != '\0' &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789._-")] == '\0';
}

static void
take_text(struct cursor *c, char *out, size_t cap)
{
	size_t n = cursor_u8(c);
	const uint8_t *p = cursor_bytes(c, n);

	out[0] = '\0';
	if (p == NULL)
		return;
	if (n >= cap) {
		c->bad = 1;
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f) {
			c->bad = 1;
			return;
		}
	memcpy(out, p, n);
	out[n] = '\0';
	tidy(out);
}

static int
add_disk(const struct layout_disk *d, struct buf *b, struct err *err)
{
	return add_text(b, d->name, err) != 0 || buf_add_u8(b, d->volume, err) != 0 ||
		       buf_add_u8(b, d->table, err) != 0 ||
		       buf_add_u8(b, d->boots, err) != 0 ||
		       buf_add_le64(b, d->size, err) != 0 ||
		       buf_add_le32(b, d->sector_size, err) != 0 ||
		       buf_add_le32(b, d->physical_size, err) != 0 ||
		       buf_add(b, d->id, sizeof(d->id), err) != 0 ||
		       add_text(b, d->model, err) != 0 || add_text(b, d->serial, err) != 0
		   ? -1
		   : 0;
}

static int
add_partition(const struct layout_partition *p, struct buf *b, struct err *err)
{
	return buf_add_u8(b, (uint8_t)p->disk, err) != 0 ||
		       buf_add_le16(b, p->number, err) != 0 ||
		       buf_add_u8(b, p->role, err) != 0 ||
		       buf_add_u8(b, p->volume, err) != 0 ||
		       buf_add_le64(b, p->offset, err) != 0 ||
		       buf_add_le64(b, p->length, err) != 0 ||
		       buf_add(b, p->type, sizeof(p->type), err) != 0 ||
		       buf_add(b, p->id, sizeof(p->id), err) != 0 ||
		       buf_add_le64(b, p->attributes, err) != 0 ||
		       add_text(b, p->label, err) != 0
		   ? -1
		   : 0;
}

static int
add_disks(const struct layout *l, struct buf *b, struct err *err)
{
	if (buf_add_u8(b, (uint8_t)l->disks_count, err) != 0)
		return -1;
	for (unsigned i = 0; i < l->disks_count; i++)
		if (add_disk(&l->disks[i], b, err) != 0)
			return -1;
	if (buf_add_u8(b, (uint8_t)l->partitions_count, err) != 0)
		return -1;
	for (unsigned i = 0; i < l->partitions_count; i++)
		if (add_partition(&l->partitions[i], b, err) != 0)
			return -1;
	return 0;
}

static int
add_host(const struct layout *l, struct buf *b, struct err *err)
{
	if (buf_add_u8(b, l->firmware, err) != 0 ||
	    buf_add_u8(b, l->secure_boot, err) != 0 ||
	    buf_add(b, l->uuid, sizeof(l->uuid), err) != 0 ||
	    add_text(b, l->hostname, err) != 0 || add_text(b, l->vendor, err) != 0 ||
	    add_text(b, l->product, err) != 0 ||
	    buf_add_u8(b, (uint8_t)l->devices_count, err) != 0)
		return -1;
	for (unsigned i = 0; i < l->devices_count; i++)
		if (buf_add_u8(b, l->devices[i].kind, err) != 0 ||
		    add_text(b, l->devices[i].modalias, err) != 0 ||
		    add_text(b, l->devices[i].driver, err) != 0)
			return -1;
	if (buf_add_u8(b, (uint8_t)l->macs_count, err) != 0 ||
	    buf_add(b, l->macs, 6 * (size_t)l->macs_count, err) != 0 ||
	    buf_add_u8(b, (uint8_t)l->entries_count, err) != 0)
		return -1;
	for (unsigned i = 0; i < l->entries_count; i++)
		if (buf_add_le16(b, l->entries[i].number, err) != 0 ||
		    buf_add_le16(b, l->entries[i].len, err) != 0 ||
		    buf_add(b, l->entries[i].option, l->entries[i].len, err) != 0)
			return -1;
	return 0;
}

int
layout_pack(const struct layout *l, struct buf *out, struct err *err)
{
	struct buf b = BUF_INIT(LAYOUT_LEN_MAX);
	size_t before = out->len;
	int rc = 0;

	if (l->disks_count > 0)
		rc = add_disks(l, &b, err) != 0 ||
		     feature_add_field(out, LAYOUT_FIELD_DISKS, b.p, b.len, err) != 0;
	buf_clear(&b);
	if (rc == 0)
		rc = add_host(l, &b, err) != 0 ||
		     feature_add_field(out, LAYOUT_FIELD_HOST, b.p, b.len, err) != 0;
	buf_free(&b);
	if (rc == 0 && out->len - before > LAYOUT_LEN_MAX)
		rc = err_set(err, ERR_LIMIT, "more than %u bytes", LAYOUT_LEN_MAX);
	if (rc == 0)
		return 0;
	out->len = before;
	return err_context(err, "the machine's layout");
}

static void
take_disk(struct cursor *c, unsigned volumes, struct layout_disk *d)
{
	take_text(c, d->name, sizeof(d->name));
	d->volume = cursor_u8(c);
	d->table = cursor_u8(c);
	d->boots = cursor_u8(c);
	d->size = cursor_le64(c);
	d->sector_size = cursor_le32(c);
	d->physical_size = cursor_le32(c);
	cursor_copy(c, d->id, sizeof(d->id));
	take_text(c, d->model, sizeof(d->model));
	take_text(c, d->serial, sizeof(d->serial));
	if (!name_ok(d->name) || d->volume >= volumes || d->table > LAYOUT_GPT ||
	    d->boots > 1 || d->sector_size < 512 || d->sector_size > 4096 ||
	    (d->sector_size & (d->sector_size - 1)) != 0 || d->size == 0 ||
	    d->size > INT64_MAX || d->size % d->sector_size != 0)
		c->bad = 1;
}

static void
take_partition(struct cursor *c, unsigned volumes, const struct layout *l,
    struct layout_partition *p)
{
	const struct layout_partition *before = NULL;
	const struct layout_disk *d;

	p->disk = cursor_u8(c);
	p->number = cursor_le16(c);
	p->role = cursor_u8(c);
	p->volume = cursor_u8(c);
	p->offset = cursor_le64(c);
	p->length = cursor_le64(c);
	cursor_copy(c, p->type, sizeof(p->type));
	cursor_copy(c, p->id, sizeof(p->id));
	p->attributes = cursor_le64(c);
	take_text(c, p->label, sizeof(p->label));
	if (c->bad || p->disk >= l->disks_count || p->role > LAYOUT_EXTENDED ||
	    (p->volume != LAYOUT_NO_VOLUME && p->volume >= volumes)) {
		c->bad = 1;
		return;
	}
	d = &l->disks[p->disk];
	if (p->length == 0 || p->offset >= d->size || p->length > d->size - p->offset ||
	    p->offset % d->sector_size != 0 || p->length % d->sector_size != 0)
		c->bad = 1;
	if (p != l->partitions)
		before = p - 1;
	/* In order; only an extended one has others in it. */
	if (before != NULL &&
	    (before->disk > p->disk ||
		(before->disk == p->disk &&
		    (before->offset > p->offset ||
			(before->role != LAYOUT_EXTENDED &&
			    before->offset + before->length > p->offset)))))
		c->bad = 1;
}

static void
take_disks(struct cursor *c, unsigned volumes, struct layout *l)
{
	unsigned n = cursor_u8(c);

	if (n == 0 || n > LAYOUT_DISKS_MAX)
		c->bad = 1;
	for (; !c->bad && l->disks_count < n; l->disks_count++)
		take_disk(c, volumes, &l->disks[l->disks_count]);
	n = cursor_u8(c);
	if (n > LAYOUT_PARTITIONS_MAX)
		c->bad = 1;
	for (; !c->bad && l->partitions_count < n; l->partitions_count++)
		take_partition(c, volumes, l, &l->partitions[l->partitions_count]);
}

static void
take_entries(struct cursor *c, struct layout *l)
{
	unsigned n = cursor_u8(c);

	if (n > LAYOUT_ENTRIES_MAX)
		c->bad = 1;
	for (; !c->bad && l->entries_count < n; l->entries_count++) {
		struct layout_entry *e = &l->entries[l->entries_count];

		e->number = cursor_le16(c);
		e->len = cursor_le16(c);
		if (e->len > sizeof(e->option)) {
			c->bad = 1;
			e->len = 0;
		}
		cursor_copy(c, e->option, e->len);
	}
}

static void
take_host(struct cursor *c, struct layout *l)
{
	unsigned n;

	l->firmware = cursor_u8(c);
	l->secure_boot = cursor_u8(c);
	cursor_copy(c, l->uuid, sizeof(l->uuid));
	take_text(c, l->hostname, sizeof(l->hostname));
	take_text(c, l->vendor, sizeof(l->vendor));
	take_text(c, l->product, sizeof(l->product));
	n = cursor_u8(c);
	if (l->firmware > LAYOUT_UEFI || l->secure_boot > 1 || n > LAYOUT_DEVICES_MAX)
		c->bad = 1;
	for (; !c->bad && l->devices_count < n; l->devices_count++) {
		struct layout_device *d = &l->devices[l->devices_count];

		d->kind = cursor_u8(c);
		take_text(c, d->modalias, sizeof(d->modalias));
		take_text(c, d->driver, sizeof(d->driver));
		if (d->kind > LAYOUT_NETWORK)
			c->bad = 1;
	}
	n = cursor_u8(c);
	if (n > LAYOUT_MACS_MAX)
		c->bad = 1;
	for (; !c->bad && l->macs_count < n; l->macs_count++)
		cursor_copy(c, l->macs[l->macs_count], 6);
	if (!c->bad)
		take_entries(c, l);
}

int
layout_parse(
    const uint8_t *p, size_t len, unsigned volumes, struct layout *out, struct err *err)
{
	struct feature_field f;
	struct cursor c;
	unsigned seen = 0;
	size_t at = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	/* What follows in a field is of a later version. */
	while ((rc = feature_next(p, len, &at, &f)) == 1) {
		uint16_t type = f.type & (uint16_t)~FEATURE_FIELD_REQUIRED;

		if (type != LAYOUT_FIELD_DISKS && type != LAYOUT_FIELD_HOST)
			continue;
		cursor_init(&c, f.p, f.len);
		if ((seen & (1u << type)) != 0)
			c.bad = 1;
		else if (type == LAYOUT_FIELD_DISKS)
			take_disks(&c, volumes, out);
		else
			take_host(&c, out);
		seen |= 1u << type;
		if (c.bad) {
			memset(out, 0, sizeof(*out));
			return err_set(err, ERR_CORRUPT,
			    "the machine's layout makes no sense (field %u)", type);
		}
	}
	if (rc < 0) {
		memset(out, 0, sizeof(*out));
		return err_set(
		    err, ERR_CORRUPT, "the machine's layout: not typed fields");
	}
	return 0;
}

static int
is_ours(const struct feature_field *f)
{
	return f->type == LAYOUT_FIELD_DISKS || f->type == LAYOUT_FIELD_HOST;
}

int
layout_only(const uint8_t *p, size_t len, struct err *err)
{
	struct feature_field f;
	uint16_t last = 0;
	size_t at = 0;
	int rc;

	while ((rc = feature_next(p, len, &at, &f)) == 1) {
		if (!is_ours(&f) || f.type <= last)
			rc = -1;
		if (rc < 0)
			break;
		last = f.type;
	}
	if (rc < 0)
		return err_set(err, ERR_CORRUPT, "the machine's layout has other fields");
	return 0;
}

size_t
layout_find(const uint8_t *p, size_t len, const uint8_t **out)
{
	struct feature_field f;
	size_t at = 0, before = 0, n = 0;

	*out = p;
	while (feature_next(p, len, &at, &f) == 1) {
		if (is_ours(&f)) {
			if (n == 0)
				*out = p + before;
			n += at - before;
		}
		before = at;
	}
	return n;
}

const struct layout_disk *
layout_disk_find(const struct layout *l, const char *name)
{
	if (name[0] == '\0')
		return l->disks_count == 1 ? &l->disks[0] : NULL;
	for (unsigned i = 0; i < l->disks_count; i++)
		if (strcmp(l->disks[i].name, name) == 0)
			return &l->disks[i];
	return NULL;
}

void
layout_guid(const uint8_t g[16], char out[37])
{
	(void)snprintf(out, 37, "%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X",
	    (unsigned)load_le32(g), load_le16(g + 4), load_le16(g + 6), g[8], g[9], g[10],
	    g[11], g[12], g[13], g[14], g[15]);
}
