// Another process: its memory, its threads, its image, its directory and its environment.
#include "guest.h"

static volatile int value = 5;

static DWORD WINAPI remote(void *argument)
{
    value = (int)(INT_PTR)argument;
    return 77;
}

static int child(void)
{
    char text[MAX_PATH];
    GetCurrentDirectoryA(sizeof text, text);
    say("child: in %s, COLOR=%s, HOME=%s", text + 2, getenv("COLOR"), getenv("HOMEDRIVE"));
    Sleep(INFINITE);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child();
    char command[MAX_PATH], text[MAX_PATH];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION info;
    sprintf(command, "\"%s\" child", argv[0]);
    SetEnvironmentVariableA("COLOR", "green");
    SetEnvironmentVariableA("HOMEDRIVE", 0);
    CreateDirectoryA("below", 0);
    CreateProcessA(0, command, 0, 0, FALSE, 0, 0, "below", &startup, &info);
    say("still waiting: %s", wait_name(WaitForSingleObject(info.hProcess, 500)));
    // Both have the same image, and an image has one address in all processes.
    int there = 0;
    SIZE_T done;
    say("read: %s", outcome(ReadProcessMemory(info.hProcess, (void *)&value, &there, 4, &done)));
    say("there %d", there);
    there = 6;
    say("write: %s", outcome(WriteProcessMemory(info.hProcess, (void *)&value, &there, 4, &done)));
    there = 0;
    ReadProcessMemory(info.hProcess, (void *)&value, &there, 4, &done);
    say("there %d, here %d", there, value);
    say("read nothing: %s", outcome(ReadProcessMemory(info.hProcess, (void *)16, &there, 4, &done)));

    void *memory = VirtualAllocEx(info.hProcess, 0, 100, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION region = {0};
    VirtualQueryEx(info.hProcess, memory, &region, sizeof region);
    say("allocated: %lx bytes, protection %lx", (unsigned long)region.RegionSize, region.Protect);
    say("free: %s", outcome(VirtualFreeEx(info.hProcess, memory, 0, MEM_RELEASE)));

    HANDLE thread = CreateRemoteThread(info.hProcess, 0, 0, remote, (void *)9, 0, 0);
    DWORD code = 0;
    say("remote thread: %s", wait_name(WaitForSingleObject(thread, 20000)));
    GetExitCodeThread(thread, &code);
    ReadProcessMemory(info.hProcess, (void *)&value, &there, 4, &done);
    say("it returned %lu and set %d, here %d", code, there, value);

    HANDLE opened_again = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, info.dwProcessId);
    DWORD length = sizeof text;
    say("name: %s", outcome(QueryFullProcessImageNameA(opened_again, 0, text, &length)));
    say("ends in %s", strrchr(text, '\\'));
    say("limited handle: %s", outcome(TerminateProcess(opened_again, 1)));
    say("no such process: %s", outcome(OpenProcess(PROCESS_TERMINATE, FALSE, 0x7ffffff0) != 0));
    say("priority: %lx", GetPriorityClass(opened_again));
    say("set it: %s", outcome(SetPriorityClass(info.hProcess, BELOW_NORMAL_PRIORITY_CLASS)));
    say("priority: %lx", GetPriorityClass(opened_again));

    say("suspend: %lu", SuspendThread(info.hThread));
    CONTEXT context = {.ContextFlags = CONTEXT_CONTROL};
    say("context: %s", outcome(GetThreadContext(info.hThread, &context)));
    say("somewhere: %d", context.Rip > 0x10000);
    say("resume: %lu", ResumeThread(info.hThread));
    HANDLE event = CreateEventA(0, TRUE, FALSE, 0), copy = 0;
    say("duplicate into it: %s", outcome(DuplicateHandle(GetCurrentProcess(), event, info.hProcess, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)));
    say("close there: %s", outcome(DuplicateHandle(info.hProcess, copy, 0, 0, 0, FALSE, DUPLICATE_CLOSE_SOURCE)));
    FILETIME created, ended, kernel, user;
    GetProcessTimes(info.hProcess, &created, &ended, &kernel, &user);
    say("ended at: %d", ended.dwHighDateTime != 0);
    say("terminate: %s", outcome(TerminateProcess(info.hProcess, 3)));
    WaitForSingleObject(info.hProcess, INFINITE);
    say("terminate again: %s", outcome(TerminateProcess(info.hProcess, 4)));
    GetExitCodeProcess(info.hProcess, &code);
    GetProcessTimes(info.hProcess, &created, &ended, &kernel, &user);
    say("code %lu, ended at: %d, user time: %d", code, ended.dwHighDateTime != 0, user.dwLowDateTime != 0);
    say("open the ended: %s", outcome(OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, info.dwProcessId) != 0));
    return 0;
}
