// Loads library.dll at run time: lookup by name, threads, reference counts, failures, and delay-free unloading.
#include "guest.h"

static int (*add)(int, int);

static DWORD WINAPI work(void *unused)
{
    (void)unused;
    return add(1, 2);
}

int main(void)
{
    char path[MAX_PATH];
    say("load nothing: %s", outcome(LoadLibraryA("no-such-library.dll") != 0));
    HMODULE library = LoadLibraryA("library.dll");
    say("load: %s", outcome(library != 0));
    say("again: %d", LoadLibraryA("LIBRARY") == library);
    GetModuleFileNameA(library, path, MAX_PATH);
    say("it is %s", strrchr(path, '\\') + 1);
    add = (void *)GetProcAddress(library, "library_add");
    int *value = (void *)GetProcAddress(library, "library_value");
    say("function %d, data %d", add(1, 2), *value);
    say("no such function: %s", outcome(GetProcAddress(library, "nothing") != 0));
    HANDLE thread = CreateThread(0, 0, work, 0, 0, 0);
    WaitForSingleObject(thread, 10000);
    DWORD code;
    GetExitCodeThread(thread, &code);
    say("in a thread %lu, here %d", code, add(0, 0));
    say("free once: %d, loaded %d", FreeLibrary(library), GetModuleHandleA("library.dll") != 0);
    BOOL freed = FreeLibrary(library);
    say("free twice: %d, loaded %d", freed, GetModuleHandleA("library.dll") != 0);
    SetEnvironmentVariableA("LIBRARY_FAILS", "1");
    say("refuses: %s", outcome(LoadLibraryA("library.dll") != 0));
    SetEnvironmentVariableA("LIBRARY_FAILS", 0);
    FILE *file = fopen("broken.dll", "wb");
    fwrite("MZ is not enough", 1, 16, file);
    fclose(file);
    say("broken: %s", outcome(LoadLibraryA(".\\broken.dll") != 0));
    say("load to the end: %s", outcome(LoadLibraryA("library.dll") != 0));
    return 0;
}
