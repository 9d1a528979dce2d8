/* proto/tls talks TLS 1.3 with others: an unmodified mbedTLS and OpenSSL, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tls/tls_pair.h"

#define PIECE 50000
#define ROUNDS 20

static struct pair_ca ca;
static struct pair_id server_id, agent_id;
static char dir[] = "/tmp/holdfast-tls-XXXXXX";

static void
save(const char *name, const void *p, size_t n)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* The files another program needs to be `id`. */
static void
become(const struct pair_id *id)
{
	struct err err = ERR_INIT;
	uint8_t der[256];
	char pem[8192];
	size_t n;

	save("ca.der", ca.cert.der, ca.cert.len);
	assert_int_equal(cert_to_pem(&ca.cert, pem, sizeof(pem), &err), 0);
	save("ca.pem", pem, strlen(pem));
	assert_int_equal(cert_to_pem(&id->id.cert, pem, sizeof(pem), &err), 0);
	save("cert.pem", pem, strlen(pem));
	save("cert.der", id->id.cert.der, id->id.cert.len);
	assert_int_equal(cert_key_save(id->key, der, sizeof(der), &n, &err), 0);
	save("key.der", der, n);
}

static int
setup(void **state)
{
	int64_t now = (int64_t)time(NULL);

	(void)state;
	/* Nothing here may hang for ever. */
	(void)alarm(120);
	(void)signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		return -1;
	pair_ca_make(&ca, "interop-ca");
	pair_id_make(&server_id, &ca, CERT_SERVER, "backup1", now - 60, now + PAIR_DAY);
	pair_id_make(&agent_id, &ca, CERT_AGENT, "host-7", now - 60, now + PAIR_DAY);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "ca.der", "ca.pem", "cert.pem", "cert.der",
		"key.der" };
	char path[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
	cert_key_free(server_id.key);
	cert_key_free(agent_id.key);
	cert_key_free(ca.key);
	return 0;
}

/* Start argv with these descriptors as 0 and 1; the child's own stderr is kept. */
static pid_t
start(char *const argv[], int in, int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(in, 0);
		(void)dup2(out, 1);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static int
ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Our side over a blocking socket. */
static int
flush(struct tls *t, int fd)
{
	const uint8_t *p;
	size_t n;
	ssize_t r;

	while ((n = tls_output(t, &p)) > 0) {
		if ((r = write(fd, p, n)) <= 0)
			return -1;
		tls_sent(t, (size_t)r);
	}
	return 0;
}

/* Read what is there for us; TLS_WANT never comes back. */
static enum tls_result
receive(struct tls *t, int fd, uint8_t *p, size_t cap, size_t *got, struct err *err)
{
	uint8_t raw[20000];
	enum tls_result r;
	ssize_t n;

	for (;;) {
		r = tls_read(t, p, cap, got, err);
		(void)flush(t, fd);
		if (r != TLS_WANT)
			return r;
		n = read(fd, raw, sizeof(raw));
		if (n <= 0)
			return TLS_END;
		if (tls_input(t, raw, (size_t)n, err) != 0)
			return TLS_FAILED;
	}
}

static void
echo(struct tls *t, int fd)
{
	static uint8_t b[PIECE];
	struct err err = ERR_INIT;
	enum tls_result r;
	size_t got, all = 0;

	while ((r = receive(t, fd, b, sizeof(b), &got, &err)) == TLS_DATA) {
		assert_int_equal(tls_write(t, b, got, &err), 0);
		assert_int_equal(flush(t, fd), 0);
		all += got;
	}
	assert_int_equal(r, TLS_END);
	assert_int_equal(all, PIECE * ROUNDS);
	tls_shutdown(t);
	(void)flush(t, fd);
}

static void
be_echoed(struct tls *t, int fd)
{
	static uint8_t out[PIECE], in[PIECE];
	struct err err = ERR_INIT;
	size_t got, have, i;
	int round;

	/* The handshake: nothing is to be read, so one byte is sent by the first write.
	 */
	while (!tls_open(t)) {
		uint8_t raw[20000];
		ssize_t n;

		assert_int_equal(tls_read(t, in, 1, &got, &err), TLS_WANT);
		assert_int_equal(flush(t, fd), 0);
		if (tls_open(t))
			break;
		assert_true((n = read(fd, raw, sizeof(raw))) > 0);
		assert_int_equal(tls_input(t, raw, (size_t)n, &err), 0);
	}
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < PIECE; i++)
			out[i] = (uint8_t)(i * 11 + (size_t)round);
		assert_int_equal(tls_write(t, out, PIECE, &err), 0);
		assert_int_equal(flush(t, fd), 0);
		for (have = 0; have < PIECE; have += got)
			assert_int_equal(
			    receive(t, fd, in + have, PIECE - have, &got, &err),
			    TLS_DATA);
		assert_memory_equal(in, out, PIECE);
	}
	tls_shutdown(t);
	(void)flush(t, fd);
}

