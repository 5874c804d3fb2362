// Waits: timeouts, several objects, abandoned mutexes, alertable waits with user APCs, timers, and signalling.
#include "guest.h"

static HANDLE event;
static int apcs;
static char order[64];

static void CALLBACK apc(ULONG_PTR value)
{
    apcs++;
    snprintf(order + strlen(order), 8, "%d ", (int)value);
}

static void CALLBACK on_timer(void *argument, DWORD low, DWORD high)
{
    (void)low, (void)high;
    apc((ULONG_PTR)argument);
}

static DWORD WINAPI take_and_leave(void *mutex) { return WaitForSingleObject(mutex, INFINITE); }

static DWORD WINAPI wait_alertably(void *unused)
{
    (void)unused;
    SetEvent(event);
    return SleepEx(INFINITE, TRUE);
}

static DWORD WINAPI ping(void *pair)
{
    HANDLE *events = pair;
    for (int i = 0; i < 500; i++) {
        WaitForSingleObject(events[0], INFINITE);
        SetEvent(events[1]);
    }
    return 0;
}

int main(void)
{
    event = CreateEventA(0, FALSE, FALSE, 0);
    HANDLE manual = CreateEventA(0, TRUE, TRUE, 0), both[] = {event, manual};
    ULONGLONG before = GetTickCount64();
    say("timeout: %s", wait_name(WaitForSingleObject(event, 50)));
    ULONGLONG took = GetTickCount64() - before;
    say("it took %s", took >= 45 && took < 2000 ? "about 50 ms" : "another time");
    say("poll: %s", wait_name(WaitForSingleObject(event, 0)));
    say("any: %s", wait_name(WaitForMultipleObjects(2, both, FALSE, 0)));
    say("all: %s", wait_name(WaitForMultipleObjects(2, both, TRUE, 10)));
    SetEvent(event);
    say("all: %s", wait_name(WaitForMultipleObjects(2, both, TRUE, 10)));
    say("auto-reset: %s", wait_name(WaitForSingleObject(event, 0)));
    say("manual: %s", wait_name(WaitForSingleObject(manual, 0)));
    say("signal and wait: %s", wait_name(SignalObjectAndWait(event, event, 1000, FALSE)));
    HANDLE same[] = {manual, manual};
    say("twice the same, all: %s", outcome(WaitForMultipleObjects(2, same, TRUE, 0) != WAIT_FAILED));
    say("bad handle: %s", outcome(WaitForSingleObject((HANDLE)0x1234568, 0) != WAIT_FAILED));

    HANDLE mutex = CreateMutexA(0, TRUE, 0);
    say("mutex again: %s", wait_name(WaitForSingleObject(mutex, 0)));
    say("release: %s", outcome(ReleaseMutex(mutex)));
    say("release: %s", outcome(ReleaseMutex(mutex)));
    say("release: %s", outcome(ReleaseMutex(mutex)));
    HANDLE thread = CreateThread(0, 0, take_and_leave, mutex, 0, 0);
    say("thread: %s", wait_name(WaitForSingleObject(thread, 5000)));
    say("its mutex: %s", wait_name(WaitForSingleObject(mutex, 0)));
    HANDLE semaphore = CreateSemaphoreA(0, 1, 2, 0);
    LONG previous = -1;
    say("semaphore: %s", outcome(ReleaseSemaphore(semaphore, 1, &previous)));
    say("was %ld", previous);
    say("too many: %s", outcome(ReleaseSemaphore(semaphore, 1, 0)));

    say("no apc: %lu", SleepEx(0, TRUE));
    for (ULONG_PTR i = 1; i <= 3; i++)
        QueueUserAPC(apc, GetCurrentThread(), i);
    say("not alertable: %s, %d apcs", wait_name(WaitForSingleObject(event, 0)), apcs);
    DWORD slept = SleepEx(1000, TRUE);
    say("alertable: %s, %d apcs in order %s", wait_name(slept), apcs, order);
    thread = CreateThread(0, 0, wait_alertably, 0, 0, 0);
    WaitForSingleObject(event, INFINITE);
    say("queue to thread: %s", outcome(QueueUserAPC(apc, thread, 4)));
    WaitForSingleObject(thread, 5000);
    DWORD code = 0;
    GetExitCodeThread(thread, &code);
    say("it woke: %s", wait_name(code));

    LARGE_INTEGER due = {.QuadPart = -200000};
    HANDLE timer = CreateWaitableTimerA(0, FALSE, 0);
    SetWaitableTimer(timer, &due, 0, 0, 0, FALSE);
    say("timer: %s", wait_name(WaitForSingleObject(timer, 0)));
    say("timer: %s", wait_name(WaitForSingleObject(timer, 5000)));
    say("timer again: %s", wait_name(WaitForSingleObject(timer, 30)));
    order[0] = 0;
    SetWaitableTimer(timer, &due, 5, on_timer, (void *)9, FALSE);
    for (int i = 0; i < 3; i++)
        SleepEx(5000, TRUE);
    CancelWaitableTimer(timer);
    say("periodic timer: %s", order);
    say("cancelled: %s", wait_name(WaitForSingleObject(timer, 30)));

    HANDLE pair[] = {CreateEventA(0, FALSE, FALSE, 0), CreateEventA(0, FALSE, FALSE, 0)};
    thread = CreateThread(0, 0, ping, pair, 0, 0);
    for (int i = 0; i < 500; i++) {
        SetEvent(pair[0]);
        WaitForSingleObject(pair[1], INFINITE);
    }
    say("ping-pong: %s", wait_name(WaitForSingleObject(thread, 5000)));
    LARGE_INTEGER first, second, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&first);
    Sleep(20);
    QueryPerformanceCounter(&second);
    LONGLONG milliseconds = (second.QuadPart - first.QuadPart) * 1000 / frequency.QuadPart;
    say("counter: %s", milliseconds >= 15 && milliseconds < 2000 ? "about 20 ms" : "another time");
    return 0;
}
