// Two threads hand a number to each other through events; try `nten run --trace - -e NtSetEvent events.exe`.
//
// x86_64-w64-mingw32-gcc -O2 -o events.exe events.c
#include <stdio.h>
#include <windows.h>

static HANDLE ping, pong;
static int number;

static DWORD WINAPI answer(void *unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++) {
        WaitForSingleObject(ping, INFINITE);
        number *= 2;
        SetEvent(pong);
    }
    return 0;
}

int main(void)
{
    ping = CreateEventA(NULL, FALSE, FALSE, "Local\\ping");
    pong = CreateEventA(NULL, FALSE, FALSE, "Local\\pong");
    HANDLE thread = CreateThread(NULL, 0, answer, NULL, 0, NULL);
    number = 1;
    for (int i = 0; i < 5; i++) {
        SetEvent(ping);
        WaitForSingleObject(pong, INFINITE);
        printf("%d\n", number);
    }
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    return 0;
}
