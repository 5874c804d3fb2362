// The ways a program ends: ends.exe MODE.
#include "guest.h"

static LONG CALLBACK last_chance(EXCEPTION_POINTERS *pointers)
{
    say("unhandled filter saw %08lx", pointers->ExceptionRecord->ExceptionCode);
    return EXCEPTION_EXECUTE_HANDLER;
}

static void at_exit(void) { say("atexit ran"); }

static DWORD WINAPI exit_process(void *unused)
{
    (void)unused;
    ExitProcess(44);
}

static DWORD WINAPI forever(void *unused)
{
    (void)unused;
    Sleep(INFINITE);
    return 0;
}

static volatile int *volatile nowhere = (int *)0x10;
static volatile int zero;

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    say("mode %s", mode);
    if (!strcmp(mode, "return")) {
        atexit(at_exit);
        return strtol(argv[2], 0, 0);
    }
    if (!strcmp(mode, "exit-process"))
        ExitProcess(strtoul(argv[2], 0, 0));
    if (!strcmp(mode, "terminate"))
        TerminateProcess(GetCurrentProcess(), strtoul(argv[2], 0, 0));
    if (!strcmp(mode, "crash"))
        return *nowhere;
    if (!strcmp(mode, "divide"))
        return 100 / zero;
    if (!strcmp(mode, "filter")) {
        SetUnhandledExceptionFilter(last_chance);
        return *nowhere;
    }
    if (!strcmp(mode, "raise"))
        RaiseException(0xE0001234, EXCEPTION_NONCONTINUABLE, 0, 0);
    if (!strcmp(mode, "thread")) {
        CreateThread(0, 0, exit_process, 0, 0, 0);
        Sleep(INFINITE);
    }
    if (!strcmp(mode, "last-thread")) {
        ExitThread(45);
    }
    if (!strcmp(mode, "leave-threads")) {
        for (int i = 0; i < 3; i++)
            CreateThread(0, 0, forever, 0, 0, 0);
        return 46;
    }
    if (!strcmp(mode, "fast-fail"))
        __asm__ volatile("int $0x29" : : "c"(7));
    if (!strcmp(mode, "spin"))
        for (volatile int i = 0;; i++)
            ;
    if (!strcmp(mode, "sleep"))
        Sleep(INFINITE);
    return 99;
}
