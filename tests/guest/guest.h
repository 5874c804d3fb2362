// What every guest test program shares: lines on standard output, errors by number.
#pragma once
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0A00
#include <windows.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Prints one line and hands it over at once: a later crash loses nothing.
__attribute__((format(gnu_printf, 1, 2))) static inline void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

// "ok", or the error a failing call left.
static inline const char *outcome(BOOL succeeded)
{
    static __thread char text[32];
    if (succeeded)
        return "ok";
    snprintf(text, sizeof text, "error %lu", GetLastError());
    return text;
}

// The same for a call that returns a file handle; the handle is closed.
static inline const char *opened(HANDLE file)
{
    if (file == INVALID_HANDLE_VALUE)
        return outcome(FALSE);
    CloseHandle(file);
    return "ok";
}

static inline const char *wait_name(DWORD result)
{
    switch (result) {
    case WAIT_OBJECT_0: return "object 0";
    case WAIT_OBJECT_0 + 1: return "object 1";
    case WAIT_OBJECT_0 + 2: return "object 2";
    case WAIT_ABANDONED_0: return "abandoned 0";
    case WAIT_IO_COMPLETION: return "io completion";
    case WAIT_TIMEOUT: return "timeout";
    case WAIT_FAILED: return "failed";
    default: return "something else";
    }
}
