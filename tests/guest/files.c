// Files and directories: creation dispositions, reading and writing at offsets, attributes, times, sizes, renaming,
// wildcards, and the errors of everything that cannot be. Works in a new directory `files` of the current one.
#include "guest.h"

static HANDLE open_as(const char *name, DWORD access, DWORD disposition)
{
    return CreateFileA(name, access, FILE_SHARE_READ, 0, disposition, FILE_ATTRIBUTE_NORMAL, 0);
}

static void put(const char *name, const char *text)
{
    HANDLE file = open_as(name, GENERIC_WRITE, CREATE_ALWAYS);
    DWORD done;
    WriteFile(file, text, strlen(text), &done, 0);
    CloseHandle(file);
}

static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(const char *pattern)
{
    WIN32_FIND_DATAA data;
    char *names[32], line[512] = "";
    int count = 0;
    HANDLE find = FindFirstFileA(pattern, &data);
    if (find == INVALID_HANDLE_VALUE) {
        say("find %s: %s", pattern, outcome(FALSE));
        return;
    }
    do
        names[count++] = strdup(data.cFileName);
    while (count < 32 && FindNextFileA(find, &data));
    DWORD error = GetLastError();
    FindClose(find);
    qsort(names, count, sizeof *names, compare);
    for (int i = 0; i < count; i++)
        strcat(strcat(line, " "), names[i]);
    say("find %s:%s; error %lu", pattern, line, error);
}

