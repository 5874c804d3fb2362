// A debugger: events of a child, exceptions passed on and handled, single steps, attaching and detaching.
#include "guest.h"

static int counter;

static LONG CALLBACK skip(EXCEPTION_POINTERS *pointers)
{
    if (pointers->ExceptionRecord->ExceptionCode != 0xe0000001)
        return EXCEPTION_CONTINUE_SEARCH;
    counter++;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static DWORD WINAPI thread(void *argument)
{
    return 21;
}

static int child(const char *what)
{
    if (!strcmp(what, "wait")) {
        for (;;)
            Sleep(20);
    }
    AddVectoredExceptionHandler(1, skip);
    OutputDebugStringA("hello, debugger");
    RaiseException(0xe0000001, 0, 0, 0);
    RaiseException(0xe0000002, 0, 0, 0);
    DebugBreak();
    HANDLE handle = CreateThread(0, 0, thread, 0, 0, 0);
    WaitForSingleObject(handle, INFINITE);
    HMODULE library = LoadLibraryA("version.dll");
    FreeLibrary(library);
    if (!strcmp(what, "crash"))
        *(volatile int *volatile)0 = 1;
    return 30 + counter + IsDebuggerPresent();
}

static PROCESS_INFORMATION spawn(const char *self, const char *what, DWORD flags)
{
    char command[300];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process = {0};
    sprintf(command, "\"%s\" %s", self, what);
    say("start: %s", outcome(CreateProcessA(0, command, 0, 0, FALSE, flags, 0, 0, &startup, &process)));
    return process;
}

// Follows a process to its end, or to its first breakpoint.
static void follow(PROCESS_INFORMATION *process, BOOL to_breakpoint)
{
    int breakpoints = 0, images = 0, threads = 0, first = 1;
    DEBUG_EVENT event;
    for (;;) {
        if (!WaitForDebugEvent(&event, 20000)) {
            say("no event: error %lu", GetLastError());
            return;
        }
        DWORD answer = DBG_CONTINUE;
        if (event.dwProcessId != process->dwProcessId)
            say("an event of a stranger");
        switch (event.dwDebugEventCode) {
        case CREATE_PROCESS_DEBUG_EVENT:
            say("process: %s, first %d", event.u.CreateProcessInfo.hProcess && event.u.CreateProcessInfo.hThread && event.u.CreateProcessInfo.lpBaseOfImage == (void *)GetModuleHandleA(0) ? "as it is" : "strange", first);
            break;
        case EXIT_PROCESS_DEBUG_EVENT:
            say("some images: %d, threads: %s, breakpoints: %d", images > 2, threads ? "yes" : "no", breakpoints);
            say("exit: %08lx", event.u.ExitProcess.dwExitCode);
            ContinueDebugEvent(event.dwProcessId, event.dwThreadId, DBG_CONTINUE);
            return;
        case CREATE_THREAD_DEBUG_EVENT:
            threads++;
            break;
        case EXIT_THREAD_DEBUG_EVENT:
            if (event.u.ExitThread.dwExitCode == 21)
                say("thread ended: 21");
            break;
        case LOAD_DLL_DEBUG_EVENT:
            images++;
            break;
        case OUTPUT_DEBUG_STRING_EVENT: {
            char text[64] = "";
            SIZE_T done;
            ReadProcessMemory(process->hProcess, event.u.DebugString.lpDebugStringData, text, event.u.DebugString.nDebugStringLength, &done);
            say("debug string: %s", text);
            break;
        }
        case EXCEPTION_DEBUG_EVENT: {
            EXCEPTION_RECORD *record = &event.u.Exception.ExceptionRecord;
            if (record->ExceptionCode == EXCEPTION_BREAKPOINT) {
                CONTEXT context = {.ContextFlags = CONTEXT_CONTROL};
                HANDLE handle = OpenThread(THREAD_ALL_ACCESS, FALSE, event.dwThreadId);
                GetThreadContext(handle, &context);
                if (breakpoints++ == 1) {
                    // One instruction on its own.
                    say("behind the breakpoint: %d", context.Rip == (DWORD64)record->ExceptionAddress + 1);
                    context.EFlags |= 0x100;
                    SetThreadContext(handle, &context);
                }
                CloseHandle(handle);
                if (to_breakpoint) {
                    ContinueDebugEvent(event.dwProcessId, event.dwThreadId, answer);
                    return;
                }
                break;
            }
            say("exception %08lx, chance %d", record->ExceptionCode, event.u.Exception.dwFirstChance ? 1 : 2);
            // The second one has no handler: handled here.
            if (record->ExceptionCode != 0xe0000002 && record->ExceptionCode != EXCEPTION_SINGLE_STEP)
                answer = DBG_EXCEPTION_NOT_HANDLED;
            break;
        }
        }
        first = 0;
        if (!ContinueDebugEvent(event.dwProcessId, event.dwThreadId, answer))
            say("continue: error %lu", GetLastError());
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argv[1]);
    DWORD code = 0;
    DEBUG_EVENT event;
    BOOL debugged = TRUE;
    PROCESS_INFORMATION process = spawn(argv[0], "run", DEBUG_ONLY_THIS_PROCESS);
    say("debugged: %s", outcome(CheckRemoteDebuggerPresent(process.hProcess, &debugged)));
    say("it is: %d", debugged);
    follow(&process, FALSE);
    WaitForSingleObject(process.hProcess, 20000);
    GetExitCodeProcess(process.hProcess, &code);
    say("ended: %lu", code);

    process = spawn(argv[0], "crash", DEBUG_PROCESS);
    follow(&process, FALSE);

    process = spawn(argv[0], "wait", 0);
    say("running: %s", wait_name(WaitForSingleObject(process.hProcess, 300)));
    say("attach: %s", outcome(DebugActiveProcess(process.dwProcessId)));
    follow(&process, TRUE);
    DebugSetProcessKillOnExit(FALSE);
    say("detach: %s", outcome(DebugActiveProcessStop(process.dwProcessId)));
    CheckRemoteDebuggerPresent(process.hProcess, &debugged);
    say("debugged: %d", debugged);
    say("running: %s", wait_name(WaitForSingleObject(process.hProcess, 100)));
    say("nothing more: %s", outcome(WaitForDebugEvent(&event, 0)));
    TerminateProcess(process.hProcess, 5);
    say("ended: %s", wait_name(WaitForSingleObject(process.hProcess, 20000)));
    return 0;
}
