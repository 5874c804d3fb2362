// Threads that compete: used to show that two deterministic runs are alike to the byte.
#include "guest.h"

static CRITICAL_SECTION section;
static char order[4096];
static int used;

static DWORD WINAPI work(void *parameter)
{
    unsigned seed = GetTickCount() + GetCurrentThreadId();
    for (int i = 0; i < 40; i++) {
        for (volatile int spin = 0; spin < 20000 + (int)(seed % 1000); spin++)
            ;
        EnterCriticalSection(&section);
        order[used++] = 'a' + (char)(INT_PTR)parameter;
        LeaveCriticalSection(&section);
        if (i % 7 == (INT_PTR)parameter)
            Sleep(1);
    }
    return 0;
}

int main(void)
{
    HANDLE threads[4];
    FILETIME now;
    InitializeCriticalSection(&section);
    for (INT_PTR i = 0; i < 4; i++)
        threads[i] = CreateThread(0, 0, work, (void *)i, 0, 0);
    WaitForMultipleObjects(4, threads, TRUE, INFINITE);
    GetSystemTimeAsFileTime(&now);
    say("%s", order);
    say("%08lx%08lx %lu %lu", now.dwHighDateTime, now.dwLowDateTime, GetTickCount(), GetCurrentProcessId());
    return 0;
}