static struct tls_config *
config_of(int server)
{
	struct err err = ERR_INIT;
	struct tls_config *c;

	if (server)
		assert_int_equal(tls_config_server(&server_id.id, &ca.cert, &c, &err), 0);
	else
		assert_int_equal(
		    tls_config_client(&agent_id.id, &ca.cert, NULL, &c, &err), 0);
	return c;
}

static void
with_plain_mbedtls(int we_serve)
{
	struct tls_config *c = config_of(we_serve);
	struct tls *t = tls_new(c);
	char *argv[] = { (char *)PLAIN_PEER, (char *)(we_serve ? "client" : "server"),
		dir, NULL };
	int s[2];
	pid_t pid;

	assert_non_null(t);
	become(we_serve ? &agent_id : &server_id);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	pid = start(argv, s[1], 2);
	(void)close(s[1]);
	if (we_serve)
		echo(t, s[0]);
	else
		be_echoed(t, s[0]);
	assert_string_equal(tls_suite(t), "TLS1-3-CHACHA20-POLY1305-SHA256");
	assert_int_equal(tls_peer(t)->trust, TLS_TRUSTED);
	assert_string_equal(tls_peer(t)->cert.name, we_serve ? "host-7" : "backup1");
	/* It still says goodbye, to an open socket. */
	assert_int_equal(ended(pid), 0);
	(void)close(s[0]);
	tls_free(t);
	tls_config_free(c);
}

static void
test_our_server_with_a_plain_mbedtls(void **state)
{
	(void)state;
	with_plain_mbedtls(1);
}

static void
test_our_client_with_a_plain_mbedtls(void **state)
{
	(void)state;
	with_plain_mbedtls(0);
}

/* A listening socket on loopback; its port as text. */
static int
listener(char port[16])
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memset(&a, 0, sizeof(a));
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(port, 16, "%d", ntohs(a.sin_port));
	return fd;
}

/*
 * openssl s_client with our server.  `suite` NULL: TLS 1.2, and then `*err` says
 * what our side made of it.
 */
static void
with_s_client(const char *suite, const char *our_name, struct err *err)
{
	char where[40] = "127.0.0.1:", cafile[60], cert[60], key[60], got_line[16];
	char *with13[] = { (char *)"openssl", (char *)"s_client", (char *)"-quiet",
		(char *)"-connect", where, (char *)"-CAfile", cafile, (char *)"-cert",
		cert, (char *)"-key", key, (char *)"-keyform", (char *)"DER",
		(char *)"-alpn", (char *)TLS_ALPN, (char *)"-verify_return_error",
		(char *)"-verify", (char *)"1",
		suite ? (char *)"-ciphersuites" : (char *)"-tls1_2", (char *)suite,
		NULL };
	struct tls_config *c = config_of(1);
	struct tls *t = tls_new(c);
	int l = listener(where + 10), to[2], from[2], fd;
	enum tls_result r;
	uint8_t b[100];
	size_t got;
	pid_t pid;

	become(&agent_id);
	(void)snprintf(cafile, sizeof(cafile), "%s/ca.pem", dir);
	(void)snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/key.der", dir);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = start(with13, to[0], from[1]);
	(void)close(to[0]);
	(void)close(from[1]);
	fd = accept(l, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(write(to[1], "ping\n", 5), 5);
	r = receive(t, fd, b, sizeof(b), &got, err);
	if (suite != NULL) {
		assert_int_equal(r, TLS_DATA);
		assert_int_equal(got, 5);
		assert_memory_equal(b, "ping\n", 5);
		assert_string_equal(tls_suite(t), our_name);
		assert_int_equal(tls_peer(t)->trust, TLS_TRUSTED);
		assert_string_equal(tls_peer(t)->cert.name, "host-7");
		assert_int_equal(tls_write(t, (const uint8_t *)"pong\n", 5, err), 0);
		tls_shutdown(t);
		assert_int_equal(flush(t, fd), 0);
		assert_int_equal(read(from[0], got_line, sizeof(got_line)), 5);
		assert_memory_equal(got_line, "pong\n", 5);
	} else {
		assert_int_equal(r, TLS_FAILED);
	}
	(void)close(fd);
	(void)close(l);
	(void)close(to[1]);
	(void)close(from[0]);
	(void)ended(pid);
	tls_free(t);
	tls_config_free(c);
}

static void
test_openssl_as_client(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	with_s_client(
	    "TLS_CHACHA20_POLY1305_SHA256", "TLS1-3-CHACHA20-POLY1305-SHA256", &err);
	with_s_client("TLS_AES_128_GCM_SHA256", "TLS1-3-AES-128-GCM-SHA256", &err);
	assert_int_equal(err.code, ERR_NONE);
	with_s_client(NULL, NULL, &err);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_string_equal(err.text, "the peer does not speak TLS 1.3");
}

/* The port from s_server's "ACCEPT 127.0.0.1:12345", or -1. */
static int
read_port(int fd)
{
	char line[400], *at;
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(line) - 1 && (r = read(fd, line + n, 1)) == 1) {
		n++;
		if (line[n - 1] != '\n')
			continue;
		line[n] = '\0';
		if (strstr(line, "ACCEPT") != NULL && (at = strrchr(line, ':')) != NULL)
			return atoi(at + 1);
		n = 0;
	}
	return -1;
}

