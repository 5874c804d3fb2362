// Kernel objects: names, handles, duplicates, queries, the namespace's directories and links, global atoms.
// What Windows prints is taken from the documentation of each function.
#include "guest.h"
#include <winternl.h>

typedef struct { USHORT length, maximum; WCHAR *buffer; } string;
typedef struct { ULONG length; HANDLE root; string *name; ULONG flags; void *security, *quality; } attributes;
typedef struct { ULONG flags, access, handles, pointers, other[6]; } basic;

#define NT(name, ...) NTSTATUS(NTAPI *name)(__VA_ARGS__) = (void *)GetProcAddress(ntdll, #name)

static HMODULE ntdll;
static string text;
static attributes named;

static attributes *at(const WCHAR *name, HANDLE root, ULONG flags)
{
    text = (string){(USHORT)(wcslen(name) * 2), (USHORT)(wcslen(name) * 2), (WCHAR *)name};
    named = (attributes){sizeof named, root, &text, flags, 0, 0};
    return &named;
}

static void names(void)
{
    HANDLE event = CreateEventA(0, TRUE, FALSE, "nten-object"), again, other;
    again = CreateEventA(0, FALSE, TRUE, "nten-object");
    say("create again: %s", GetLastError() == ERROR_ALREADY_EXISTS ? "it exists" : "new");
    SetEvent(again);
    say("the same event: %s", wait_name(WaitForSingleObject(event, 0)));
    say("still set, so manual: %s", wait_name(WaitForSingleObject(again, 0)));
    say("a mutex of that name: %s", outcome(CreateMutexA(0, FALSE, "nten-object") != 0));
    say("another case: %s", outcome(OpenEventA(SYNCHRONIZE, FALSE, "NTEN-object") != 0));
    other = OpenEventA(SYNCHRONIZE, FALSE, "nten-object");
    say("open: %s", outcome(other != 0));
    say("set without the right: %s", outcome(SetEvent(other)));
    say("wait with the right: %s", wait_name(WaitForSingleObject(other, 0)));
    CloseHandle(event);
    CloseHandle(again);
    say("one handle left: %s", outcome((event = OpenEventA(SYNCHRONIZE, FALSE, "nten-object")) != 0));
    CloseHandle(event);
    CloseHandle(other);
    say("none left: %s", outcome(OpenEventA(SYNCHRONIZE, FALSE, "nten-object") != 0));
    say("global: %s", outcome((event = CreateEventA(0, 0, 0, "Global\\nten-object")) != 0));
    say("local: %s", outcome((other = CreateEventA(0, 0, 0, "Local\\nten-object")) != 0));
    say("a backslash: %s", outcome(CreateEventA(0, 0, 0, "nten\\object") != 0));
    CloseHandle(event);
    CloseHandle(other);
}

static void handles(void)
{
    HANDLE event = CreateEventA(0, FALSE, FALSE, 0), copy = 0, self = GetCurrentProcess(), thread;
    DWORD flags = 0;
    say("duplicate: %s", outcome(DuplicateHandle(self, event, self, &copy, SYNCHRONIZE, TRUE, 0)));
    say("set the copy: %s", outcome(SetEvent(copy)));
    say("set the original: %s", outcome(SetEvent(event)));
    say("wait for the copy: %s", wait_name(WaitForSingleObject(copy, 0)));
    GetHandleInformation(copy, &flags);
    say("inherited: %s", flags == HANDLE_FLAG_INHERIT ? "yes" : "no");
    SetHandleInformation(copy, 3, HANDLE_FLAG_PROTECT_FROM_CLOSE);
    GetHandleInformation(copy, &flags);
    say("protected: %s", flags == HANDLE_FLAG_PROTECT_FROM_CLOSE ? "yes" : "no");
    SetHandleInformation(copy, 3, 0);
    say("close: %s", outcome(CloseHandle(copy)));
    say("close again: %s", outcome(CloseHandle(copy)));
    say("move: %s", outcome(DuplicateHandle(self, event, self, &copy, 0, FALSE,
                                            DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE)));
    say("the source: %s", outcome(SetEvent(event)));
    say("the copy: %s", outcome(SetEvent(copy)));
    say("no such handle: %s", outcome(DuplicateHandle(self, (HANDLE)0x7654, self, &event, 0, 0, 2)));
    DuplicateHandle(self, GetCurrentThread(), self, &thread, 0, FALSE, DUPLICATE_SAME_ACCESS);
    say("my thread: %s", GetThreadId(thread) == GetCurrentThreadId() ? "the same" : "another");
    say("it runs: %s", wait_name(WaitForSingleObject(thread, 0)));
    say("a pseudo handle: %s", outcome(CloseHandle(self)));
    CloseHandle(copy);
    CloseHandle(thread);
}

