// Job objects: limits, nesting, messages, breaking away, ending with the last handle.
#include "guest.h"

static char *self;

static HANDLE spawn(const char *what, DWORD flags)
{
    char command[256];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    sprintf(command, "\"%s\" %s", self, what);
    if (!CreateProcessA(0, command, 0, 0, FALSE, flags, 0, 0, &startup, &process))
        return 0;
    CloseHandle(process.hThread);
    return process.hProcess;
}

static DWORD end(HANDLE process)
{
    DWORD code = 0;
    if (WaitForSingleObject(process, 30000) != WAIT_OBJECT_0)
        return 0xdead;
    GetExitCodeProcess(process, &code);
    CloseHandle(process);
    return code;
}

static BOOL limit(HANDLE job, DWORD flags, DWORD processes)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = flags;
    limits.BasicLimitInformation.ActiveProcessLimit = processes;
    return SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
}

static int in_job(HANDLE process, HANDLE job)
{
    BOOL inside = 2;
    IsProcessInJob(process, job, &inside);
    return inside;
}

static void accounting(HANDLE job)
{
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION info;
    QueryInformationJobObject(job, JobObjectBasicAccountingInformation, &info, sizeof info, 0);
    say("  %lu processes, %lu active, %lu terminated", info.TotalProcesses, info.ActiveProcesses,
        info.TotalTerminatedProcesses);
}

static void messages(HANDLE port, DWORD first)
{
    static const char *names[] = {"?",           "end of job time", "end of process time", "active process limit", "active process zero",
                                  "?",           "new process",     "exit process",        "abnormal exit process"};
    DWORD message;
    ULONG_PTR key;
    OVERLAPPED *about;
    while (GetQueuedCompletionStatus(port, &message, &key, &about, 0)) {
        DWORD id = (DWORD)(ULONG_PTR)about;
        say("  message %s, key %llu, about %s", message < 9 ? names[message] : "?", (unsigned long long)key,
            !id ? "nobody" : id == first ? "the first" : "another");
    }
}

static int child(char **argv)
{
    if (!strcmp(argv[1], "crash"))
        *(volatile int *volatile)0 = 1;
    if (!strcmp(argv[1], "exit"))
        return 7;
    if (!strcmp(argv[1], "spin"))
        for (;;)
            ;
    if (!strcmp(argv[1], "parent")) {
        HANDLE inner = spawn("exit", 0);
        if (!inner)
            return GetLastError();
        return in_job(inner, 0) * 100 + end(inner);
    }
    if (!strcmp(argv[1], "breakaway")) {
        HANDLE inner = spawn("exit", CREATE_BREAKAWAY_FROM_JOB);
        if (!inner)
            return GetLastError();
        return in_job(inner, 0) * 100 + end(inner);
    }
    if (!strcmp(argv[1], "own")) {
        HANDLE job = CreateJobObjectA(0, 0);
        limit(job, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0);
        AssignProcessToJobObject(job, GetCurrentProcess());
        // It waits for ever, but this process holds the job's only handle.
        CloseHandle(spawn("wait", 0));
        return 8;
    }
    if (!strcmp(argv[1], "query")) {
        char list[64];
        JOBOBJECT_BASIC_PROCESS_ID_LIST *ids = (void *)list;
        if (!QueryInformationJobObject(0, JobObjectBasicProcessIdList, ids, sizeof list, 0))
            return GetLastError();
        return ids->NumberOfAssignedProcesses * 10 + (ids->ProcessIdList[0] == GetCurrentProcessId());
    }
    Sleep(INFINITE);
    return 0;
}

