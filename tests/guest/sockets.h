// What the socket test programs share: start, loopback addresses, a listener, the error of a failing call.
#pragma once
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include "guest.h"

static inline void start(void)
{
    WSADATA data;
    int status = WSAStartup(MAKEWORD(2, 2), &data);
    say("startup: %d, version %x", status, data.wVersion);
}

// The count a call returned, or the error it left.
static inline const char *result(long long count)
{
    int error = WSAGetLastError();
    static __thread char text[2][32];
    static __thread int turn;
    turn ^= 1;
    if (count >= 0)
        snprintf(text[turn], sizeof text[turn], "%lld", count);
    else
        snprintf(text[turn], sizeof text[turn], "error %d", error);
    return text[turn];
}

static inline struct sockaddr_in here(unsigned short port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline struct sockaddr_in own_address(SOCKET socket)
{
    struct sockaddr_in address = {0};
    int length = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &length);
    return address;
}

static inline SOCKET listener(struct sockaddr_in *address)
{
    SOCKET socket_ = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    *address = here(0);
    if (bind(socket_, (struct sockaddr *)address, sizeof *address) || listen(socket_, SOMAXCONN))
        say("listener: %s", result(-1));
    *address = own_address(socket_);
    return socket_;
}

// A connected pair.
static inline void connect_pair(SOCKET *client, SOCKET *server)
{
    struct sockaddr_in address;
    SOCKET listening = listener(&address);
    *client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (connect(*client, (struct sockaddr *)&address, sizeof address))
        say("connect: %s", result(-1));
    *server = accept(listening, 0, 0);
    closesocket(listening);
}

static inline void set_nonblocking(SOCKET socket)
{
    u_long on = 1;
    ioctlsocket(socket, FIONBIO, &on);
}