int main(void)
{
    char text[64] = "", path[MAX_PATH];
    DWORD done;
    say("create directory: %s", outcome(CreateDirectoryA("files", 0)));
    say("create it again: %s", outcome(CreateDirectoryA("files", 0)));
    say("enter: %s", outcome(SetCurrentDirectoryA("FILES")));
    GetCurrentDirectoryA(MAX_PATH, path);
    say("now in %s", strrchr(path, '\\'));

    say("open nothing: %s", opened(open_as("a.txt", GENERIC_READ, OPEN_EXISTING)));
    say("create new: %s", opened(open_as("a.txt", GENERIC_WRITE, CREATE_NEW)));
    say("create new again: %s", opened(open_as("A.TXT", GENERIC_WRITE, CREATE_NEW)));
    HANDLE file = open_as("a.txt", GENERIC_WRITE, CREATE_ALWAYS);
    say("create always: last error %lu", GetLastError());
    CloseHandle(file);
    file = open_as("b.txt", GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS);
    say("open always: last error %lu", GetLastError());
    WriteFile(file, "hello, world", 12, &done, 0);
    say("wrote %lu", done);
    SetFilePointer(file, 7, 0, FILE_BEGIN);
    say("read: %s", outcome(ReadFile(file, text, sizeof text, &done, 0)));
    say("got %lu: %.*s", done, (int)done, text);
    say("at the end: %s", outcome(ReadFile(file, text, sizeof text, &done, 0)));
    say("got %lu", done);
    OVERLAPPED at = {.Offset = 4};
    ReadFile(file, text, 3, &done, &at);
    say("at 4: [%.3s], position %lu", text, SetFilePointer(file, 0, 0, FILE_CURRENT));
    SetFilePointer(file, 20, 0, FILE_BEGIN);
    WriteFile(file, "!", 1, &done, 0);
    say("grown to %lu", GetFileSize(file, 0));
    SetFilePointer(file, 12, 0, FILE_BEGIN);
    ReadFile(file, text, 9, &done, 0);
    say("hole of zeros: %d", !memcmp(text, "\0\0\0\0\0\0\0\0!", 9));
    SetFilePointer(file, 5, 0, FILE_BEGIN);
    say("cut: %s", outcome(SetEndOfFile(file)));
    say("size %lu", GetFileSize(file, 0));
    CloseHandle(file);
    file = open_as("b.txt", GENERIC_READ, OPEN_EXISTING);
    say("write to read-only handle: %s", outcome(WriteFile(file, "x", 1, &done, 0)));
    CloseHandle(file);
    say("bad seek: %s", outcome(SetFilePointer(file, 0, 0, FILE_BEGIN) != INVALID_SET_FILE_POINTER));
    file = CreateFileA("b.txt", FILE_APPEND_DATA, 0, 0, OPEN_EXISTING, 0, 0);
    WriteFile(file, "++", 2, &done, 0);
    say("appended, size %lu", GetFileSize(file, 0));
    CloseHandle(file);
    file = CreateFileA("b.txt", GENERIC_WRITE, 0, 0, TRUNCATE_EXISTING, 0, 0);
    say("truncated to %lu", GetFileSize(file, 0));
    CloseHandle(file);

    file = open_as("sparse.bin", GENERIC_READ | GENERIC_WRITE, CREATE_ALWAYS);
    LARGE_INTEGER big = {.QuadPart = 5ll << 30}, size;
    SetFilePointerEx(file, big, 0, FILE_BEGIN);
    WriteFile(file, "end", 3, &done, 0);
    GetFileSizeEx(file, &size);
    say("big file: %lld", size.QuadPart);
    CloseHandle(file);
    say("delete: %s", outcome(DeleteFileA("sparse.bin")));

    FILETIME time = {0x8a000000, 0x01d4c5e1}, read;
    file = open_as("a.txt", GENERIC_WRITE, OPEN_EXISTING);
    say("set times: %s", outcome(SetFileTime(file, 0, &time, &time)));
    CloseHandle(file);
    file = open_as("a.txt", GENERIC_READ, OPEN_EXISTING);
    GetFileTime(file, 0, 0, &read);
    say("written %08lx%08lx", read.dwHighDateTime, read.dwLowDateTime);
    say("type %lu", GetFileType(file));
    CloseHandle(file);
    say("make read-only: %s", outcome(SetFileAttributesA("a.txt", FILE_ATTRIBUTE_READONLY)));
    say("attributes %lx", GetFileAttributesA("a.txt") & ~FILE_ATTRIBUTE_ARCHIVE);
    say("open for writing: %s", opened(open_as("a.txt", GENERIC_WRITE, OPEN_EXISTING)));
    say("delete: %s", outcome(DeleteFileA("a.txt")));
    SetFileAttributesA("a.txt", FILE_ATTRIBUTE_NORMAL);
    say("directory attributes %lx", GetFileAttributesA("..\\files") & FILE_ATTRIBUTE_DIRECTORY);

    put("One.TXT", "1");
    put("two.txt", "22");
    put("three.dat", "333");
    put("no extension", "4444");
    CreateDirectoryA("sub", 0);
    put("sub\\inner.txt", "5");
    list("*");
    list("*.*");
    list("*.txt");
    list("t*");
    list("?wo.*");
    list("ONE.txt");
    list("*.nothing");
    list("missing\\*");
    say("open a directory: %s", opened(open_as("sub", GENERIC_READ, OPEN_EXISTING)));
    say("through a file: %s", opened(open_as("two.txt\\x", GENERIC_READ, OPEN_EXISTING)));
    say("bad name: %s", opened(open_as("a<b", GENERIC_WRITE, CREATE_NEW)));
    say("trailing dots: %s", opened(open_as("two.txt...", GENERIC_READ, OPEN_EXISTING)));
    say("forward slash: %s", opened(open_as("sub/inner.txt", GENERIC_READ, OPEN_EXISTING)));
    say("null device: %s", opened(open_as("NUL", GENERIC_WRITE, OPEN_EXISTING)));

    say("rename: %s", outcome(MoveFileA("two.txt", "Zwei.txt")));
    say("rename onto: %s", outcome(MoveFileA("Zwei.txt", "one.txt")));
    say("rename case: %s", outcome(MoveFileA("one.txt", "ONE.txt")));
    say("replace: %s", outcome(MoveFileExA("Zwei.txt", "one.txt", MOVEFILE_REPLACE_EXISTING)));
    say("copy: %s", outcome(CopyFileA("three.dat", "copy.dat", TRUE)));
    say("copy onto: %s", outcome(CopyFileA("three.dat", "copy.dat", TRUE)));
    say("move directory: %s", outcome(MoveFileA("sub", "moved")));
    list("*");
    say("remove full directory: %s", outcome(RemoveDirectoryA("moved")));
    say("delete a directory: %s", outcome(DeleteFileA("moved")));
    say("delete: %s", outcome(DeleteFileA("moved\\inner.txt")));
    say("remove: %s", outcome(RemoveDirectoryA("moved")));
    say("delete nothing: %s", outcome(DeleteFileA("moved")));
    say("remove current: %s", outcome(RemoveDirectoryA("..\\files")));
    GetFullPathNameA("x\\..\\y.\\z", MAX_PATH, path, 0);
    say("full path ends in %s", path + strlen(path) - 10);
    return 0;
}
