// The C library's ways to start programs, attribute lists of CreateProcess, how processes and their last threads end.
#include "guest.h"
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <tlhelp32.h>

static char *self;

static DWORD WINAPI last_thread(void *argument)
{
    Sleep(30);
    ExitThread(44);
}

static DWORD WINAPI exiting_thread(void *argument)
{
    ExitProcess(45);
}

static int child(int argc, char **argv)
{
    char text[64];
    if (!strcmp(argv[1], "descriptor")) {
        // The descriptor is the C library's: it is inherited with STARTUPINFO's reserved bytes.
        int descriptor = atoi(argv[2]);
        int count = read(descriptor, text, sizeof text - 1);
        text[count > 0 ? count : 0] = 0;
        say("child: descriptor has \"%s\"", text);
        return 3;
    }
    if (!strcmp(argv[1], "handle")) {
        // What is not inherited fails, or is a handle of this process's own.
        SetEvent((HANDLE)(INT_PTR)atoi(argv[2]));
        SetEvent((HANDLE)(INT_PTR)atoi(argv[3]));
        return 0;
    }
    if (!strcmp(argv[1], "parent")) {
        PROCESSENTRY32 entry = {.dwSize = sizeof entry};
        HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        int found = 0;
        for (BOOL more = Process32First(snapshot, &entry); more; more = Process32Next(snapshot, &entry))
            if (entry.th32ProcessID == GetCurrentProcessId() && entry.th32ParentProcessID == (DWORD)atoi(argv[2]))
                found = 1;
        return found;
    }
    if (!strcmp(argv[1], "last")) {
        CreateThread(0, 0, last_thread, 0, 0, 0);
        ExitThread(43);
    }
    if (!strcmp(argv[1], "thread")) {
        CreateThread(0, 0, exiting_thread, 0, 0, 0);
        Sleep(INFINITE);
    }
    if (!strcmp(argv[1], "abort"))
        TerminateProcess(GetCurrentProcess(), 46);
    if (!strcmp(argv[1], "lines")) {
        for (int line = 0; line < 2000; line++)
            printf("line %d of a text that is longer than a pipe's buffer\n", line);
        return 0;
    }
    Sleep(INFINITE);
    return 0;
}

static PROCESS_INFORMATION spawn(const char *arguments, LPPROC_THREAD_ATTRIBUTE_LIST list, DWORD flags)
{
    char command[300];
    STARTUPINFOEXA startup = {.StartupInfo.cb = sizeof startup, .lpAttributeList = list};
    PROCESS_INFORMATION process = {0};
    sprintf(command, "\"%s\" %s", self, arguments);
    if (!CreateProcessA(0, command, 0, 0, TRUE, flags | EXTENDED_STARTUPINFO_PRESENT, 0, 0, &startup.StartupInfo, &process))
        say("cannot start: %s", outcome(FALSE));
    return process;
}

static DWORD end(PROCESS_INFORMATION process)
{
    DWORD code = 0;
    if (WaitForSingleObject(process.hProcess, 30000) != WAIT_OBJECT_0)
        return 0xdead;
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hProcess);
    CloseHandle(process.hThread);
    return code;
}

int main(int argc, char **argv)
{
    char text[300], list_bytes[256];
    self = argv[0];
    if (argc > 1)
        return child(argc, argv);

    say("system: %d", system("exit 9"));
    say("system is there: %d", system(0) != 0);
    FILE *pipe = popen("echo from a shell", "r");
    say("popen: %s", fgets(text, sizeof text, pipe) ? strtok(text, "\r\n") : "nothing");
    say("pclose: %d", pclose(pipe));
    pipe = popen("more.com >nul 2>nul & exit 4", "w");
    fputs("to a shell\n", pipe);
    say("pclose: %d", pclose(pipe));
    sprintf(text, "\"%s\" lines", self);
    pipe = popen(text, "r");
    int lines = 0;
    while (fgets(text, sizeof text, pipe))
        lines += !strncmp(text, "line ", 5);
    say("long text: %d lines, %d", lines, pclose(pipe));

    int ends[2];
    _pipe(ends, 512, O_BINARY);
    write(ends[1], "inherited", 9);
    close(ends[1]);
    sprintf(text, "%d", ends[0]);
    say("spawn: %d", (int)_spawnl(_P_WAIT, self, self, "descriptor", text, NULL));
    say("spawn of nothing: %d", (int)_spawnl(_P_WAIT, "nowhere.exe", "nowhere.exe", NULL));

    SECURITY_ATTRIBUTES inherit = {sizeof inherit, 0, TRUE};
    HANDLE listed = CreateEventA(&inherit, TRUE, FALSE, 0), unlisted = CreateEventA(&inherit, TRUE, FALSE, 0);
    LPPROC_THREAD_ATTRIBUTE_LIST list = (void *)list_bytes;
    SIZE_T size = sizeof list_bytes;
    InitializeProcThreadAttributeList(list, 2, 0, &size);
    UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &listed, sizeof listed, 0, 0);
    sprintf(text, "handle %d %d", (int)(INT_PTR)listed, (int)(INT_PTR)unlisted);
    end(spawn(text, list, 0));
    say("handle list: %s", wait_name(WaitForSingleObject(listed, 0)));
    say("not in it: %s", wait_name(WaitForSingleObject(unlisted, 0)));
    end(spawn(text, 0, 0));
    say("without a list: %s", wait_name(WaitForSingleObject(unlisted, 0)));

    PROCESS_INFORMATION other = spawn("wait", 0, 0);
    InitializeProcThreadAttributeList(list, 2, 0, &size);
    UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_PARENT_PROCESS, &other.hProcess, sizeof other.hProcess, 0, 0);
    sprintf(text, "parent %lu", other.dwProcessId);
    say("another parent: %lu", end(spawn(text, list, 0)));
    TerminateProcess(other.hProcess, 1);
    sprintf(text, "parent %lu", GetCurrentProcessId());
    say("this parent: %lu", end(spawn(text, 0, 0)));
    say("the other: %lu", end(other));

    HANDLE job = CreateJobObjectA(0, 0);
    InitializeProcThreadAttributeList(list, 2, 0, &size);
    UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, &job, sizeof job, 0, 0);
    other = spawn("wait", list, 0);
    BOOL inside = FALSE;
    IsProcessInJob(other.hProcess, job, &inside);
    say("started in a job: %d", inside);
    TerminateJobObject(job, 12);
    say("and ended: %lu", end(other));

    say("last thread: %lu", end(spawn("last", 0, 0)));
    say("exit from a thread: %lu", end(spawn("thread", 0, 0)));
    say("ends itself: %lu", end(spawn("abort", 0, 0)));
    other = spawn("wait", 0, CREATE_SUSPENDED);
    TerminateProcess(other.hProcess, 47);
    say("never started: %lu", end(other));
    other = spawn("abort", 0, CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
    say("no window: %lu", end(other));
    other = spawn("abort", 0, DETACHED_PROCESS | BELOW_NORMAL_PRIORITY_CLASS);
    say("detached: %lu", end(other));
    other = spawn("wait", 0, IDLE_PRIORITY_CLASS);
    say("idle: %lx", GetPriorityClass(other.hProcess));
    TerminateThread(other.hThread, 48);
    say("its only thread ended: %lu", end(other));
    return 0;
}
