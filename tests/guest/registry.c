// The registry: create, values of every type, enumeration, deletion, and errors.
#include "guest.h"

int main(void)
{
    HKEY key, sub, other;
    DWORD disposition, type, size, number = 42, subkeys, values, longest;
    char text[64];
    say("open nothing: %ld", RegOpenKeyExA(HKEY_CURRENT_USER, "Software\\nten-test", 0, KEY_READ, &key));
    LONG result = RegCreateKeyExA(HKEY_CURRENT_USER, "Software\\nten-test", 0, 0, 0, KEY_ALL_ACCESS, 0, &key, &disposition);
    say("create: %ld, disposition %lu", result, disposition);
    result = RegCreateKeyExA(HKEY_CURRENT_USER, "SOFTWARE\\NTEN-TEST", 0, 0, 0, KEY_ALL_ACCESS, 0, &other, &disposition);
    say("create again: %ld, disposition %lu", result, disposition);
    say("string: %ld", RegSetValueExA(key, "Text", 0, REG_SZ, (BYTE *)"value", 6));
    say("number: %ld", RegSetValueExA(key, "Number", 0, REG_DWORD, (BYTE *)&number, 4));
    say("binary: %ld", RegSetValueExA(key, "Bytes", 0, REG_BINARY, (BYTE *)"\1\2\3", 3));
    say("several: %ld", RegSetValueExA(key, "List", 0, REG_MULTI_SZ, (BYTE *)"a\0bc\0", 6));
    say("expand: %ld", RegSetValueExA(key, "Path", 0, REG_EXPAND_SZ, (BYTE *)"%NTEN_TEST%\\x", 14));
    say("default: %ld", RegSetValueExA(key, 0, 0, REG_SZ, (BYTE *)"main", 5));

    size = sizeof text;
    result = RegQueryValueExA(other, "TEXT", 0, &type, (BYTE *)text, &size);
    say("query: %ld, type %lu, size %lu, %s", result, type, size, text);
    size = 3;
    result = RegQueryValueExA(key, "Text", 0, &type, (BYTE *)text, &size);
    say("too small: %ld, size %lu", result, size);
    say("missing: %ld", RegQueryValueExA(key, "Nothing", 0, 0, 0, 0));
    size = 4, number = 0;
    RegGetValueA(HKEY_CURRENT_USER, "Software\\nten-test", "Number", RRF_RT_REG_DWORD, &type, &number, &size);
    say("get: %lu", number);
    say("wrong type: %ld", RegGetValueA(key, 0, "Number", RRF_RT_REG_SZ, 0, 0, 0));
    size = sizeof text;
    result = RegGetValueA(key, 0, "Path", RRF_RT_REG_SZ, 0, text, &size);
    say("expanded: %ld, %s", result, text);

    // The order of values is not documented: only what is there counts.
    DWORD types = 0, lengths = 0;
    for (DWORD i = 0;; i++) {
        size = sizeof text;
        result = RegEnumValueA(key, i, text, &size, 0, &type, 0, 0);
        if (result) {
            say("%lu values, then %ld", i, result);
            break;
        }
        types |= 1u << type;
        lengths += size;
    }
    say("types %lx, names of %lu characters", types, lengths);
    const char *names[] = {"zeta", "Alpha", "beta"};
    for (int i = 0; i < 3; i++) {
        RegCreateKeyA(key, names[i], &sub);
        RegCloseKey(sub);
    }
    RegQueryInfoKeyA(key, 0, 0, 0, &subkeys, &longest, 0, &values, 0, 0, 0, 0);
    say("info: %lu keys, longest %lu, %lu values", subkeys, longest, values);
    for (DWORD i = 0; i < 4; i++) {
        size = sizeof text;
        result = RegEnumKeyExA(key, i, text, &size, 0, 0, 0, 0);
        say("key %lu: %ld %s", i, result, result ? "" : text);
    }
    say("delete value: %ld", RegDeleteValueA(key, "number"));
    say("delete it again: %ld", RegDeleteValueA(key, "number"));
    say("delete with keys: %ld", RegDeleteKeyA(HKEY_CURRENT_USER, "Software\\nten-test"));
    RegOpenKeyExA(key, "beta", 0, KEY_READ, &sub);
    say("set without the right: %ld", RegSetValueExA(sub, "x", 0, REG_SZ, (BYTE *)"", 1));
    say("delete open key: %ld", RegDeleteKeyA(key, "beta"));
    say("use it then: %ld", RegQueryValueExA(sub, "x", 0, 0, 0, 0));
    RegCloseKey(sub);
    say("delete tree: %ld", RegDeleteTreeA(HKEY_CURRENT_USER, "Software\\nten-test"));
    say("gone: %ld", RegOpenKeyExA(HKEY_CURRENT_USER, "Software\\nten-test", 0, KEY_READ, &sub));
    result = RegCreateKeyExA(HKEY_CURRENT_USER, "Volatile\\a\\b", 0, 0, REG_OPTION_VOLATILE, KEY_WRITE, 0, &sub, 0);
    say("create a path: %ld", result);
    RegDeleteTreeA(HKEY_CURRENT_USER, "Volatile");
    say("bad handle: %ld", RegCloseKey((HKEY)0x1234568));
    size = sizeof text;
    result = RegGetValueA(HKEY_LOCAL_MACHINE, "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion", "CurrentBuildNumber",
                          RRF_RT_REG_SZ, 0, text, &size);
    say("build number: %ld, %s", result, atoi(text) >= 10240 ? "Windows 10 or later" : text);
    return 0;
}
