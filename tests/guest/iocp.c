// I/O completion ports: posted packets, file completions, several threads, timeouts, and the thread pool above them.
#include "guest.h"

static HANDLE port;
static LONG sum, pool_sum;

static DWORD WINAPI serve(void *unused)
{
    (void)unused;
    DWORD bytes, served = 0;
    ULONG_PTR key;
    OVERLAPPED *overlapped;
    while (GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, INFINITE) && key != 99) {
        InterlockedExchangeAdd(&sum, bytes);
        served++;
    }
    return served;
}

static void CALLBACK pool_work(PTP_CALLBACK_INSTANCE instance, void *context, PTP_WORK work)
{
    (void)instance, (void)work;
    InterlockedExchangeAdd(&pool_sum, *(LONG *)context);
}

int main(void)
{
    DWORD bytes = 0;
    ULONG_PTR key = 0;
    OVERLAPPED *done = 0, mark;
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0, 0, 2);
    say("empty: %s", outcome(GetQueuedCompletionStatus(port, &bytes, &key, &done, 20)));
    for (int i = 1; i <= 3; i++)
        PostQueuedCompletionStatus(port, i * 10, i, &mark);
    for (int i = 0; i < 2; i++) {
        BOOL got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 0);
        say("posted: %s, %lu bytes, key %llu, mark %d", outcome(got), bytes, (unsigned long long)key, done == &mark);
    }
    OVERLAPPED_ENTRY entries[4];
    ULONG count = 0;
    PostQueuedCompletionStatus(port, 40, 4, 0);
    BOOL got = GetQueuedCompletionStatusEx(port, entries, 4, &count, 100, FALSE);
    say("several: %s, %lu, keys %llu %llu", outcome(got), count, (unsigned long long)entries[0].lpCompletionKey,
        (unsigned long long)entries[1].lpCompletionKey);

    HANDLE file = CreateFileA("iocp.dat", GENERIC_READ | GENERIC_WRITE, 0, 0, CREATE_ALWAYS, FILE_FLAG_OVERLAPPED, 0);
    say("associate: %s", outcome(CreateIoCompletionPort(file, port, 7, 0) == port));
    say("associate again: %s", outcome(CreateIoCompletionPort(file, port, 8, 0) == port));
    static char data[8192], back[8192];
    memset(data, 'n', sizeof data);
    OVERLAPPED write = {.Offset = 4096}, read = {.Offset = 0};
    BOOL now = WriteFile(file, data, sizeof data, 0, &write);
    say("write: %s", now || GetLastError() == ERROR_IO_PENDING ? "started" : outcome(FALSE));
    got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 5000);
    say("completed: %s, %lu bytes, key %llu, own %d", outcome(got), bytes, (unsigned long long)key, done == &write);
    now = ReadFile(file, back, sizeof back, 0, &read);
    say("read: %s", now || GetLastError() == ERROR_IO_PENDING ? "started" : outcome(FALSE));
    got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 5000);
    say("completed: %s, %lu bytes, own %d", outcome(got), bytes, done == &read);
    say("content: %d %c", back[0], back[4096]);
    OVERLAPPED beyond = {.Offset = 1 << 20};
    now = ReadFile(file, back, 16, 0, &beyond);
    DWORD error = GetLastError();
    if (now || error == ERROR_IO_PENDING) {
        got = GetQueuedCompletionStatus(port, &bytes, &key, &done, 5000);
        error = got ? 0 : GetLastError();
    }
    say("beyond the end: error %lu", error);
    CloseHandle(file);
    DeleteFileA("iocp.dat");

    HANDLE threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = CreateThread(0, 0, serve, 0, 0, 0);
    for (int i = 1; i <= 1000; i++)
        PostQueuedCompletionStatus(port, i, 1, 0);
    for (int i = 0; i < 4; i++)
        PostQueuedCompletionStatus(port, 0, 99, 0);
    say("servers: %s", wait_name(WaitForMultipleObjects(4, threads, TRUE, 10000)));
    DWORD served = 0, each;
    for (int i = 0; i < 4; i++)
        GetExitCodeThread(threads[i], &each), served += each;
    say("served %lu, sum %ld", served, sum);

    LONG two = 2;
    PTP_WORK work = CreateThreadpoolWork(pool_work, &two, 0);
    for (int i = 0; i < 50; i++)
        SubmitThreadpoolWork(work);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    say("pool sum %ld", pool_sum);
    CloseThreadpoolWork(work);
    CloseHandle(port);
    return 0;
}
