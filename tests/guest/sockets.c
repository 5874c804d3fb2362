// Sockets on the loopback: TCP in threads, select, WSAPoll, event selection, UDP, errors, options.
#include "sockets.h"

static struct sockaddr_in served;

static DWORD WINAPI echo(void *argument)
{
    SOCKET connection = accept(*(SOCKET *)argument, 0, 0);
    char buffer[1000];
    int count, total = 0;
    while ((count = recv(connection, buffer, sizeof buffer, 0)) > 0) {
        send(connection, buffer, count, 0);
        total += count;
    }
    closesocket(connection);
    return total;
}

static DWORD WINAPI send_all(void *argument)
{
    static char data[300000];
    for (int i = 0; i < (int)sizeof data; i++)
        data[i] = (char)(i * 7);
    int sent = send(*(SOCKET *)argument, data, sizeof data, 0);
    shutdown(*(SOCKET *)argument, SD_SEND);
    return sent;
}

static void tcp(void)
{
    SOCKET listening = listener(&served);
    HANDLE server = CreateThread(0, 0, echo, &listening, 0, 0);
    SOCKET client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in peer = {0};
    int length = sizeof peer;
    say("unconnected peer: %s", result(getpeername(client, (struct sockaddr *)&peer, &length)));
    say("unconnected send: %s", result(send(client, "x", 1, 0)));
    served = own_address(listening);
    say("connect: %s", result(connect(client, (struct sockaddr *)&served, sizeof served)));
    say("connect again: %s", result(connect(client, (struct sockaddr *)&served, sizeof served)));
    length = sizeof peer;
    int status = getpeername(client, (struct sockaddr *)&peer, &length);
    say("peer: %s, %d bytes, same port %d", result(status), length, peer.sin_port == served.sin_port);
    say("greeting: %s", result(send(client, "hello", 5, 0)));
    char back[8] = {0};
    int count;
    count = recv(client, back, 5, MSG_WAITALL);
    say("echo: %s [%s]", result(count), back);
    // More than the queues hold goes around while both sides work.
    HANDLE sender = CreateThread(0, 0, send_all, &client, 0, 0);
    static char all[300000];
    int total = 0, wrong = 0;
    while ((count = recv(client, all + total, sizeof all - total, 0)) > 0)
        total += count;
    for (int i = 0; i < total; i++)
        wrong += all[i] != (char)(i * 7);
    say("large echo: %d bytes, %d wrong, then %s", total, wrong, result(count));
    say("after shutdown: %s", result(send(client, "x", 1, 0)));
    WaitForSingleObject(server, INFINITE);
    WaitForSingleObject(sender, INFINITE);
    DWORD served_bytes, sent_bytes;
    GetExitCodeThread(server, &served_bytes);
    GetExitCodeThread(sender, &sent_bytes);
    say("served %lu, sent %lu", served_bytes, sent_bytes);
    closesocket(client);
    closesocket(listening);
    say("closed twice: %s", result(closesocket(client)));
}

static void readiness(void)
{
    SOCKET client, server;
    connect_pair(&client, &server);
    fd_set reading, writing, failing;
    struct timeval soon = {0, 20000};
    FD_ZERO(&reading); FD_ZERO(&writing); FD_ZERO(&failing);
    FD_SET(client, &reading);
    say("select nothing: %s", result(select(0, &reading, 0, 0, &soon)));
    say("set is empty: %d", reading.fd_count == 0);
    FD_SET(client, &reading); FD_SET(client, &writing); FD_SET(server, &reading); FD_SET(client, &failing);
    send(server, "data", 4, 0);
    say("select some: %s", result(select(0, &reading, &writing, &failing, 0)));
    say("client reads %d writes %d fails %d, server reads %d", !!FD_ISSET(client, &reading),
        !!FD_ISSET(client, &writing), !!FD_ISSET(client, &failing), !!FD_ISSET(server, &reading));
    u_long waiting = 0;
    ioctlsocket(client, FIONREAD, &waiting);
    char buffer[16] = {0};
    int count = recv(client, buffer, 16, MSG_PEEK);
    say("peek: %s, of %lu [%s]", result(count), waiting, buffer);
    recv(client, buffer, 16, 0);
    WSAPOLLFD polls[2] = {{client, POLLIN | POLLOUT, 0}, {server, POLLIN, 0}};
    count = WSAPoll(polls, 2, 100);
    say("poll: %s, %x %x", result(count), polls[0].revents, polls[1].revents);
    say("poll nothing: %s", result(WSAPoll(polls + 1, 1, 20)));
    set_nonblocking(client);
    say("nothing to read: %s", result(recv(client, buffer, 16, 0)));
    long long stuffed = 0;
    static char junk[10000];
    while ((count = send(client, junk, sizeof junk, 0)) > 0)
        stuffed += count;
    say("stuffed: more than 10000 %d, then %s", stuffed > 10000, result(count));
    say("poll: %s", result(WSAPoll(polls, 1, 0)));
    closesocket(client);
    long long drained = 0;
    while ((count = recv(server, junk, sizeof junk, 0)) > 0)
        drained += count;
    say("drained the same: %d, then %s", drained == stuffed, result(count));
    polls[1].events = POLLIN;
    count = WSAPoll(polls + 1, 1, 100);
    say("poll at the end: %s, %x", result(count), polls[1].revents);
    closesocket(server);
}

