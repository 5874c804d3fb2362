// Polling as event loops do that talk to the device themselves: a file of their own, a completion port, no Winsock.
#include "sockets.h"
#include <winternl.h>

NTSTATUS NTAPI NtDeviceIoControlFile(HANDLE, HANDLE, PIO_APC_ROUTINE, PVOID, PIO_STATUS_BLOCK, ULONG, PVOID, ULONG, PVOID, ULONG);
#define IOCTL_AFD_POLL 0x12024

int main(void)
{
    start();
    SOCKET client, server;
    connect_pair(&client, &server);
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, L"\\Device\\Afd\\Test");
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, 0, 0, 0);
    IO_STATUS_BLOCK status;
    HANDLE device;
    say("open %lx", (long)NtCreateFile(&device, SYNCHRONIZE, &attributes, &status, 0, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, 1, 0, 0, 0));
    HANDLE port = CreateIoCompletionPort(device, 0, 5, 0);
    struct {
        LONGLONG timeout;
        ULONG count, exclusive;
        HANDLE socket;
        ULONG events;
        LONG status;
    } poll = {MAXLONGLONG, 1, 0, (HANDLE)server, 0x19, 0};
    say("poll %lx", (long)NtDeviceIoControlFile(device, 0, 0, &poll, &status, IOCTL_AFD_POLL, &poll, sizeof poll, &poll, sizeof poll));
    send(client, "x", 1, 0);
    DWORD bytes = 0;
    ULONG_PTR key = 0;
    OVERLAPPED *done = 0;
    BOOL got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 5000);
    say("%s, %lu bytes, key %d, own %d", outcome(got), bytes, (int)key, (void *)done == &poll);
    say("%lu socket, events %lx, own %d", poll.count, poll.events, poll.socket == (HANDLE)server);
    closesocket(client);
    closesocket(server);
    return 0;
}
