/*
 * net_sockets.h - plain sockets for the tests of net, as both systems have them.
 */
#ifndef TESTS_UNIT_NET_NET_SOCKETS_H
#define TESTS_UNIT_NET_NET_SOCKETS_H

#include <stddef.h>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>

/* Not to be asked for: there is no such signal. */
#define MSG_NOSIGNAL 0

static inline int
socket_tcp(void)
{
	WSADATA unused;

	/* Counted, so once too often does no harm. */
	return WSAStartup(MAKEWORD(2, 2), &unused) == 0
		   ? (int)socket(AF_INET, SOCK_STREAM, 0)
		   : -1;
}

static inline int
socket_read(int fd, void *p, size_t n)
{
	return recv((SOCKET)fd, p, (int)n, 0);
}

static inline void
socket_close(int fd)
{
	(void)closesocket((SOCKET)fd);
}
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int
socket_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static inline int
socket_read(int fd, void *p, size_t n)
{
	return (int)recv(fd, p, n, 0);
}

static inline void
socket_close(int fd)
{
	close(fd);
}
#endif

#endif /* TESTS_UNIT_NET_NET_SOCKETS_H */
