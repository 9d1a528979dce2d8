/*
 * Unpacking of every message: hostile payloads are refused or come out within
 * the limits, and then go round: packed and unpacked again they are the same.
 * Input: kind (2 bytes), payload.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);

static void
must(int holds)
{
	if (!holds)
		abort();
}

/* Kinds are few among 65536: keep to those near ours. */
size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	(void)seed;
	len = LLVMFuzzerMutate(p, len, max);
	if (len >= 2) {
		p[0] %= 80;
		p[1] = 0;
	}
	return len;
}

static void
must_go_round(const ProtobufCMessage *m, uint16_t kind)
{
	struct buf once = BUF_INIT(MSG_LEN_MAX), twice = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;
	ProtobufCMessage *again;
	struct frame f = { kind, 0, 1, NULL, 0 };

	must(msg_kind_of(m) == kind);
	must(msg_pack(m, &once, &err) == 0);
	f.payload = once.len > 0 ? once.p : NULL;
	f.len = once.len;
	must(msg_unpack(&f, &again, &err) == 0);
	must(msg_pack(again, &twice, &err) == 0);
	must(once.len == twice.len);
	/* A reason was cleaned on the way. */
	must(once.len == 0 || kind == MSG_FAILED ||
	     memcmp(once.p, twice.p, once.len) == 0);
	msg_free(again);
	buf_free(&once);
	buf_free(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT, reason = ERR_INIT;
	ProtobufCMessage *m;
	struct frame f;

	if (len < 2)
		return 0;
	f = (struct frame){ load_le16(p), 0, 1, len > 2 ? p + 2 : NULL, len - 2 };
	if (msg_unpack(&f, &m, &err) < 0) {
		must(m == NULL && err.code == ERR_PROTOCOL);
		must(msg_is_raw(f.kind) || strchr(err.text, ' ') != NULL);
		return 0;
	}
	must(strcmp(msg_name(f.kind), m->descriptor->short_name) == 0);
	if (f.kind == MSG_FAILED) {
		Wire__Failed failed;

		must(msg_to_err((Wire__Failed *)m, &reason) == -1);
		msg_from_err(&reason, &failed);
		must_go_round(&failed.base, MSG_FAILED);
	}
	if (f.kind == MSG_WELCOME) {
		static const char *const known[] = { "a-feature", "b-feature" };
		int fit = msg_welcome_ok((Wire__Welcome *)m, known, 2, &reason);

		must(fit == 0 || reason.code == ERR_UNSUPPORTED);
		must(fit == -1 || ((Wire__Welcome *)m)->version == MSG_VERSION);
	}
	must_go_round(m, f.kind);
	msg_free(m);
	return 0;
}
