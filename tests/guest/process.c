// Processes: a child with arguments, environment, pipes and an exit code; inherited handles; named objects; termination.
#include "guest.h"

static HANDLE start(char *command, HANDLE input, HANDLE output, char *environment, DWORD flags)
{
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = input,
                            .hStdOutput = output, .hStdError = GetStdHandle(STD_ERROR_HANDLE)};
    PROCESS_INFORMATION process = {0};
    if (!CreateProcessA(0, command, 0, 0, TRUE, flags, environment, 0, &startup, &process)) {
        say("cannot start %s: %s", command, outcome(FALSE));
        return 0;
    }
    if (flags & CREATE_SUSPENDED) {
        say("suspended: %s", wait_name(WaitForSingleObject(process.hProcess, 30)));
        ResumeThread(process.hThread);
    }
    CloseHandle(process.hThread);
    return process.hProcess;
}

static DWORD end(HANDLE process)
{
    DWORD code = 0;
    if (WaitForSingleObject(process, 20000) != WAIT_OBJECT_0)
        return 0xdead;
    GetExitCodeProcess(process, &code);
    CloseHandle(process);
    return code;
}

static int child(int argc, char **argv)
{
    char line[64];
    if (argc < 2 || !strcmp(argv[1], "crash"))
        *(volatile int *volatile)0 = 1;
    if (!strcmp(argv[1], "echo")) {
        printf("%d arguments, last [%s], CHILD=%s\n", argc, argv[argc - 1], getenv("CHILD"));
        while (fgets(line, sizeof line, stdin))
            printf("echo %s", line);
        return 17;
    }
    if (!strcmp(argv[1], "event")) {
        SetEvent((HANDLE)(INT_PTR)strtoull(argv[2], 0, 16));
        HANDLE named = OpenEventA(EVENT_ALL_ACCESS, FALSE, "Local\\nten-process");
        return named && SetEvent(named) ? 1 : 2;
    }
    Sleep(INFINITE);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argc, argv);
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, 0, TRUE};
    HANDLE in_read, in_write, out_read, out_write;
    CreatePipe(&in_read, &in_write, &inherit, 0);
    CreatePipe(&out_read, &out_write, &inherit, 0);
    SetHandleInformation(in_write, HANDLE_FLAG_INHERIT, 0);
    SetHandleInformation(out_read, HANDLE_FLAG_INHERIT, 0);
    char command[128], text[512], environment[512];

    // The child needs SystemRoot to load its DLLs on Windows.
    int length = sprintf(environment, "CHILD=yes%cSystemRoot=%s%c", 0, getenv("SystemRoot"), 0);
    environment[length] = 0;
    sprintf(command, "\"%s\" echo \"a b\" \"c\\\"d\"", argv[0]);
    HANDLE process = start(command, in_read, out_write, environment, 0);
    CloseHandle(in_read);
    CloseHandle(out_write);
    DWORD done;
    WriteFile(in_write, "one\ntwo\n", 8, &done, 0);
    CloseHandle(in_write);
    int total = 0;
    while (total < 500 && ReadFile(out_read, text + total, 500 - total, &done, 0) && done)
        total += done;
    say("pipe ended: error %lu", GetLastError());
    text[total] = 0;
    for (char *line = strtok(text, "\r\n"); line; line = strtok(0, "\r\n"))
        say("child said: %s", line);
    say("child ended: %lu", end(process));

    HANDLE event = CreateEventA(&inherit, TRUE, FALSE, 0), named = CreateEventA(0, TRUE, FALSE, "Local\\nten-process");
    sprintf(command, "\"%s\" event %llx", argv[0], (unsigned long long)(INT_PTR)event);
    process = start(command, 0, 0, 0, CREATE_SUSPENDED);
    say("child ended: %lu", end(process));
    HANDLE both[] = {event, named};
    say("its events: %s", wait_name(WaitForMultipleObjects(2, both, TRUE, 0)));
    say("create again: %s", outcome(CreateEventA(0, TRUE, FALSE, "Local\\nten-process") != 0 && GetLastError() == 0));
    say("as a mutex: %s", outcome(CreateMutexA(0, FALSE, "Local\\nten-process") != 0));

    sprintf(command, "\"%s\" wait", argv[0]);
    process = start(command, 0, 0, 0, 0);
    say("running: %s", wait_name(WaitForSingleObject(process, 50)));
    DWORD code;
    GetExitCodeProcess(process, &code);
    say("code while running %lu", code);
    say("terminate: %s", outcome(TerminateProcess(process, 1234)));
    say("child ended: %lu", end(process));
    process = start(strcpy(command, "no-such-program.exe"), 0, 0, 0, 0);
    HANDLE copy;
    say("duplicate: %s", outcome(DuplicateHandle(GetCurrentProcess(), event, GetCurrentProcess(), &copy, SYNCHRONIZE, FALSE, 0)));
    say("wait on the copy: %s", wait_name(WaitForSingleObject(copy, 0)));
    say("set the copy: %s", outcome(SetEvent(copy)));
    say("close twice: %s", outcome(CloseHandle(copy) && CloseHandle(copy)));
    return 0;
}
