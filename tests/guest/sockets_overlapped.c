// Overlapped sockets: events, APCs, completion ports, AcceptEx, ConnectEx, DisconnectEx, cancelling, name resolution.
#include "sockets.h"

static int apcs, apc_bytes;

static void CALLBACK apc(DWORD error, DWORD bytes, OVERLAPPED *overlapped, DWORD flags)
{
    (void)error, (void)overlapped, (void)flags;
    apcs++;
    apc_bytes += bytes;
}

static void *extension(SOCKET socket, GUID name)
{
    void *function = 0;
    DWORD bytes;
    if (WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, sizeof name, &function, sizeof function, &bytes, 0, 0))
        say("extension: %s", result(-1));
    return function;
}

static const char *started(int status)
{
    return status == 0 ? "done" : WSAGetLastError() == WSA_IO_PENDING ? "pending" : result(-1);
}

static void overlapped(void)
{
    SOCKET client, server;
    connect_pair(&client, &server);
    char buffer[16] = {0};
    WSABUF parts[2] = {{3, buffer}, {8, buffer + 8}};
    OVERLAPPED receive = {.hEvent = WSACreateEvent()};
    DWORD flags = 0, bytes = 0;
    say("receive: %s", started(WSARecv(server, parts, 2, 0, &flags, &receive, 0)));
    say("early: %s", wait_name(WaitForSingleObject(receive.hEvent, 20)));
    WSABUF out[2] = {{2, "ab"}, {3, "cde"}};
    say("send: %s", result(WSASend(client, out, 2, &bytes, 0, 0, 0)));
    say("sent %lu", bytes);
    say("wait: %s", wait_name(WaitForSingleObject(receive.hEvent, 1000)));
    BOOL got = WSAGetOverlappedResult(server, &receive, &bytes, FALSE, &flags);
    say("received: %s %lu [%.3s] [%s]", outcome(got), bytes, buffer, buffer + 8);

    OVERLAPPED alert = {0};
    say("with an apc: %s", started(WSARecv(server, parts, 1, 0, &flags, &alert, apc)));
    send(client, "xyz", 3, 0);
    say("wait: %s", wait_name(SleepEx(1000, TRUE)));
    say("apcs %d, bytes %d", apcs, apc_bytes);

    say("to cancel: %s", started(WSARecv(server, parts, 1, 0, &flags, &receive, 0)));
    say("cancel: %s", outcome(CancelIoEx((HANDLE)server, &receive)));
    got = WSAGetOverlappedResult(server, &receive, &bytes, TRUE, &flags);
    say("cancelled: %s", outcome(got));
    say("to close: %s", started(WSARecv(server, parts, 1, 0, &flags, &receive, 0)));
    closesocket(server);
    say("closed: %s, status %lx", wait_name(WaitForSingleObject(receive.hEvent, 1000)), (unsigned long)receive.Internal);
    closesocket(client);
}

static DWORD WINAPI close_later(void *socket)
{
    Sleep(50);
    closesocket(*(SOCKET *)socket);
    return 0;
}

// Waits for two completions, which may come in any order.
static void completed(HANDLE port, const char *first, OVERLAPPED *one, const char *second, OVERLAPPED *two)
{
    char lines[2][64] = {"nothing", "nothing"};
    for (int i = 0; i < 2; i++) {
        DWORD bytes = 0;
        ULONG_PTR key = 0;
        OVERLAPPED *done = 0;
        BOOL got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 5000);
        if (done == one || done == two)
            snprintf(lines[done == two], sizeof lines[0], "%s, %lu bytes, key %d", outcome(got), bytes, (int)key);
    }
    say("%s: %s", first, lines[0]);
    say("%s: %s", second, lines[1]);
}

