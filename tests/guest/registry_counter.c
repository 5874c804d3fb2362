// Writes a counter into the user's hive and flushes it; says each number once it is flushed. With `lazy`, writes a
// value and leaves flushing to the system. Ends when it is killed.
#include "guest.h"
#include <wchar.h>

int main(int argc, char **argv)
{
    HKEY key, sub;
    DWORD start = 0, size = sizeof start, lazy = 77;
    if (RegCreateKeyExW(HKEY_CURRENT_USER, L"Software\\Counter", 0, 0, 0, KEY_ALL_ACCESS, 0, &key, 0))
        return 1;
    if (RegCreateKeyExW(key, L"Fleeting", 0, 0, REG_OPTION_VOLATILE, KEY_ALL_ACCESS, 0, &sub, 0))
        return 2;
    RegCloseKey(sub);
    if (argc > 1 && !strcmp(argv[1], "lazy"))
    {
        // Written by the system in its own time.
        if (RegSetValueExW(key, L"Lazy", 0, REG_DWORD, (BYTE *)&lazy, sizeof lazy))
            return 6;
        say("written");
        Sleep(120000);
        return 7;
    }
    RegQueryValueExW(key, L"Count", 0, 0, (BYTE *)&start, &size);
    say("from %lu", start);
    for (DWORD count = start + 1;; count++) {
        WCHAR name[16];
        if (RegSetValueExW(key, L"Count", 0, REG_DWORD, (BYTE *)&count, sizeof count))
            return 3;
        swprintf(name, 16, L"Sub%lu", count % 16);
        if (RegCreateKeyExW(key, name, 0, 0, 0, KEY_ALL_ACCESS, 0, &sub, 0))
            return 4;
        RegSetValueExW(sub, L"Copy", 0, REG_DWORD, (BYTE *)&count, sizeof count);
        RegCloseKey(sub);
        if (RegFlushKey(key))
            return 5;
        say("%lu", count);
    }
}
