// Virtual memory: reserve, commit, protect, guard pages, decommit, release, and what VirtualQuery says of it all.
#include "guest.h"

static char *base;

static void query(const char *label, char *address)
{
    MEMORY_BASIC_INFORMATION info;
    if (!VirtualQuery(address, &info, sizeof info)) {
        say("%s: %s", label, outcome(FALSE));
        return;
    }
    say("%s: base +%llx, allocation +%lld, allocation protect %lx, size %llx, state %lx, protect %lx, type %lx", label,
        (unsigned long long)((char *)info.BaseAddress - base),
        (long long)(info.AllocationBase ? (char *)info.AllocationBase - base : -1), info.AllocationProtect,
        info.State == MEM_FREE ? 0ull : (unsigned long long)info.RegionSize, info.State, info.Protect, info.Type);
}

static volatile DWORD seen;
static LONG CALLBACK record(EXCEPTION_POINTERS *pointers)
{
    DWORD old;
    seen = pointers->ExceptionRecord->ExceptionCode;
    if (seen == EXCEPTION_GUARD_PAGE)
        return EXCEPTION_CONTINUE_EXECUTION;
    if (seen != EXCEPTION_ACCESS_VIOLATION)
        return EXCEPTION_CONTINUE_SEARCH;
    char *page = (char *)(pointers->ExceptionRecord->ExceptionInformation[1] & ~0xfffull);
    return VirtualProtect(page, 4096, PAGE_EXECUTE_READWRITE, &old) ? EXCEPTION_CONTINUE_EXECUTION
                                                                     : EXCEPTION_CONTINUE_SEARCH;
}

static void touch(const char *label, volatile char *address)
{
    seen = 0;
    *address = *address + 1;
    say("%s: %08lx, now %d", label, seen, *address);
}

int main(void)
{
    DWORD old;
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    say("page %lu, granularity %lu", system.dwPageSize, system.dwAllocationGranularity);
    AddVectoredExceptionHandler(1, record);

    base = VirtualAlloc(0, 0x41000, MEM_RESERVE, PAGE_NOACCESS);
    say("aligned %d", ((ULONG_PTR)base & 0xffff) == 0);
    query("reserved", base + 0x5123);
    say("commit: %s", outcome(VirtualAlloc(base + 0x2800, 0x1000, MEM_COMMIT, PAGE_READWRITE) == base + 0x2000));
    query("before", base);
    query("committed", base + 0x3000);
    query("after", base + 0x4000);
    say("zeroed %d", base[0x2000] == 0 && base[0x3fff] == 0);
    base[0x3fff] = 7;
    say("commit again: %s", outcome(VirtualAlloc(base + 0x2000, 0x2000, MEM_COMMIT, PAGE_READWRITE) != 0));
    say("still %d", base[0x3fff]);
    say("protect: %s", outcome(VirtualProtect(base + 0x3000, 1, PAGE_READONLY, &old)));
    say("old protection %lx", old);
    query("read-only", base + 0x3000);
    touch("write to read-only", base + 0x3fff);
    say("protect reserved: %s", outcome(VirtualProtect(base, 4096, PAGE_READONLY, &old)));
    say("protect across: %s", outcome(VirtualProtect(base + 0x3000, 0x2000, PAGE_READONLY, &old)));

    VirtualAlloc(base + 0x10000, 0x1000, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    query("guard", base + 0x10000);
    touch("first touch", base + 0x10000);
    touch("second touch", base + 0x10000);
    query("guard gone", base + 0x10000);
    VirtualAlloc(base + 0x20000, 0x1000, MEM_COMMIT, PAGE_NOACCESS);
    touch("no access", base + 0x20010);

    say("decommit: %s", outcome(VirtualFree(base + 0x2000, 0x1000, MEM_DECOMMIT)));
    query("decommitted", base + 0x2000);
    VirtualAlloc(base + 0x2000, 0x1000, MEM_COMMIT, PAGE_READWRITE);
    say("fresh again %d", base[0x2000]);
    say("release a part: %s", outcome(VirtualFree(base + 0x10000, 0, MEM_RELEASE)));
    say("release with size: %s", outcome(VirtualFree(base, 0x1000, MEM_RELEASE)));
    say("bad protection: %s", outcome(VirtualAlloc(0, 4096, MEM_COMMIT, 0x12345) != 0));
    say("taken: %s", outcome(VirtualAlloc(base + 0x10000, 0x1000, MEM_RESERVE, PAGE_READWRITE) != 0));
    say("too much: %s", outcome(VirtualAlloc(0, 1ull << 50, MEM_RESERVE, PAGE_READWRITE) != 0));
    say("nothing: %s", outcome(VirtualAlloc(0, 0, MEM_RESERVE, PAGE_READWRITE) != 0));
    say("release: %s", outcome(VirtualFree(base, 0, MEM_RELEASE)));
    say("again: %s", outcome(VirtualFree(base, 0, MEM_RELEASE)));

    char *there = VirtualAlloc((void *)0x12340000, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    say("at an address: %p", there);
    memcpy(there, "\xb8\x2a\0\0\0\xc3", 6);
    say("run generated code: %d", ((int (*)(void))there)());
    memcpy(there, "\xb8\x2b\0\0\0\xc3", 6);
    FlushInstructionCache(GetCurrentProcess(), there, 6);
    say("run changed code: %d", ((int (*)(void))there)());

    char *huge = VirtualAlloc(0, 1ull << 34, MEM_RESERVE, PAGE_READWRITE);
    say("reserve 16 GB: %s", outcome(huge != 0));
    VirtualAlloc(huge + (15ull << 30), 0x1000, MEM_COMMIT, PAGE_READWRITE);
    huge[15ull << 30] = 3;
    say("use its end: %d", huge[15ull << 30]);
    VirtualFree(huge, 0, MEM_RELEASE);
    base = (char *)GetModuleHandleA(0);
    query("image header", base);

    HANDLE heap = HeapCreate(0, 0, 0);
    char *blocks[500];
    for (int i = 0; i < 500; i++)
        memset(blocks[i] = HeapAlloc(heap, HEAP_ZERO_MEMORY, i * 37), i, i * 37);
    int intact = 1;
    for (int i = 0; i < 500; i++)
        for (int j = 0; j < i * 37; j++)
            intact &= blocks[i][j] == (char)i;
    say("heap: intact %d, size %llu, valid %d", intact, (unsigned long long)HeapSize(heap, 0, blocks[100]),
        HeapValidate(heap, 0, 0));
    HeapDestroy(heap);
    return 0;
}