static void events(void)
{
    struct sockaddr_in address;
    SOCKET listening = listener(&address);
    WSAEVENT accepting = WSACreateEvent(), working = WSACreateEvent();
    say("select: %s", result(WSAEventSelect(listening, accepting, FD_ACCEPT)));
    say("nobody yet: %s", result((long long)(intptr_t)accept(listening, 0, 0)));
    SOCKET client = socket(AF_INET, SOCK_STREAM, 0);
    WSAEventSelect(client, working, FD_CONNECT | FD_READ | FD_WRITE | FD_CLOSE);
    say("connect: %s", result(connect(client, (struct sockaddr *)&address, sizeof address)));
    WSANETWORKEVENTS seen;
    say("wait: %s", wait_name(WaitForSingleObject(accepting, 1000)));
    WSAEnumNetworkEvents(listening, accepting, &seen);
    say("listener: %lx, error %d", seen.lNetworkEvents, seen.iErrorCode[FD_ACCEPT_BIT]);
    SOCKET server = accept(listening, 0, 0);
    say("wait: %s", wait_name(WaitForSingleObject(working, 1000)));
    WSAEnumNetworkEvents(client, working, &seen);
    say("client: %lx, error %d", seen.lNetworkEvents, seen.iErrorCode[FD_CONNECT_BIT]);
    say("reset: %s", wait_name(WaitForSingleObject(working, 0)));
    send(server, "ab", 2, 0);
    say("wait: %s", wait_name(WaitForSingleObject(working, 1000)));
    WSAEnumNetworkEvents(client, working, &seen);
    say("client: %lx", seen.lNetworkEvents);
    char buffer[4];
    recv(client, buffer, 1, 0);
    WSAEnumNetworkEvents(client, working, &seen);
    say("one left: %lx", seen.lNetworkEvents);
    recv(client, buffer, 1, 0);
    closesocket(server);
    say("wait: %s", wait_name(WaitForSingleObject(working, 1000)));
    WSAEnumNetworkEvents(client, working, &seen);
    say("client: %lx, error %d", seen.lNetworkEvents, seen.iErrorCode[FD_CLOSE_BIT]);
    u_long off = 0;
    say("blocking while selected: %s", result(ioctlsocket(client, FIONBIO, &off)));
    closesocket(client);
    closesocket(listening);
}

static void udp(void)
{
    SOCKET one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    struct sockaddr_in address = here(0), from = {0};
    int length = sizeof from;
    char buffer[32] = {0};
    say("unbound: %s", result(recvfrom(one, buffer, sizeof buffer, 0, 0, 0)));
    bind(one, (struct sockaddr *)&address, sizeof address);
    address = own_address(one);
    say("sent: %s", result(sendto(two, "datagram", 8, 0, (struct sockaddr *)&address, sizeof address)));
    int count = recvfrom(one, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
    say("received: %s [%s]", result(count), buffer);
    say("from the other: %d, %d bytes", from.sin_port == own_address(two).sin_port, length);
    say("connected: %s", result(connect(two, (struct sockaddr *)&address, sizeof address)));
    say("sent: %s", result(send(two, "again and again", 15, 0)));
    say("cut: %s", result(recv(one, buffer, 5, 0)));
    send(two, "", 0, 0);
    say("empty: %s", result(recv(one, buffer, 5, 0)));
    DWORD limit = 50;
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, (char *)&limit, sizeof limit);
    say("in time: %s", result(recv(one, buffer, 5, 0)));
    SOCKET three = socket(AF_INET, SOCK_DGRAM, 0);
    say("port in use: %s", result(bind(three, (struct sockaddr *)&address, sizeof address)));
    closesocket(one), closesocket(two), closesocket(three);
}

