// Structured exceptions: filters, handlers and finally blocks of compiled frames, vectored handlers, frames of
// generated code, and processor faults that are repaired and continued.
//
// gcc has no __try for x64, so the one guarded frame is written in assembly with the scope table MSVC would emit.
#include "guest.h"

typedef void (*body)(void *);

// Calls body(argument) inside __try { __try { } __finally { on_finally() } } __except (on_filter()) { }. Returns
// whether the filter chose the handler. (A compiler would call on_finally itself when nothing is raised.)
int try_body(body body, void *argument);

__asm__(".text\n"
        ".globl try_body\n"
        ".def try_body; .scl 2; .type 32; .endef\n"
        ".seh_proc try_body\n"
        "try_body:\n"
        "    subq $40, %rsp\n"
        "    .seh_stackalloc 40\n"
        "    .seh_endprologue\n"
        "    movq %rcx, %rax\n"
        "    movq %rdx, %rcx\n"
        ".Lbegin:\n"
        "    call *%rax\n"
        "    nop\n"
        ".Lend:\n"
        "    xorl %eax, %eax\n"
        "    jmp .Lleave\n"
        ".Lexcept:\n"
        "    movl $1, %eax\n"
        ".Lleave:\n"
        "    addq $40, %rsp\n"
        "    ret\n"
        "    .seh_handler __C_specific_handler, @except, @unwind\n"
        "    .seh_handlerdata\n"
        "    .long 2\n"
        "    .rva .Lbegin, .Lend, on_finally\n"
        "    .long 0\n"
        "    .rva .Lbegin, .Lend, on_filter, .Lexcept\n"
        "    .text\n"
        "    .seh_endproc\n");

static int decision = EXCEPTION_EXECUTE_HANDLER;
static DWORD code;
static int finally_calls;

__attribute__((used)) void on_finally(BOOLEAN abnormal)
{
    finally_calls++;
    // After a stack overflow there is too little stack to print.
    if (code != EXCEPTION_STACK_OVERFLOW)
        say("  finally, %s", abnormal ? "abnormal" : "normal");
}

__attribute__((used)) LONG on_filter(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    code = record->ExceptionCode;
    if (code != EXCEPTION_STACK_OVERFLOW)
        say("  filter: code %08lx, flags %lx, %lu parameters", code, record->ExceptionFlags,
            record->NumberParameters);
    return decision;
}

// The code of the exception that ended the body, or 0.
static DWORD guarded(body body, void *argument)
{
    return try_body(body, argument) ? code : 0;
}

static volatile int *volatile nowhere = (volatile int *)8;
static void read_null(void *unused) { (void)unused; (void)*nowhere; }
static void raise_custom(void *unused)
{
    (void)unused;
    ULONG_PTR parameters[] = {1, 2, 3};
    RaiseException(0xE0001234, 0, 3, parameters);
    say("  continued after RaiseException");
}
static void divide(void *zero) { volatile int one = 1; one /= *(volatile int *)zero; }
static void illegal(void *unused) { (void)unused; __asm__ volatile("ud2"); }
static void privileged(void *unused) { (void)unused; __asm__ volatile("hlt"); }
static void nested(void *unused)
{
    (void)unused;
    say("  inner returned %08lx", guarded(divide, &(int){0}));
    raise_custom(0);
}
static void overflow_stack(void *depth)
{
    volatile char room[4096];
    room[0] = 1;
    if ((ULONG_PTR)depth < 100000)
        overflow_stack((char *)depth + room[0]);
    room[1] = room[0];
}

static volatile char *volatile page;
static volatile int repairs;

// Repairs the first access to the protected page; the faulting instruction runs again.
static LONG CALLBACK repair(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    if (record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION && page &&
        record->ExceptionInformation[1] - (ULONG_PTR)page < 4096) {
        DWORD old;
        repairs++;
        say("  repair %s at +%d", record->ExceptionInformation[0] ? "write" : "read",
            (int)(record->ExceptionInformation[1] - (ULONG_PTR)page));
        VirtualProtect((char *)page, 4096, PAGE_READWRITE, &old);
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    if (record->ExceptionCode == EXCEPTION_BREAKPOINT) {
        say("  breakpoint, skipped");
        pointers->ContextRecord->Rip = (ULONG_PTR)record->ExceptionAddress + 1;
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    return EXCEPTION_CONTINUE_SEARCH;
}

// A function generated at run time: sub rsp,40; mov rax,rcx; call rax; add rsp,40; ret, with unwind data.
static void generated_frame(void)
{
    static const unsigned char code[] = {0x48, 0x83, 0xec, 0x28, 0x48, 0x89, 0xc8, 0xff, 0xd0,
                                         0x48, 0x83, 0xc4, 0x28, 0xc3};
    static const unsigned char unwind[] = {1, 4, 1, 0, 4, 0x42, 0, 0};
    char *memory = VirtualAlloc(0, 8192, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    memcpy(memory, code, sizeof code);
    memcpy(memory + 64, unwind, sizeof unwind);
    RUNTIME_FUNCTION *function = (RUNTIME_FUNCTION *)(memory + 128);
    *function = (RUNTIME_FUNCTION){0, sizeof code, 64};
    say("add table: %s", RtlAddFunctionTable(function, 1, (ULONG_PTR)memory) ? "ok" : "failed");
    DWORD64 base;
    say("lookup: %s", RtlLookupFunctionEntry((ULONG_PTR)memory + 8, &base, 0) == function ? "found" : "not found");
    say("through generated code: %08lx", guarded((body)memory, (void *)read_null));
    RtlDeleteFunctionTable(function);
}

int main(void)
{
    say("access violation: %08lx", guarded(read_null, 0));
    say("divide by zero: %08lx", guarded(divide, &(int){0}));
    say("no exception: %08lx", guarded(divide, &(int){1}));
    say("illegal instruction: %08lx", guarded(illegal, 0));
    say("privileged instruction: %08lx", guarded(privileged, 0));
    say("nested: %08lx", guarded(nested, 0));
    decision = EXCEPTION_CONTINUE_EXECUTION;
    say("custom, continued: %08lx", guarded(raise_custom, 0));
    decision = EXCEPTION_EXECUTE_HANDLER;
    finally_calls = 0;
    say("stack overflow: %08lx", guarded(overflow_stack, 0));
    say("finally ran %d times", finally_calls);
    generated_frame();

    void *handler = AddVectoredExceptionHandler(1, repair);
    page = VirtualAlloc(0, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_NOACCESS);
    page[5] = 'x';
    say("wrote %c, %d repairs", page[5], repairs);
    __asm__ volatile("int3");
    say("after the breakpoint");
    RemoveVectoredExceptionHandler(handler);
    DWORD old;
    VirtualProtect((char *)page, 4096, PAGE_READONLY, &old);
    say("handler removed: %08lx", guarded(read_null, 0));
    return 0;
}
