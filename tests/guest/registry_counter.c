// Writes a counter into the user's hive, flushes it, and says each number once it is flushed; never ends by itself.
#include "guest.h"
#include <windows.h>
#include <stdio.h>

int main(void) {
    HKEY key, gone;
    DWORD start = 0, size = sizeof start;
    if (RegCreateKeyExW(HKEY_CURRENT_USER, L"Software\\Counter", 0, NULL, 0, KEY_ALL_ACCESS, NULL, &key, NULL))
        return 1;
    if (RegCreateKeyExW(HKEY_CURRENT_USER, L"Software\\Fleeting", 0, NULL, REG_OPTION_VOLATILE, KEY_ALL_ACCESS, NULL,
                        &gone, NULL))
        return 2;
    RegQueryValueExW(key, L"Count", NULL, NULL, (BYTE *)&start, &size);
    for (DWORD count = start + 1;; count++) {
        WCHAR name[16];
        if (RegSetValueExW(key, L"Count", 0, REG_DWORD, (BYTE *)&count, sizeof count))
            return 3;
        swprintf(name, 16, L"Sub%u", count % 16);
        HKEY sub;
        if (RegCreateKeyExW(key, name, 0, NULL, 0, KEY_ALL_ACCESS, NULL, &sub, NULL))
            return 4;
        RegSetValueExW(sub, L"Copy", 0, REG_DWORD, (BYTE *)&count, sizeof count);
        RegCloseKey(sub);
        if (RegFlushKey(key))
            return 5;
        printf("%lu\n", count);
        fflush(stdout);
    }
}
