// Tokens, privileges, descriptors, access checks, and watching a key. To be run by an administrator.
#include "guest.h"
#include <aclapi.h>
#include <sddl.h>

static const char *sid_text(PSID sid)
{
    static char text[128];
    LPSTR found;
    if (!ConvertSidToStringSidA(sid, &found))
        return outcome(FALSE);
    snprintf(text, sizeof text, "%s", found);
    LocalFree(found);
    return text;
}

static DWORD WINAPI watch(void *key)
{
    return RegNotifyChangeKeyValue(key, TRUE, REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET, 0, FALSE);
}

int main(void)
{
    HANDLE token, copy, limited;
    DWORD size, value;
    static BYTE buffer[4096];
    say("open: %s", outcome(OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &token)));
    say("size: %s", outcome(GetTokenInformation(token, TokenUser, 0, 0, &size)));
    say("user: %s", outcome(GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size)));
    say("%.8s", sid_text(((TOKEN_USER *)buffer)->User.Sid));
    GetTokenInformation(token, TokenIntegrityLevel, buffer, sizeof buffer, &size);
    say("level %.7s", sid_text(((TOKEN_MANDATORY_LABEL *)buffer)->Label.Sid));
    BOOL member;
    BYTE admins[SECURITY_MAX_SID_SIZE];
    size = sizeof admins;
    say("well known: %s", outcome(CreateWellKnownSid(WinBuiltinAdministratorsSid, 0, admins, &size)));
    say("member: %s", outcome(CheckTokenMembership(0, admins, &member)));
    say("administrator %d", member);

    TOKEN_PRIVILEGES wanted = {1}, before;
    say("look up: %s", outcome(LookupPrivilegeValueA(0, "SeDebugPrivilege", &wanted.Privileges[0].Luid)));
    wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    say("adjust: %s", outcome(AdjustTokenPrivileges(token, FALSE, &wanted, sizeof before, &before, &size)));
    say("last error %lu, changed %lu", GetLastError(), before.PrivilegeCount);
    LookupPrivilegeValueA(0, "SeTcbPrivilege", &wanted.Privileges[0].Luid);
    AdjustTokenPrivileges(token, FALSE, &wanted, 0, 0, 0);
    say("not held: %lu", GetLastError());

    say("duplicate: %s", outcome(DuplicateTokenEx(token, TOKEN_ALL_ACCESS, 0, SecurityImpersonation, TokenImpersonation, &copy)));
    say("impersonate: %s", outcome(SetThreadToken(0, copy)));
    HANDLE mine;
    say("thread token: %s", outcome(OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, FALSE, &mine)));
    say("revert: %s", outcome(RevertToSelf()));
    say("thread token: %s", outcome(OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, FALSE, &mine)));
    say("restrict: %s", outcome(CreateRestrictedToken(token, DISABLE_MAX_PRIVILEGE, 0, 0, 0, 0, 0, 0, &limited)));
    GetTokenInformation(limited, TokenPrivileges, buffer, sizeof buffer, &size);
    say("privileges left: %lu", ((TOKEN_PRIVILEGES *)buffer)->PrivilegeCount);

    PSECURITY_DESCRIPTOR descriptor;
    const char *text = "O:BAG:BAD:(A;;GR;;;BA)(D;;GW;;;WD)";
    say("parse: %s", outcome(ConvertStringSecurityDescriptorToSecurityDescriptorA(text, 1, &descriptor, 0)));
    GENERIC_MAPPING mapping = {0x20001, 0x20002, 0x20004, 0xF0007};
    PRIVILEGE_SET set;
    DWORD set_size = sizeof set, granted;
    BOOL allowed;
    DWORD read = GENERIC_READ, write = GENERIC_WRITE;
    MapGenericMask(&read, &mapping);
    MapGenericMask(&write, &mapping);
    say("check: %s", outcome(AccessCheck(descriptor, copy, read, &mapping, &set, &set_size, &granted, &allowed)));
    say("reading %d, granted %lx", allowed, granted);
    say("check: %s", outcome(AccessCheck(descriptor, copy, write, &mapping, &set, &set_size, &granted, &allowed)));
    say("writing %d, granted %lx", allowed, granted);
    say("primary: %s", outcome(AccessCheck(descriptor, token, read, &mapping, &set, &set_size, &granted, &allowed)));

    SECURITY_ATTRIBUTES attributes = {sizeof attributes, descriptor, FALSE};
    HANDLE event = CreateEventA(&attributes, TRUE, FALSE, "nten-secured");
    say("make: %s", outcome(event != 0));
    say("set by the maker: %s", outcome(SetEvent(event)));
    HANDLE again = OpenEventA(EVENT_MODIFY_STATE, FALSE, "nten-secured");
    say("open for setting: %s", outcome(again != 0));
    again = OpenEventA(READ_CONTROL, FALSE, "nten-secured");
    say("open for reading: %s", outcome(again != 0));
    PSID owner;
    PACL list;
    PSECURITY_DESCRIPTOR found;
    value = GetSecurityInfo(again, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner, 0, &list, 0, &found);
    say("query: %lu, owner %s, %d entries", value, value ? "" : sid_text(owner), value ? 0 : list->AceCount);

    HKEY key;
    RegCreateKeyExA(HKEY_CURRENT_USER, "Software\\nten-watched", 0, 0, 0, KEY_ALL_ACCESS, 0, &key, 0);
    HANDLE changed = CreateEventA(0, FALSE, FALSE, 0);
    say("watch: %ld", RegNotifyChangeKeyValue(key, FALSE, REG_NOTIFY_CHANGE_LAST_SET, changed, TRUE));
    say("before: %s", wait_name(WaitForSingleObject(changed, 0)));
    RegSetValueExA(key, "x", 0, REG_SZ, (BYTE *)"y", 2);
    say("after: %s", wait_name(WaitForSingleObject(changed, 1000)));
    HKEY sub, other;
    RegOpenKeyExA(HKEY_CURRENT_USER, "Software\\nten-watched", 0, KEY_NOTIFY, &other);
    HANDLE watcher = CreateThread(0, 0, watch, other, 0, 0);
    say("waiting: %s", wait_name(WaitForSingleObject(watcher, 50)));
    RegCreateKeyA(key, "sub", &sub);
    say("told: %s", wait_name(WaitForSingleObject(watcher, 1000)));
    GetExitCodeThread(watcher, &value);
    say("with %lu", value);
    RegDeleteTreeA(HKEY_CURRENT_USER, "Software\\nten-watched");
    return 0;
}
