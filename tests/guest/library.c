// A DLL of its own: notifications, exported functions and data, thread-local storage. Used by loads.c.
#include "guest.h"

__declspec(dllexport) int library_value = 5;
static __thread int own = 50;

__declspec(dllexport) int library_add(int a, int b) { return a + b + own++; }

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved)
{
    static const char *const names[] = {"process detach", "process attach", "thread attach", "thread detach"};
    (void)instance;
    say("  library: %s, %s", names[reason & 3], reserved ? "reserved set" : "reserved null");
    return GetEnvironmentVariableA("LIBRARY_FAILS", 0, 0) == 0;
}
