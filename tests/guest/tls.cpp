// Thread-local storage with lifetimes: thread_local objects, FLS callbacks, exit codes and detach order.
#include "guest.h"
#include <process.h>

struct Tracker {
    int value = 0;
    ~Tracker() { say("  destroy thread_local %d", value); }
};

static thread_local Tracker tracker;
static DWORD fls, tls;

static int fls_sum;

// Counts only: whether it runs before or after the thread_local destructors is not documented.
static void WINAPI on_fls(void *value) { fls_sum += (int)(INT_PTR)value; }

static DWORD WINAPI work(void *parameter)
{
    int index = (int)(INT_PTR)parameter;
    say("thread %d: tls %p, fls %p", index, TlsGetValue(tls), FlsGetValue(fls));
    TlsSetValue(tls, parameter);
    FlsSetValue(fls, parameter);
    tracker.value = index;
    if (index == 2)
        ExitThread(22);
    return 11 * index;
}

static unsigned __stdcall crt_thread(void *) { tracker.value = 3; return 33; }

static void join(HANDLE thread)
{
    DWORD code;
    GetExitCodeThread(thread, &code);
    if (WaitForSingleObject(thread, 10000) != WAIT_OBJECT_0)
        say("did not end");
    GetExitCodeThread(thread, &code);
    CloseHandle(thread);
    say("ended with %lu, fls callbacks %d", code, fls_sum);
}

int main()
{
    tls = TlsAlloc();
    fls = FlsAlloc(on_fls);
    tracker.value = 9;
    for (INT_PTR i = 1; i <= 2; i++)
        join(CreateThread(nullptr, 0, work, (void *)i, 0, nullptr));
    join((HANDLE)_beginthreadex(nullptr, 0, crt_thread, nullptr, 0, nullptr));

    DWORD slots[1100], got = 0;
    while (got < 1100 && (slots[got] = TlsAlloc()) != TLS_OUT_OF_INDEXES)
        got++;
    say("slots: %s", got >= 1000 && got < 1088 ? "more than a thousand, then none" : "wrong");
    TlsSetValue(slots[got - 1], &fls);
    say("last slot: %s", TlsGetValue(slots[got - 1]) == &fls ? "kept" : "lost");
    for (DWORD i = 0; i < got; i++)
        TlsFree(slots[i]);

    HANDLE suspended = CreateThread(nullptr, 0, work, (void *)1, CREATE_SUSPENDED, nullptr);
    say("suspended: %s", wait_name(WaitForSingleObject(suspended, 20)));
    DWORD first = SuspendThread(suspended), second = ResumeThread(suspended), third = ResumeThread(suspended);
    say("counts %lu %lu %lu", first, second, third);
    join(suspended);
    FlsSetValue(fls, (void *)100);
    BOOL freed = FlsFree(fls);
    say("freed %d, fls callbacks %d", freed, fls_sum);
    say("leaving");
    return 0;
}
