// What the system says of itself: processors, memory, time, processes, handles, unique numbers.
// Only what does not change from machine to machine is printed.
#include "guest.h"
#include <psapi.h>
#include <tlhelp32.h>

#define NT(name, ...) LONG(NTAPI *name)(__VA_ARGS__) = (void *)GetProcAddress(ntdll, #name)

static HMODULE ntdll;

static const char *good(BOOL condition) { return condition ? "good" : "bad"; }

static void processors(void)
{
    SYSTEM_INFO info;
    char buffer[4096];
    DWORD length = 0, groups = 0;
    ULONG_PTR process, system;
    GetSystemInfo(&info);
    say("page %lu, granularity %lu", info.dwPageSize, info.dwAllocationGranularity);
    say("architecture %u, mask %s", info.wProcessorArchitecture,
        good(info.dwActiveProcessorMask == (1ull << info.dwNumberOfProcessors) - 1));
    say("addresses %p", info.lpMinimumApplicationAddress);
    say("to %p", info.lpMaximumApplicationAddress);
    GetProcessAffinityMask(GetCurrentProcess(), &process, &system);
    say("affinity: %s", good(process == system && system == info.dwActiveProcessorMask));
    say("current: %s", good(GetCurrentProcessorNumber() < info.dwNumberOfProcessors));
    say("relations, no room: %s", outcome(GetLogicalProcessorInformationEx(RelationAll, 0, &length)));
    say("relations: %s", outcome(GetLogicalProcessorInformationEx(RelationAll, (void *)buffer, &length)));
    for (DWORD at = 0; at < length; at += ((SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *)(buffer + at))->Size)
        groups += ((SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *)(buffer + at))->Relationship == RelationGroup;
    say("groups %lu, %u", groups, GetActiveProcessorGroupCount());
    say("processors: %s", good(GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) == info.dwNumberOfProcessors));
}

static void memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    say("memory: %s", outcome(GlobalMemoryStatusEx(&status)));
    say("physical: %s", good(status.ullTotalPhys > 1 << 24 && status.ullAvailPhys <= status.ullTotalPhys));
    say("virtual: %s", good(status.ullTotalVirtual > 1ull << 40 && status.ullAvailVirtual < status.ullTotalVirtual));
    say("load: %s", good(status.dwMemoryLoad <= 100));
}

static void times(void)
{
    LARGE_INTEGER frequency, before, after;
    FILETIME now, idle, kernel, user;
    SYSTEMTIME date;
    TIME_ZONE_INFORMATION zone;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&before);
    ULONGLONG ticks = GetTickCount64();
    Sleep(60);
    QueryPerformanceCounter(&after);
    double slept = (double)(after.QuadPart - before.QuadPart) / frequency.QuadPart;
    say("slept: %s", good(slept >= 0.0595 && slept < 3));
    say("ticks: %s", good(ticks > 0 && GetTickCount64() - ticks >= 30));
    GetSystemTimeAsFileTime(&now);
    FileTimeToSystemTime(&now, &date);
    say("date: %s", good(date.wYear >= 2020 && date.wYear < 2200));
    GetSystemTimePreciseAsFileTime(&idle);
    say("precise: %s", good(CompareFileTime(&now, &idle) <= 0));
    say("zone: %s", good(GetTimeZoneInformation(&zone) != TIME_ZONE_ID_INVALID && zone.StandardName[0]));
    say("system times: %s", outcome(GetSystemTimes(&idle, &kernel, &user)));
    say("idle in kernel: %s", good(CompareFileTime(&idle, &kernel) <= 0));
}

static void processes(void)
{
    PROCESSENTRY32 process = {.dwSize = sizeof process};
    THREADENTRY32 thread = {.dwSize = sizeof thread};
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS | TH32CS_SNAPTHREAD, 0);
    int found = 0, threads = 0;
    for (BOOL more = Process32First(snapshot, &process); more; more = Process32Next(snapshot, &process))
        if (process.th32ProcessID == GetCurrentProcessId())
            found = !_stricmp(process.szExeFile, "system.exe") ? (int)process.cntThreads : -1;
    for (BOOL more = Thread32First(snapshot, &thread); more; more = Thread32Next(snapshot, &thread))
        threads += thread.th32OwnerProcessID == GetCurrentProcessId();
    CloseHandle(snapshot);
    say("this process has %d thread, listed %d", found, threads);
    DWORD ids[256], size = 0;
    EnumProcesses(ids, sizeof ids, &size);
    for (DWORD index = 0; index < size / sizeof *ids; index++)
        if (ids[index] == GetCurrentProcessId())
            say("it is enumerated");
}

static void handles(void)
{
    NT(NtQuerySystemInformation, int, void *, ULONG, ULONG *);
    struct { ULONG_PTR object, process, handle; ULONG access; USHORT trace, type; ULONG attributes, reserved; } *entry;
    HANDLE event = CreateEventA(0, FALSE, FALSE, 0);
    ULONG size = 1 << 20, needed = 0, found = 0;
    ULONG_PTR *list = malloc(size);
    say("small: %08lx", NtQuerySystemInformation(64, list, 8, &needed));
    say("handles: %08lx", NtQuerySystemInformation(64, list, size, &needed));
    entry = (void *)(list + 2);
    for (ULONG_PTR index = 0; index < list[0]; index++)
        if (entry[index].process == GetCurrentProcessId() && entry[index].handle == (ULONG_PTR)event)
            found = entry[index].access;
    say("the event's access: %lx", found);
    free(list);
}

static void unique(void)
{
    NT(NtAllocateUuids, ULONGLONG *, ULONG *, ULONG *, BYTE *);
    ULONGLONG first, second;
    ULONG range, sequence, again;
    BYTE node[6], same[6];
    LUID one, two;
    say("ids: %s", good(AllocateLocallyUniqueId(&one) && AllocateLocallyUniqueId(&two) && one.LowPart != two.LowPart));
    say("range: %08lx", NtAllocateUuids(&first, &range, &sequence, node));
    say("next: %08lx", NtAllocateUuids(&second, &range, &again, same));
    say("apart: %s", good(second >= first + 1 && sequence == again && !memcmp(node, same, 6)));
}

int main(void)
{
    ntdll = GetModuleHandleA("ntdll.dll");
    processors();
    memory();
    times();
    processes();
    handles();
    unique();
    return 0;
}
