// What a console program does with its console. What it finds goes to console.txt, since its output is the console.
#include "guest.h"

static FILE *log_file;
static HANDLE in, out;

__attribute__((format(gnu_printf, 1, 2))) static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log_file, format, arguments);
    va_end(arguments);
    fputc('\n', log_file);
    fflush(log_file);
}

static void show(const char *text)
{
    DWORD written;
    WriteConsoleA(out, text, (DWORD)strlen(text), &written, NULL);
}

static void where(const char *what)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (!GetConsoleScreenBufferInfo(out, &info)) {
        note("%s: %s", what, outcome(FALSE));
        return;
    }
    note("%s: at %d,%d attribute %x", what, info.dwCursorPosition.X, info.dwCursorPosition.Y, info.wAttributes);
}

static void row(SHORT y, DWORD length)
{
    char text[64] = "";
    DWORD got = 0;
    COORD at = {0, y};
    BOOL ok = ReadConsoleOutputCharacterA(out, text, length, at, &got);
    note("row %d: [%.*s] %s", y, (int)got, text, outcome(ok));
}

static void screen(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    CONSOLE_CURSOR_INFO cursor;
    DWORD mode, count, pids[4];
    char title[40];
    COORD home = {0, 0}, at = {5, 2};

    note("types: %lu %lu", GetFileType(in), GetFileType(out));
    BOOL ok = GetConsoleMode(in, &mode);
    note("input mode: %lx %s", mode & 7, outcome(ok));
    ok = GetConsoleMode(out, &mode);
    note("output mode: %lx %s", mode & 3, outcome(ok));
    GetConsoleScreenBufferInfo(out, &info);
    note("size: %dx%d, window %d,%d to %d,%d", info.dwSize.X, info.dwSize.Y, info.srWindow.Left, info.srWindow.Top,
         info.srWindow.Right, info.srWindow.Bottom);
    FillConsoleOutputCharacterA(out, ' ', info.dwSize.X * info.dwSize.Y, home, &count);
    note("filled: %lu", count);
    note("move: %s", outcome(SetConsoleCursorPosition(out, home)));
    show("abcdefgh");
    SetConsoleTextAttribute(out, FOREGROUND_GREEN | FOREGROUND_INTENSITY);
    note("move: %s", outcome(SetConsoleCursorPosition(out, at)));
    show("green\tx\r\n");
    where("after a line");
    SetConsoleTextAttribute(out, 7);
    row(0, 10);
    row(2, 20);
    WORD attribute = 0;
    ok = ReadConsoleOutputAttribute(out, &attribute, 1, at, &count);
    note("attribute: %x %s", attribute, outcome(ok));

    CHAR_INFO cells[4] = {0}, back[4] = {0};
    COORD size = {2, 2};
    SMALL_RECT area = {1, 4, 2, 5};
    for (int i = 0; i < 4; i++) {
        cells[i].Char.UnicodeChar = L'A' + i;
        cells[i].Attributes = 0x1F;
    }
    ok = WriteConsoleOutputW(out, cells, size, home, &area);
    note("wrote %d,%d to %d,%d: %s", area.Left, area.Top, area.Right, area.Bottom, outcome(ok));
    ok = ReadConsoleOutputW(out, back, size, home, &area);
    note("read %lc%lc%lc%lc %x: %s", back[0].Char.UnicodeChar, back[1].Char.UnicodeChar, back[2].Char.UnicodeChar,
         back[3].Char.UnicodeChar, back[3].Attributes, outcome(ok));

    SMALL_RECT moved = {0, 4, 10, 5};
    CHAR_INFO fill = {.Char.UnicodeChar = L'.', .Attributes = 7};
    COORD to = {0, 6};
    note("scroll: %s", outcome(ScrollConsoleScreenBufferW(out, &moved, NULL, to, &fill)));
    row(4, 4);
    row(6, 4);

    note("set title: %s", outcome(SetConsoleTitleA("a title")));
    count = GetConsoleTitleA(title, sizeof title);
    note("title: %lu %s", count, title);
    note("pages: %u %u", GetConsoleCP(), GetConsoleOutputCP());
    note("set page: %s", outcome(SetConsoleOutputCP(65001)));
    note("page: %u", GetConsoleOutputCP());
    note("no page: %d", SetConsoleOutputCP(12345));
    count = GetConsoleProcessList(pids, 4);
    note("processes: %lu, one is mine: %d", count, count && pids[0] == GetCurrentProcessId());
    GetConsoleCursorInfo(out, &cursor);
    cursor.bVisible = FALSE;
    note("hide: %s", outcome(SetConsoleCursorInfo(out, &cursor)));
    cursor.bVisible = TRUE;
    SetConsoleCursorInfo(out, &cursor);

    SetConsoleMode(out, 7);
    home.Y = 8;
    SetConsoleCursorPosition(out, home);
    show("\x1b[31mred\x1b[0m\x1b[2Gx\x1b[10;3H");
    where("after sequences");
    row(8, 4);

    HANDLE other = CreateFileA("CONOUT$", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    note("CONOUT$: %d, mode: %s", other != INVALID_HANDLE_VALUE, outcome(GetConsoleMode(other, &mode)));
    other = CreateFileA("CONIN$", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    note("CONIN$: %d, mode: %s", other != INVALID_HANDLE_VALUE, outcome(GetConsoleMode(other, &mode)));
    note("wrong kind: %s", outcome(GetConsoleScreenBufferInfo(in, &info)));
    other = CreateConsoleScreenBuffer(GENERIC_READ | GENERIC_WRITE, 0, NULL, CONSOLE_TEXTMODE_BUFFER, NULL);
    note("buffer: %d, shown: %s", other != INVALID_HANDLE_VALUE, outcome(SetConsoleActiveScreenBuffer(other)));
    WriteConsoleA(other, "the other buffer\r\n", 18, &count, NULL);
    note("back: %s", outcome(SetConsoleActiveScreenBuffer(out)));
    CloseHandle(other);
}

static void keys(void)
{
    INPUT_RECORD record, made = {.EventType = KEY_EVENT};
    DWORD count, mode;
    GetConsoleMode(in, &mode);
    note("mode: %s", outcome(SetConsoleMode(in, ENABLE_WINDOW_INPUT)));
    note("nothing: %lu", WaitForSingleObject(in, 0));
    BOOL ok = PeekConsoleInputW(in, &record, 1, &count);
    note("peek: %s, %lu", outcome(ok), count);
    made.Event.KeyEvent.bKeyDown = TRUE;
    made.Event.KeyEvent.uChar.UnicodeChar = L'm';
    ok = WriteConsoleInputW(in, &made, 1, &count);
    note("write: %s, %lu", outcome(ok), count);
    note("something: %lu", WaitForSingleObject(in, 0));
    ReadConsoleInputW(in, &record, 1, &count);
    note("made: %lc", record.Event.KeyEvent.uChar.UnicodeChar);
    note("nothing: %lu", WaitForSingleObject(in, 0));
    show("press keys>");
    for (;;) {
        WaitForSingleObject(in, INFINITE);
        if (!ReadConsoleInputW(in, &record, 1, &count)) {
            note("%s", outcome(FALSE));
            break;
        }
        if (record.EventType == WINDOW_BUFFER_SIZE_EVENT) {
            COORD size = record.Event.WindowBufferSizeEvent.dwSize;
            note("size %dx%d", size.X, size.Y);
            show("resized>");
        }
        KEY_EVENT_RECORD *key = &record.Event.KeyEvent;
        if (record.EventType != KEY_EVENT || !key->bKeyDown)
            continue;
        note("key %x character %x state %lx", key->wVirtualKeyCode, key->uChar.UnicodeChar, key->dwControlKeyState);
        if (key->uChar.UnicodeChar == 'q')
            break;
    }
    SetConsoleMode(in, mode);
}

static void lines(void)
{
    WCHAR wide[32];
    char bytes[32];
    DWORD count = 0;
    show("wide>");
    BOOL ok = ReadConsoleW(in, wide, 32, &count, NULL);
    note("wide: %lu %ls %s", count, count > 2 ? (wide[count - 2] = 0, wide) : L"", outcome(ok));
    show("small>");
    ok = ReadConsoleW(in, wide, 3, &count, NULL);
    note("small: %lu %.3ls %s", count, wide, outcome(ok));
    ok = ReadConsoleW(in, wide, 32, &count, NULL);
    note("rest: %lu %s", count, outcome(ok));
    show("bytes>");
    ok = ReadFile(in, bytes, sizeof bytes, &count, NULL);
    note("bytes: %lu %.*s %s", count, count > 2 ? (int)count - 2 : 0, bytes, outcome(ok));
    SetConsoleMode(in, ENABLE_PROCESSED_INPUT | ENABLE_LINE_INPUT);
    printf("secret>");
    fflush(stdout);
    if (fgets(bytes, sizeof bytes, stdin))
        note("secret: %s", strtok(bytes, "\r\n"));
    show("\r\nend>");
    ok = ReadFile(in, bytes, sizeof bytes, &count, NULL);
    note("end: %lu %s", count, outcome(ok));
}

static HANDLE heard;

static BOOL WINAPI handler(DWORD event)
{
    note("event %lu", event);
    SetEvent(heard);
    return TRUE;
}

static void control(void)
{
    heard = CreateEventA(NULL, FALSE, FALSE, NULL);
    SetConsoleCtrlHandler(handler, TRUE);
    show("c>");
    note("wait: %lu", WaitForSingleObject(heard, 20000));
    show("break>");
    note("wait: %lu", WaitForSingleObject(heard, 20000));
    note("generate: %s", outcome(GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)));
    note("wait: %lu", WaitForSingleObject(heard, 20000));
    SetConsoleCtrlHandler(handler, FALSE);
    show("last>");
    Sleep(20000);
    note("not ended");
}

int main(int count, char **arguments)
{
    log_file = fopen("console.txt", "w");
    in = GetStdHandle(STD_INPUT_HANDLE);
    out = GetStdHandle(STD_OUTPUT_HANDLE);
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "screen"))
        screen();
    else if (!strcmp(what, "keys"))
        keys();
    else if (!strcmp(what, "lines"))
        lines();
    else if (!strcmp(what, "control"))
        control();
    note("done");
    return 5;
}
