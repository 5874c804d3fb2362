// Many children one after the other, and several at once: what they used comes back.
#include "guest.h"

static HANDLE spawn(const char *self, int number)
{
    char command[256];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    sprintf(command, "\"%s\" %d", self, number);
    if (!CreateProcessA(0, command, 0, 0, FALSE, 0, 0, 0, &startup, &process))
        return 0;
    CloseHandle(process.hThread);
    return process.hProcess;
}

static ULONGLONG available(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    GlobalMemoryStatusEx(&status);
    return status.ullAvailPhys / 4096;
}

static int run(const char *self, int count)
{
    int good = 0;
    for (int number = 0; number < count; number++) {
        HANDLE process = spawn(self, number);
        DWORD code = 0;
        WaitForSingleObject(process, INFINITE);
        GetExitCodeProcess(process, &code);
        CloseHandle(process);
        good += code == (DWORD)number;
    }
    return good;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        memset(VirtualAlloc(0, 1 << 20, MEM_COMMIT, PAGE_READWRITE), 1, 1 << 20);
        return atoi(argv[1]);
    }
    say("first: %d", run(argv[0], 3));
    ULONGLONG before = available();
    say("one by one: %d", run(argv[0], 60));
    // A child uses several hundred pages, 60 of them would show.
    LONGLONG lost = before - available();
    say("memory is back: %s", lost < 60 ? "yes" : "no");
    if (lost >= 60)
        say("pages lost: %lld", lost);
    HANDLE all[10];
    for (int number = 0; number < 10; number++)
        all[number] = spawn(argv[0], number);
    say("ten at once: %s", wait_name(WaitForMultipleObjects(10, all, TRUE, 60000)));
    return 0;
}
