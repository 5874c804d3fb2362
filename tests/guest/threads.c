// Eight threads with events, mutexes, semaphores, critical sections, condition variables, SRW locks, addresses to wait
// on, and thread-local storage of both kinds.
#include "guest.h"

enum { THREADS = 8, ROUNDS = 2000 };

static HANDLE start, finished[THREADS], mutex, semaphore;
static CRITICAL_SECTION section;
static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE not_empty = CONDITION_VARIABLE_INIT, not_full = CONDITION_VARIABLE_INIT;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static DWORD slot;
static LONG by_interlocked, once_calls, arrived;
static int by_mutex, by_section, by_lock, inside, most_inside;
static __thread int by_tls = 1000;

static int queue[4], head, tail, count, consumed;

static BOOL CALLBACK initialise(INIT_ONCE *once, void *parameter, void **context)
{
    (void)once, (void)parameter, (void)context;
    InterlockedIncrement(&once_calls);
    return TRUE;
}

static DWORD WINAPI work(void *parameter)
{
    int index = (int)(INT_PTR)parameter;
    WaitForSingleObject(start, INFINITE);
    InitOnceExecuteOnce(&once, initialise, 0, 0);
    TlsSetValue(slot, (void *)(INT_PTR)(index + 1));
    by_tls += index;
    for (int i = 0; i < ROUNDS; i++) {
        InterlockedIncrement(&by_interlocked);
        EnterCriticalSection(&section);
        by_section++;
        LeaveCriticalSection(&section);
        AcquireSRWLockExclusive(&lock);
        by_lock++;
        ReleaseSRWLockExclusive(&lock);
        if (i % 20 == 0) {
            WaitForSingleObject(mutex, INFINITE);
            by_mutex++;
            ReleaseMutex(mutex);
        }
    }
    // At most three at once; SRW lock protects the count.
    WaitForSingleObject(semaphore, INFINITE);
    AcquireSRWLockExclusive(&lock);
    if (++inside > most_inside)
        most_inside = inside;
    ReleaseSRWLockExclusive(&lock);
    Sleep(2);
    AcquireSRWLockExclusive(&lock);
    inside--;
    ReleaseSRWLockExclusive(&lock);
    ReleaseSemaphore(semaphore, 1, 0);

    // A queue of four between producers (even) and consumers (odd).
    for (int i = 0; i < 100; i++) {
        EnterCriticalSection(&section);
        if (index % 2 == 0) {
            while (count == 4)
                SleepConditionVariableCS(&not_full, &section, INFINITE);
            queue[tail++ % 4] = i;
            count++;
            WakeConditionVariable(&not_empty);
        } else {
            while (count == 0)
                SleepConditionVariableCS(&not_empty, &section, INFINITE);
            consumed += queue[head++ % 4];
            count--;
            WakeConditionVariable(&not_full);
        }
        LeaveCriticalSection(&section);
    }
    if (InterlockedIncrement(&arrived) == THREADS)
        WakeByAddressAll(&arrived);
    int intact = (INT_PTR)TlsGetValue(slot) == index + 1 && by_tls == 1000 + index;
    SetEvent(finished[index]);
    return intact ? 100 + index : 0;
}

int main(void)
{
    HANDLE threads[THREADS];
    start = CreateEventA(0, TRUE, FALSE, 0);
    mutex = CreateMutexA(0, FALSE, 0);
    semaphore = CreateSemaphoreA(0, 3, 3, 0);
    InitializeCriticalSection(&section);
    slot = TlsAlloc();
    for (int i = 0; i < THREADS; i++) {
        finished[i] = CreateEventA(0, FALSE, FALSE, 0);
        threads[i] = CreateThread(0, 0, work, (void *)(INT_PTR)i, 0, 0);
    }
    say("before the start: %s", wait_name(WaitForMultipleObjects(THREADS, finished, FALSE, 10)));
    SetEvent(start);
    for (LONG seen = arrived; seen != THREADS; seen = arrived)
        WaitOnAddress(&arrived, &seen, sizeof seen, INFINITE);
    say("all arrived");
    say("all events: %s", wait_name(WaitForMultipleObjects(THREADS, finished, TRUE, 20000)));
    say("all threads: %s", wait_name(WaitForMultipleObjects(THREADS, threads, TRUE, 20000)));
    DWORD sum = 0, code;
    for (int i = 0; i < THREADS; i++) {
        GetExitCodeThread(threads[i], &code);
        sum += code;
        CloseHandle(threads[i]);
    }
    say("exit codes add up to %lu", sum);
    say("counted %ld %d %d %d", by_interlocked, by_section, by_lock, by_mutex);
    say("once %ld, at most %s inside", once_calls, most_inside <= 3 && most_inside >= 1 ? "three" : "too many");
    say("consumed %d, left %d", consumed, count);
    say("own thread-local %d, slot %p", by_tls, TlsGetValue(slot));
    return 0;
}