static void ports(void)
{
    struct sockaddr_in address, any = {.sin_family = AF_INET};
    SOCKET listening = listener(&address), accepted = socket(AF_INET, SOCK_STREAM, 0);
    SOCKET client = socket(AF_INET, SOCK_STREAM, 0);
    LPFN_ACCEPTEX accept_ex = (LPFN_ACCEPTEX)extension(listening, (GUID)WSAID_ACCEPTEX);
    LPFN_CONNECTEX connect_ex = (LPFN_CONNECTEX)extension(listening, (GUID)WSAID_CONNECTEX);
    LPFN_DISCONNECTEX disconnect_ex = (LPFN_DISCONNECTEX)extension(listening, (GUID)WSAID_DISCONNECTEX);
    LPFN_GETACCEPTEXSOCKADDRS addresses =
        (LPFN_GETACCEPTEXSOCKADDRS)extension(listening, (GUID)WSAID_GETACCEPTEXSOCKADDRS);
    HANDLE port = CreateIoCompletionPort((HANDLE)listening, 0, 1, 0);
    CreateIoCompletionPort((HANDLE)client, port, 2, 0);
    CreateIoCompletionPort((HANDLE)accepted, port, 3, 0);
    char block[64 + 2 * (sizeof(struct sockaddr_in) + 16)] = {0};
    OVERLAPPED accepting = {0}, connecting = {0}, reading = {0}, leaving = {0};
    DWORD bytes = 0, flags = 0, room = sizeof(struct sockaddr_in) + 16;
    BOOL now = accept_ex(listening, accepted, block, 64, room, room, &bytes, &accepting);
    say("accept: %s", started(now ? 0 : -1));
    say("unbound connect: %s", outcome(connect_ex(client, (struct sockaddr *)&address, sizeof address, 0, 0, 0, &connecting)));
    bind(client, (struct sockaddr *)&any, sizeof any);
    now = connect_ex(client, (struct sockaddr *)&address, sizeof address, "first", 5, &bytes, &connecting);
    say("connect: %s", now || WSAGetLastError() == WSA_IO_PENDING ? "started" : result(-1));
    completed(port, "accepted", &accepting, "connected", &connecting);
    say("context: %s %s", result(setsockopt(accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&listening, sizeof listening)),
        result(setsockopt(client, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, 0, 0)));
    struct sockaddr *local, *remote;
    int local_length, remote_length;
    addresses(block, 64, room, room, &local, &local_length, &remote, &remote_length);
    say("data [%s], local right %d, remote right %d, lengths %d %d", block,
        ((struct sockaddr_in *)local)->sin_port == address.sin_port,
        ((struct sockaddr_in *)remote)->sin_port == own_address(client).sin_port, local_length, remote_length);
    WSABUF buffer = {64, block};
    say("read: %s", started(WSARecv(accepted, &buffer, 1, 0, &flags, &reading, 0)));
    now = disconnect_ex(client, &leaving, 0, 0);
    say("disconnect: %s", now || WSAGetLastError() == WSA_IO_PENDING ? "started" : result(-1));
    completed(port, "read", &reading, "disconnected", &leaving);
    closesocket(accepted), closesocket(client);

    HANDLE closer = CreateThread(0, 0, close_later, &listening, 0, 0);
    say("accept on what is closed: %s", result((long long)(intptr_t)accept(listening, 0, 0)));
    WaitForSingleObject(closer, INFINITE);
}

static void names(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = 0;
    say("localhost: %d", getaddrinfo("localhost", "80", &hints, &found));
    if (found) {
        struct sockaddr_in *address = (struct sockaddr_in *)found->ai_addr;
        say("%s port %d, type %d", inet_ntoa(address->sin_addr), ntohs(address->sin_port), found->ai_socktype);
        freeaddrinfo(found);
    }
    hints.ai_family = AF_INET6, hints.ai_flags = AI_NUMERICHOST;
    say("numeric: %d", getaddrinfo("::1", "0", &hints, &found));
    say("length %d", (int)found->ai_addrlen);
    freeaddrinfo(found);
    say("unknown: %d", getaddrinfo("no.such.name.invalid", 0, 0, &found));
    char host[64], service[16];
    struct sockaddr_in address = here(8080);
    say("name: %d", getnameinfo((struct sockaddr *)&address, sizeof address, host, 64, service, 16, NI_NUMERICHOST | NI_NUMERICSERV));
    say("%s %s", host, service);
    struct hostent *entry = gethostbyname("localhost");
    say("by name: %s", entry ? inet_ntoa(*(struct in_addr *)entry->h_addr_list[0]) : "none");
    say("own name: %s %d", result(gethostname(host, sizeof host)), host[0] != 0);
}

int main(void)
{
    start();
    overlapped();
    ports();
    names();
    return 0;
}