static void
with_s_server(const char *suite, const char *our_name, struct err *err)
{
	static const char said[] = "hello, holdfast\n", back[] = "tsafdloh ,olleh\n";
	char cafile[60], cert[60], key[60];
	char *argv[] = { (char *)"openssl", (char *)"s_server", (char *)"-accept",
		(char *)"127.0.0.1:0", (char *)"-naccept", (char *)"1", (char *)"-rev",
		(char *)"-CAfile", cafile, (char *)"-cert", cert, (char *)"-key", key,
		(char *)"-keyform", (char *)"DER", (char *)"-alpn", (char *)TLS_ALPN,
		(char *)"-verify_return_error", (char *)"-Verify", (char *)"1",
		suite ? (char *)"-ciphersuites" : (char *)"-tls1_2", (char *)suite,
		NULL };
	struct tls_config *c = config_of(0);
	struct tls *t = tls_new(c);
	int from[2], port, null[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a;
	enum tls_result r;
	uint8_t b[100];
	size_t got, have = 0;
	pid_t pid;

	become(&server_id);
	(void)snprintf(cafile, sizeof(cafile), "%s/ca.pem", dir);
	(void)snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/key.der", dir);
	assert_int_equal(pipe(from), 0);
	assert_int_equal(pipe(null), 0);
	pid = start(argv, null[0], from[1]);
	(void)close(from[1]);
	port = read_port(from[0]);
	assert_true(port > 0);
	memset(&a, 0, sizeof(a));
	a.sin_family = AF_INET;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	while ((r = tls_read(t, b, sizeof(b), &got, err)) == TLS_WANT && !tls_open(t)) {
		ssize_t n;

		assert_int_equal(flush(t, fd), 0);
		if ((n = read(fd, b, sizeof(b))) <= 0)
			break;
		assert_int_equal(tls_input(t, b, (size_t)n, err), 0);
	}
	if (suite != NULL) {
		assert_int_equal(r, TLS_WANT);
		assert_string_equal(tls_suite(t), our_name);
		assert_string_equal(tls_peer(t)->cert.name, "backup1");
		assert_int_equal(
		    tls_write(t, (const uint8_t *)said, sizeof(said) - 1, err), 0);
		assert_int_equal(flush(t, fd), 0);
		for (; have < sizeof(back) - 1; have += got)
			assert_int_equal(
			    receive(t, fd, b + have, sizeof(b) - have, &got, err),
			    TLS_DATA);
		assert_memory_equal(b, back, sizeof(back) - 1);
		tls_shutdown(t);
		(void)flush(t, fd);
	} else {
		assert_int_equal(r, TLS_FAILED);
	}
	(void)close(fd);
	(void)close(null[0]);
	(void)close(null[1]);
	(void)kill(pid, SIGTERM);
	(void)ended(pid);
	(void)close(from[0]);
	tls_free(t);
	tls_config_free(c);
}

static void
test_openssl_as_server(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	with_s_server(
	    "TLS_CHACHA20_POLY1305_SHA256", "TLS1-3-CHACHA20-POLY1305-SHA256", &err);
	with_s_server("TLS_AES_128_GCM_SHA256", "TLS1-3-AES-128-GCM-SHA256", &err);
	assert_int_equal(err.code, ERR_NONE);
	with_s_server(NULL, NULL, &err);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_string_equal(err.text, "the peer does not speak TLS 1.3");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_our_server_with_a_plain_mbedtls),
		cmocka_unit_test(test_our_client_with_a_plain_mbedtls),
		cmocka_unit_test(test_openssl_as_client),
		cmocka_unit_test(test_openssl_as_server),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
