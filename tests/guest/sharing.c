// Several handles to one file: share modes, deletion while open, byte-range locks, mapped views, named sections.
#include "guest.h"

static HANDLE open_shared(const char *name, DWORD access, DWORD share)
{
    return CreateFileA(name, access, share, 0, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, 0);
}

static void lock(const char *label, HANDLE file, DWORD flags, DWORD offset, DWORD size)
{
    OVERLAPPED at = {.Offset = offset};
    say("%s: %s", label, outcome(LockFileEx(file, flags | LOCKFILE_FAIL_IMMEDIATELY, 0, size, 0, &at)));
}

int main(void)
{
    const DWORD all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    DWORD done;
    char text[16] = "";
    HANDLE first = open_shared("share.txt", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ);
    WriteFile(first, "0123456789", 10, &done, 0);
    say("reader that shares writing: %s", opened(open_shared("share.txt", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE)));
    say("reader that does not: %s", opened(open_shared("share.txt", GENERIC_READ, FILE_SHARE_READ)));
    say("writer: %s", opened(open_shared("share.txt", GENERIC_WRITE, all)));
    say("attributes only: %s", opened(open_shared("share.txt", FILE_READ_ATTRIBUTES, 0)));
    say("delete while open: %s", outcome(DeleteFileA("share.txt")));
    say("rename while open: %s", outcome(MoveFileA("share.txt", "moved.txt")));
    CloseHandle(first);

    first = open_shared("share.txt", GENERIC_READ | GENERIC_WRITE, all);
    HANDLE second = open_shared("SHARE.TXT", GENERIC_READ | GENERIC_WRITE, all);
    lock("lock 0-4", first, LOCKFILE_EXCLUSIVE_LOCK, 0, 5);
    lock("overlapping", second, LOCKFILE_EXCLUSIVE_LOCK, 4, 2);
    lock("beside it", second, LOCKFILE_EXCLUSIVE_LOCK, 5, 5);
    say("read what another locked: %s", outcome(ReadFile(second, text, 3, &done, 0)));
    say("read what it locked itself: %s", outcome(ReadFile(first, text, 3, &done, 0)));
    OVERLAPPED nine = {.Offset = 9};
    say("write into a lock: %s", outcome(WriteFile(first, "x", 1, &done, &nine)));
    OVERLAPPED zero = {0};
    say("unlock another range: %s", outcome(UnlockFileEx(first, 0, 4, 0, &zero)));
    say("unlock: %s", outcome(UnlockFileEx(first, 0, 5, 0, &zero)));
    lock("shared", first, 0, 0, 5);
    lock("shared too", second, 0, 0, 5);
    lock("exclusive above", second, LOCKFILE_EXCLUSIVE_LOCK, 0, 5);
    CloseHandle(second);
    lock("after the other closed", first, LOCKFILE_EXCLUSIVE_LOCK, 5, 5);
    UnlockFileEx(first, 0, 5, 0, &zero);

    HANDLE mapping = CreateFileMappingA(first, 0, PAGE_READWRITE, 0, 8192, 0);
    say("mapping grew the file to %lu", GetFileSize(first, 0));
    char *view = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
    say("view: %.10s", view);
    memcpy(view, "MAPPED", 6);
    view[8191] = 'E';
    say("flush: %s", outcome(FlushViewOfFile(view, 0)));
    SetFilePointer(first, 0, 0, FILE_BEGIN);
    UnlockFile(first, 5, 0, 5, 0);
    ReadFile(first, text, 6, &done, 0);
    say("read %.6s", text);
    OVERLAPPED last = {.Offset = 3};
    WriteFile(first, "--", 2, &done, &last);
    say("view after a write: %.6s", view);
    char *copy = MapViewOfFile(mapping, FILE_MAP_COPY, 0, 0, 4096);
    copy[0] = 'c';
    say("private copy %c, shared %c", copy[0], view[0]);
    say("cut a mapped file: %s", outcome(SetFilePointer(first, 1, 0, FILE_BEGIN) == 1 && SetEndOfFile(first)));
    say("bad offset: %s", outcome(MapViewOfFile(mapping, FILE_MAP_READ, 0, 4096, 1) != 0));
    UnmapViewOfFile(copy);
    UnmapViewOfFile(view);
    say("unmap again: %s", outcome(UnmapViewOfFile(view)));
    CloseHandle(mapping);
    say("empty mapping: %s", outcome(CreateFileMappingA(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, 0, 0, 0) != 0));
    HANDLE named = CreateFileMappingA(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, 0, 65536, "Local\\nten-shared");
    HANDLE again = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, "Local\\nten-shared");
    int *one = MapViewOfFile(named, FILE_MAP_WRITE, 0, 0, 0), *two = MapViewOfFile(again, FILE_MAP_READ, 0, 0, 0);
    one[100] = 77;
    say("two views: %d, same address %d", two[100], one == two);

    say("delete, all share: %s", outcome(DeleteFileA("share.txt")));
    CloseHandle(first);
    DeleteFileA("share.txt");
    say("gone: %lx", GetFileAttributesA("share.txt"));
    HANDLE temporary = CreateFileA("temp.txt", GENERIC_WRITE | DELETE, all, 0, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE, 0);
    say("temporary: %s", outcome(GetFileAttributesA("temp.txt") != INVALID_FILE_ATTRIBUTES));
    say("without sharing deletion: %s", opened(open_shared("temp.txt", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE)));
    CloseHandle(temporary);
    say("afterwards: %s", outcome(GetFileAttributesA("temp.txt") != INVALID_FILE_ATTRIBUTES));
    return 0;
}