static void errors(void)
{
    struct sockaddr_in address = here(1), far_away = here(80);
    SOCKET client = socket(AF_INET, SOCK_STREAM, 0);
    say("refused: %s", result(connect(client, (struct sockaddr *)&address, sizeof address)));
    far_away.sin_addr.s_addr = htonl(0xC0000201);
    say("elsewhere: %s", result(connect(client, (struct sockaddr *)&far_away, sizeof far_away)));
    closesocket(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    say("bind elsewhere: %s", result(bind(client, (struct sockaddr *)&far_away, sizeof far_away)));
    say("listen unbound: %s", result(listen(client, 1)));
    set_nonblocking(client);
    say("nonblocking: %s", result(connect(client, (struct sockaddr *)&address, sizeof address)));
    fd_set writing, failing;
    FD_ZERO(&writing); FD_ZERO(&failing);
    FD_SET(client, &writing); FD_SET(client, &failing);
    struct timeval wait = {5, 0};
    say("select: %s", result(select(0, 0, &writing, &failing, &wait)));
    int error = 0, length = sizeof error;
    getsockopt(client, SOL_SOCKET, SO_ERROR, (char *)&error, &length);
    say("writes %d fails %d, error %d", !!FD_ISSET(client, &writing), !!FD_ISSET(client, &failing), error);
    closesocket(client);
    say("no family: %s", result((long long)(intptr_t)socket(99, SOCK_STREAM, 0)));
    SOCKET one, two;
    connect_pair(&one, &two);
    struct linger hard = {1, 0};
    say("linger: %s", result(setsockopt(one, SOL_SOCKET, SO_LINGER, (char *)&hard, sizeof hard)));
    closesocket(one);
    char buffer[4];
    say("reset: %s", result(recv(two, buffer, 4, 0)));
    closesocket(two);
    say("not a socket: %s", result(send(two, "x", 1, 0)));
}

static void options(void)
{
    SOCKET stream = socket(AF_INET, SOCK_STREAM, 0);
    int value = 0, length = sizeof value, on = 1;
    getsockopt(stream, SOL_SOCKET, SO_TYPE, (char *)&value, &length);
    say("type %d", value);
    setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, (char *)&on, sizeof on);
    value = 0, length = sizeof value;
    say("nodelay: %s", result(getsockopt(stream, IPPROTO_TCP, TCP_NODELAY, (char *)&value, &length)));
    say("nodelay %d", value);
    value = 0, length = sizeof value;
    getsockopt(stream, SOL_SOCKET, SO_RCVBUF, (char *)&value, &length);
    say("receive buffer %d", value);
    value = 5, length = sizeof value;
    getsockopt(stream, SOL_SOCKET, SO_ACCEPTCONN, (char *)&value, &length);
    say("listens %d", value);
    WSAPROTOCOL_INFOW information = {0};
    length = sizeof information;
    getsockopt(stream, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&information, &length);
    say("protocol %d %d %d", information.iAddressFamily, information.iSocketType, information.iProtocol);
    WSADuplicateSocketW(stream, GetCurrentProcessId(), &information);
    SOCKET twin = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &information, 0, 0);
    struct sockaddr_in address = here(0);
    bind(stream, (struct sockaddr *)&address, sizeof address);
    say("the duplicate is the same: %d", own_address(stream).sin_port == own_address(twin).sin_port);
    closesocket(stream);
    say("and lives on: %s", result(listen(twin, 1)));
    closesocket(twin);
}

int main(void)
{
    start();
    tcp();
    readiness();
    events();
    udp();
    errors();
    options();
    say("cleanup: %s", result(WSACleanup()));
    return 0;
}