static void queries(void)
{
    NT(NtQueryObject, HANDLE, int, void *, ULONG, ULONG *);
    NT(NtCompareObjects, HANDLE, HANDLE);
    HANDLE event = CreateEventA(0, FALSE, FALSE, "nten-query"), copy, file;
    char buffer[1024];
    string *name = (string *)buffer;
    basic facts;
    ULONG needed = 0;
    DuplicateHandle(GetCurrentProcess(), event, GetCurrentProcess(), &copy, 0, 0, 2);
    say("name: %08lx", NtQueryObject(event, 1, buffer, sizeof buffer, &needed));
    say("it ends with: %ls", wcsrchr(name->buffer, L'\\') + 1);
    say("little room: %08lx", NtQueryObject(event, 1, buffer, sizeof *name, &needed));
    say("no room: %08lx", NtQueryObject(event, 1, buffer, 4, &needed));
    say("type: %08lx", NtQueryObject(event, 2, buffer, sizeof buffer, 0));
    say("it is: %ls", name->buffer);
    say("facts: %08lx", NtQueryObject(event, 0, &facts, 56, &needed));
    say("handles %lu, access %lx", facts.handles, facts.access);
    say("wrong length: %08lx", NtQueryObject(event, 0, &facts, 40, &needed));
    say("unknown class: %08lx", NtQueryObject(event, 99, buffer, sizeof buffer, &needed));
    say("compare: %08lx", NtCompareObjects(event, copy));
    say("compare: %08lx", NtCompareObjects(event, GetCurrentProcess()));
    file = CreateFileA("objects.tmp", GENERIC_READ | GENERIC_WRITE, 0, 0, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE, 0);
    say("file: %08lx", NtQueryObject(file, 2, buffer, sizeof buffer, 0));
    say("it is: %ls", name->buffer);
    say("final path: %s", GetFinalPathNameByHandleA(file, buffer, sizeof buffer, 0) ? "ok" : "none");
    say("it ends with: %s", strrchr(buffer, '\\') + 1);
    CloseHandle(file);
    CloseHandle(event);
    CloseHandle(copy);
}

static void directories(void)
{
    NT(NtCreateDirectoryObject, HANDLE *, ULONG, attributes *);
    NT(NtOpenDirectoryObject, HANDLE *, ULONG, attributes *);
    NT(NtQueryDirectoryObject, HANDLE, void *, ULONG, BOOLEAN, BOOLEAN, ULONG *, ULONG *);
    NT(NtCreateSymbolicLinkObject, HANDLE *, ULONG, attributes *, string *);
    NT(NtQuerySymbolicLinkObject, HANDLE, string *, ULONG *);
    NT(NtCreateEvent, HANDLE *, ULONG, attributes *, int, BOOLEAN);
    NT(NtOpenEvent, HANDLE *, ULONG, attributes *);
    HANDLE base = 0, event = 0, link = 0, found = 0;
    char buffer[1024];
    ULONG context = 0, length = 0;
    string target = {18, 18, L"\\nten-dir\\"}, *entry = (string *)buffer;
    say("directory: %08lx", NtCreateDirectoryObject(&base, 0xF000F, at(L"\\BaseNamedObjects\\nten-dir", 0, 0)));
    say("event: %08lx", NtCreateEvent(&event, EVENT_ALL_ACCESS, at(L"Second", base, 0), 0, TRUE));
    say("event: %08lx", NtCreateEvent(&found, EVENT_ALL_ACCESS, at(L"First", base, 0), 0, TRUE));
    CloseHandle(found);
    say("taken: %08lx", NtCreateEvent(&found, EVENT_ALL_ACCESS, at(L"Second", base, 0), 0, TRUE));
    say("open if: %08lx", NtCreateEvent(&found, EVENT_ALL_ACCESS, at(L"Second", base, 0x80), 0, TRUE));
    CloseHandle(found);
    say("other case: %08lx", NtOpenEvent(&found, EVENT_ALL_ACCESS, at(L"second", base, 0)));
    say("any case: %08lx", NtOpenEvent(&found, EVENT_ALL_ACCESS, at(L"second", base, 0x40)));
    CloseHandle(found);
    target = (string){52, 52, L"\\BaseNamedObjects\\nten-dir"};
    say("link: %08lx", NtCreateSymbolicLinkObject(&link, 0xF0001, at(L"Link", base, 0), &target));
    say("list: %08lx", NtQueryDirectoryObject(base, buffer, sizeof buffer, FALSE, TRUE, &context, &length));
    for (; entry->length; entry += 2)
        say("  %ls is a %ls", entry[0].buffer, entry[1].buffer);
    say("%lu entries, then %08lx", context,
        NtQueryDirectoryObject(base, buffer, sizeof buffer, FALSE, FALSE, &context, &length));
    say("through the link: %08lx",
        NtOpenEvent(&found, EVENT_ALL_ACCESS, at(L"\\BaseNamedObjects\\nten-dir\\Link\\Second", 0, 0)));
    CloseHandle(found);
    target = (string){0, sizeof buffer, (WCHAR *)buffer};
    say("target: %08lx %.26ls", NtQuerySymbolicLinkObject(link, &target, 0), (WCHAR *)buffer);
    say("not a directory: %08lx", NtOpenDirectoryObject(&found, 1, at(L"Second\\x", base, 0)));
    say("wrong type: %08lx", NtOpenDirectoryObject(&found, 1, at(L"Second", base, 0)));
    say("missing: %08lx", NtOpenDirectoryObject(&found, 1, at(L"\\BaseNamedObjects\\nten-no\\x", 0, 0)));
    say("relative without a root: %08lx", NtOpenDirectoryObject(&found, 1, at(L"nten-dir", 0, 0)));
    CloseHandle(link);
    CloseHandle(event);
    CloseHandle(base);
}

static void atoms(void)
{
    char name[64] = "";
    ATOM atom = GlobalAddAtomA("Nten poodle");
    say("atom: %s", atom >= 0xC000 ? "a string" : "none");
    say("found: %s", GlobalFindAtomA("NTEN POODLE") == atom ? "the same" : "another");
    say("name: %u %s", GlobalGetAtomNameA(atom, name, sizeof name), name);
    say("integer: %u", GlobalAddAtomA("#77"));
    say("its name: %u %s", GlobalGetAtomNameA(77, name, sizeof name), name);
    GlobalDeleteAtom(atom);
    say("deleted: %s", outcome(GlobalFindAtomA("Nten poodle") != 0));
}

int main(void)
{
    ntdll = GetModuleHandleA("ntdll.dll");
    names();
    handles();
    queries();
    directories();
    atoms();
    return 0;
}
