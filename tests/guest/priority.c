// Priorities: classes of processes, increments of threads, and who runs first.
#include "guest.h"

static volatile LONG order;
static LONG places[3];

static DWORD WINAPI work(void *place)
{
    for (volatile int round = 0; round < 200000; round++)
        ;
    *(LONG *)place = InterlockedIncrement(&order);
    return 0;
}

int main(void)
{
    HANDLE self = GetCurrentThread(), process = GetCurrentProcess();
    static const int levels[] = {THREAD_PRIORITY_TIME_CRITICAL, THREAD_PRIORITY_HIGHEST, THREAD_PRIORITY_LOWEST, THREAD_PRIORITY_IDLE, THREAD_PRIORITY_NORMAL};
    for (int index = 0; index < 5; index++) {
        BOOL set = SetThreadPriority(self, levels[index]);
        say("set %d: %s, is %d", levels[index], outcome(set), GetThreadPriority(self));
    }
    say("set 7: %s", outcome(SetThreadPriority(self, 7)));
    static const DWORD classes[] = {IDLE_PRIORITY_CLASS, HIGH_PRIORITY_CLASS, NORMAL_PRIORITY_CLASS};
    for (int index = 0; index < 3; index++) {
        BOOL set = SetPriorityClass(process, classes[index]);
        say("class %lx: %s, is %lx, thread %d", classes[index], outcome(set), GetPriorityClass(process), GetThreadPriority(self));
    }

    // On one processor the order is certain.
    SetProcessAffinityMask(process, 1);
    SetThreadPriority(self, THREAD_PRIORITY_TIME_CRITICAL);
    HANDLE threads[3];
    static const int mixed[] = {THREAD_PRIORITY_LOWEST, THREAD_PRIORITY_HIGHEST, THREAD_PRIORITY_NORMAL};
    for (int index = 0; index < 3; index++) {
        threads[index] = CreateThread(0, 0, work, &places[index], CREATE_SUSPENDED, 0);
        SetThreadPriority(threads[index], mixed[index]);
        ResumeThread(threads[index]);
    }
    WaitForMultipleObjects(3, threads, TRUE, INFINITE);
    say("order: %ld %ld %ld", places[0], places[1], places[2]);
    return 0;
}