// A child that starts in the job.
static HANDLE spawn_in(HANDLE job, const char *what)
{
    char command[256];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    sprintf(command, "\"%s\" %s", self, what);
    if (!CreateProcessA(0, command, 0, 0, FALSE, CREATE_SUSPENDED, 0, 0, &startup, &process))
        return 0;
    if (!AssignProcessToJobObject(job, process.hProcess)) {
        say("  assign: %s", outcome(FALSE));
        TerminateProcess(process.hProcess, 99);
    }
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    return process.hProcess;
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc > 1)
        return child(argv);

    say("in a job at first: %d", in_job(GetCurrentProcess(), 0));
    DWORD flags;
    say("own job without one: %s", outcome(QueryInformationJobObject(0, JobObjectBasicUIRestrictions, &flags, 4, 0)));
    HANDLE job = CreateJobObjectA(0, "nten-job"), port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0, 0, 1);
    HANDLE again = OpenJobObjectA(JOB_OBJECT_ALL_ACCESS, FALSE, "nten-job");
    say("opened by name: %s", outcome(again != 0));
    CloseHandle(again);
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT associate = {(void *)5, port};
    say("port: %s", outcome(SetInformationJobObject(job, JobObjectAssociateCompletionPortInformation, &associate, sizeof associate)));

    HANDLE first = spawn_in(job, "parent"), second = spawn_in(job, "crash");
    DWORD first_id;
    say("inside: %d %d, this one %d", in_job(first, job), in_job(second, 0), in_job(GetCurrentProcess(), job));
    say("child of a child: %lu", end(first));
    say("crashed: %08lx", end(second));
    accounting(job);
    Sleep(50);
    DWORD message;
    ULONG_PTR key;
    OVERLAPPED *about;
    int count[9] = {0};
    while (GetQueuedCompletionStatus(port, &message, &key, &about, 0))
        count[message < 9 ? message : 0]++;
    say("messages: %d new, %d exit, %d abnormal, %d zero, %d other", count[6], count[7], count[8], count[4], count[0]);

    first = spawn_in(job, "wait");
    first_id = GetProcessId(first);
    say("one more allowed: %s", outcome(limit(job, JOB_OBJECT_LIMIT_ACTIVE_PROCESS, 1)));
    second = spawn_in(job, "wait");
    say("too many: %lu", end(second));
    say("terminate: %s", outcome(TerminateJobObject(job, 55)));
    say("terminated: %lu", end(first));
    messages(port, first_id);
    accounting(job);

    say("no limit: %s", outcome(limit(job, 0, 0)));
    say("unknown limit: %s", outcome(limit(job, 0x80000000, 0)));
    say("breaking away, not allowed: %lu", end(spawn_in(job, "breakaway")));
    limit(job, JOB_OBJECT_LIMIT_BREAKAWAY_OK, 0);
    say("breaking away: %lu", end(spawn_in(job, "breakaway")));
    say("not breaking away: %lu", end(spawn_in(job, "parent")));
    limit(job, JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK, 0);
    say("silently: %lu", end(spawn_in(job, "parent")));
    say("own job: %lu", end(spawn_in(job, "query")));

    limit(job, 0, 0);
    HANDLE inner = CreateJobObjectA(0, 0), stranger = CreateJobObjectA(0, 0);
    first = spawn_in(job, "wait");
    second = spawn_in(stranger, "wait");
    say("nested: %s", outcome(AssignProcessToJobObject(inner, first)));
    say("in both: %d %d", in_job(first, job), in_job(first, inner));
    say("a job with others in it: %s", outcome(AssignProcessToJobObject(stranger, first)));
    TerminateJobObject(job, 66);
    say("ended from above: %lu", end(first));
    limit(stranger, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, 0);
    CloseHandle(stranger);
    say("ended with the last handle: %lu", end(second));
    CloseHandle(inner);

    say("its own job: %lu", end(spawn_in(job, "own")));
    Sleep(200);
    accounting(job);
    JOBOBJECT_BASIC_LIMIT_INFORMATION basic = {.LimitFlags = JOB_OBJECT_LIMIT_PROCESS_TIME};
    basic.PerProcessUserTimeLimit.QuadPart = 500000;
    say("time limit: %s", outcome(SetInformationJobObject(job, JobObjectBasicLimitInformation, &basic, sizeof basic)));
    say("out of time: %lu", end(spawn_in(job, "spin")));

    basic.LimitFlags = JOB_OBJECT_LIMIT_PRIORITY_CLASS;
    basic.PriorityClass = BELOW_NORMAL_PRIORITY_CLASS;
    say("priority: %s", outcome(SetInformationJobObject(job, JobObjectBasicLimitInformation, &basic, sizeof basic)));
    first = spawn_in(job, "wait");
    say("prescribed: %lx", GetPriorityClass(first));
    say("changed: %s", outcome(SetPriorityClass(first, HIGH_PRIORITY_CLASS)));
    say("still: %lx", GetPriorityClass(first));
    TerminateJobObject(job, 0);
    end(first);

    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    DWORD length;
    QueryInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits, &length);
    say("limits: %lx, %lu bytes", limits.BasicLimitInformation.LimitFlags, length);
    say("short buffer: %s", outcome(QueryInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, 8, 0)));
    say("an ended process: %s", outcome(TerminateProcess(first = spawn("exit", 0), 1) && !WaitForSingleObject(first, 9000) && AssignProcessToJobObject(job, first)));
    say("not a job: %s", outcome(TerminateJobObject(port, 1)));
    return 0;
}
