//! The programs of `tests/guest`, each run by `nten run`; what they print is compared line by line.
//!
//! The expectations are what Windows prints. Every program is compiled from source here (`support/guest.rs`).

mod support;

use std::fs;

use support::guest::{build, build_dll, build_with_imports};
use support::{Run, Scratch};

/// Arguments with spaces and quotes, environment, standard input, a file, both outputs, the exit code.
#[test]
fn hello() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("hello"))
        .args(["42", "two words", "", "quo\"te", r"back\", "grüße"])
        .options(["--env", "NTEN_TEST=it is set"])
        .input("first\nsecond line\n")
        .within(&scratch)
        .go();
    let expected = "hello from hello.exe\r\nargument 1: [42]\r\nargument 2: [two words]\r\nargument 3: []\r\n\
        argument 4: [quo\"te]\r\nargument 5: [back\\]\r\nargument 6: [gr\u{fffd}\u{fffd}e]\r\n\
        NTEN_TEST: it is set\r\nline 1: first\r\nline 2: second line\r\nhello.txt has 9 bytes\r\n";
    // The program asks for its arguments in the ANSI code page, 1252.
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
    assert_eq!(scratch.read("hello.txt"), b"2 lines\r\n");
    outcome.exits(42).complains("to standard error").quietly();
}

/// Without input, the program sees the end of its input at once.
#[test]
fn hello_without_input() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("hello")).within(&scratch).go();
    outcome
        .prints("hello from hello.exe\nNTEN_TEST: (not set)\nhello.txt has 9 bytes\n")
        .exits(0)
        .quietly();
}

/// Integer, SSE and x87 arithmetic, and the C library on top of it.
#[test]
fn numbers() {
    let outcome = Run::program(build("numbers")).go();
    outcome.prints(NUMBERS).exits(0).quietly();
}

const NUMBERS: &str = r#"mixed ecf0cb7805d5b42d
division -3 -1
product fdbac097c8dc5accdeec6cd7a44a4100
bits 0 4 32
third 0.33333333333333331 0x1.5555555555555p-2
roots 1.4142135623731 3
functions 0.841470984808 2.71828182846 2.30258509299
power 1.41421356237 1.5
special 1 1 1
rounded -2 2 4
converted -2 1000000000000000 3000000000
extended 0 0.125
read 0.10000000000000001 -1.7976931348623157e+308 -42
single 16777216 16777217
"#;

/// C++ exceptions of a statically linked mingw program.
#[test]
fn exceptions() {
    let outcome = Run::program(build("exceptions")).go();
    outcome.prints(EXCEPTIONS).exits(3).quietly();
}

const EXCEPTIONS: &str = r#"construct two
construct one
construct zero
destroy zero
destroy one
destroy two
caught from the bottom, code 42
construct one
construct zero
destroy zero
destroy one
on the way: from the bottom
caught again: from the bottom
construct first half
destroy first half
caught int 7
caught out_of_range
a cat with 9 lives, no dog
caught bad_cast
sum 167499
rethrown kept
"#;

/// Structured exceptions: filters, finally blocks, vectored handlers, generated code.
#[test]
fn seh() {
    let outcome = Run::program(build("seh")).go();
    outcome.prints(SEH).exits(0).quietly();
}

const SEH: &str = r#"  filter: code c0000005, flags 0, 2 parameters
  finally, abnormal
access violation: c0000005
  filter: code c0000094, flags 0, 0 parameters
  finally, abnormal
divide by zero: c0000094
no exception: 00000000
  filter: code c000001d, flags 0, 0 parameters
  finally, abnormal
illegal instruction: c000001d
  filter: code c0000096, flags 0, 0 parameters
  finally, abnormal
privileged instruction: c0000096
  filter: code c0000094, flags 0, 0 parameters
  finally, abnormal
  inner returned c0000094
  filter: code e0001234, flags 0, 3 parameters
  finally, abnormal
nested: e0001234
  filter: code e0001234, flags 0, 3 parameters
  continued after RaiseException
custom, continued: 00000000
stack overflow: c00000fd
finally ran 1 times
add table: ok
lookup: found
  filter: code c0000005, flags 0, 2 parameters
  finally, abnormal
through generated code: c0000005
  repair write at +5
wrote x, 1 repairs
  breakpoint, skipped
after the breakpoint
  filter: code c0000005, flags 0, 2 parameters
  finally, abnormal
handler removed: c0000005
"#;

/// Eight threads and every kind of lock.
#[test]
fn threads() {
    let outcome = Run::program(build("threads")).go();
    outcome.prints(THREADS).exits(0).quietly();
}

const THREADS: &str = r#"before the start: timeout
all arrived
all events: object 0
all threads: object 0
exit codes add up to 828
counted 16000 16000 16000 800
once 1, at most three inside
consumed 19800, left 0
own thread-local 1000, slot 0000000000000000
"#;

/// Thread-local storage and its destructors.
#[test]
fn tls() {
    let outcome = Run::program(build("tls")).go();
    outcome.prints(TLS).exits(0).quietly();
}

const TLS: &str = r#"thread 1: tls 0000000000000000, fls 0000000000000000
  destroy thread_local 1
ended with 11, fls callbacks 1
thread 2: tls 0000000000000000, fls 0000000000000000
  destroy thread_local 2
ended with 22, fls callbacks 3
  destroy thread_local 3
ended with 33, fls callbacks 3
slots: more than a thousand, then none
last slot: kept
suspended: timeout
counts 1 2 1
thread 1: tls 0000000000000000, fls 0000000000000000
  destroy thread_local 1
ended with 11, fls callbacks 4
freed 1, fls callbacks 104
leaving
  destroy thread_local 9
"#;

/// Virtual memory and heaps.
#[test]
fn memory() {
    let outcome = Run::program(build("memory")).go();
    outcome.prints(MEMORY).exits(0).quietly();
}

const MEMORY: &str = r#"page 4096, granularity 65536
aligned 1
reserved: base +5000, allocation +0, allocation protect 1, size 3c000, state 2000, protect 0, type 20000
commit: ok
before: base +0, allocation +0, allocation protect 1, size 2000, state 2000, protect 0, type 20000
committed: base +3000, allocation +0, allocation protect 1, size 1000, state 1000, protect 4, type 20000
after: base +4000, allocation +0, allocation protect 1, size 3d000, state 2000, protect 0, type 20000
zeroed 1
commit again: ok
still 7
protect: ok
old protection 4
read-only: base +3000, allocation +0, allocation protect 1, size 1000, state 1000, protect 2, type 20000
write to read-only: c0000005, now 8
protect reserved: error 487
protect across: error 487
guard: base +10000, allocation +0, allocation protect 1, size 1000, state 1000, protect 104, type 20000
first touch: 80000001, now 1
second touch: 00000000, now 2
guard gone: base +10000, allocation +0, allocation protect 1, size 1000, state 1000, protect 4, type 20000
no access: c0000005, now 1
decommit: ok
decommitted: base +2000, allocation +0, allocation protect 1, size 1000, state 2000, protect 0, type 20000
fresh again 0
release a part: error 487
release with size: error 87
bad protection: error 87
taken: error 487
too much: error 87
nothing: error 87
release: ok
again: error 487
at an address: 0000000012340000
run generated code: 42
run changed code: 43
reserve 16 GB: ok
use its end: 3
image header: base +0, allocation +0, allocation protect 80, size 1000, state 1000, protect 2, type 1000000
heap: intact 1, size 3700, valid 1
"#;

/// Waits, APCs and timers.
#[test]
fn waits() {
    let outcome = Run::program(build("waits")).options(["--deterministic"]).go();
    outcome.prints(WAITS).exits(0).quietly();
}

const WAITS: &str = r#"timeout: timeout
it took about 50 ms
poll: timeout
any: object 1
all: timeout
all: object 0
auto-reset: timeout
manual: object 0
signal and wait: object 0
twice the same, all: error 87
bad handle: error 6
mutex again: object 0
release: ok
release: ok
release: error 288
thread: object 0
its mutex: abandoned 0
semaphore: ok
was 1
too many: error 298
no apc: 0
not alertable: timeout, 0 apcs
alertable: io completion, 3 apcs in order 1 2 3 
queue to thread: ok
it woke: io completion
timer: timeout
timer: object 0
timer again: timeout
periodic timer: 9 9 9 
cancelled: object 0
ping-pong: object 0
counter: about 20 ms
"#;

/// Names, handles, duplicates, queries, directories and links of the namespace, global atoms.
#[test]
fn objects() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("objects")).within(&scratch).go();
    outcome.prints(OBJECTS).exits(0).quietly();
}

const OBJECTS: &str = r#"create again: it exists
the same event: object 0
still set, so manual: object 0
a mutex of that name: error 6
another case: error 2
open: ok
set without the right: error 5
wait with the right: object 0
one handle left: ok
none left: error 2
global: ok
local: ok
a backslash: error 3
duplicate: ok
set the copy: error 5
set the original: ok
wait for the copy: object 0
inherited: yes
protected: yes
close: ok
close again: error 6
move: ok
the source: error 6
the copy: ok
no such handle: error 6
my thread: the same
it runs: timeout
a pseudo handle: ok
name: 00000000
it ends with: nten-query
little room: 80000005
no room: c0000004
type: 00000000
it is: Event
facts: 00000000
handles 2, access 1f0003
wrong length: c0000004
unknown class: c0000003
compare: 00000000
compare: c00001ac
file: 00000000
it is: File
final path: ok
it ends with: objects.tmp
directory: 00000000
event: 00000000
event: 00000000
taken: c0000035
open if: 40000000
other case: c0000034
any case: 00000000
link: 00000000
list: 00000000
  Link is a SymbolicLink
  Second is a Event
2 entries, then 8000001a
through the link: 00000000
target: 00000000 \BaseNamedObjects\nten-dir
not a directory: c0000024
wrong type: c0000024
missing: c000003a
relative without a root: c000003b
atom: a string
found: the same
name: 11 Nten poodle
integer: 77
its name: 3 #77
deleted: error 2
"#;

/// What the system says of its processors, memory, time, processes and handles.
#[test]
fn system() {
    let outcome = Run::program(build("system")).go();
    outcome.prints(SYSTEM).exits(0).quietly();
}

const SYSTEM: &str = r#"page 4096, granularity 65536
architecture 9, mask good
addresses 0000000000010000
to 00007ffffffeffff
affinity: good
current: good
relations, no room: error 122
relations: ok
groups 1, 1
processors: good
memory: ok
physical: good
virtual: good
load: good
slept: good
ticks: good
date: good
precise: good
zone: good
system times: ok
idle in kernel: good
this process has 1 thread, listed 1
it is enumerated
small: c0000004
handles: 00000000
the event's access: 1f0003
ids: good
range: 00000000
next: 00000000
apart: good
"#;

/// Completion ports and the thread pool.
#[test]
fn iocp() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("iocp")).within(&scratch).go();
    outcome.prints(IOCP).exits(0).quietly();
}

const IOCP: &str = r#"empty: error 258
posted: ok, 10 bytes, key 1, mark 1
posted: ok, 20 bytes, key 2, mark 1
several: ok, 2, keys 3 4
associate: ok
associate again: error 87
write: started
completed: ok, 8192 bytes, key 7, own 1
read: started
completed: ok, 8192 bytes, own 1
content: 0 n
beyond the end: error 38
servers: object 0
served 1000, sum 500500
pool sum 100
"#;

/// Files and directories.
#[test]
fn files() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("files")).within(&scratch).go();
    outcome.prints(FILES).exits(0).quietly();
}

const FILES: &str = r#"create directory: ok
create it again: error 183
enter: ok
now in \FILES
open nothing: error 2
create new: ok
create new again: error 80
create always: last error 183
open always: last error 0
wrote 12
read: ok
got 5: world
at the end: ok
got 0
at 4: [o, ], position 7
grown to 21
hole of zeros: 1
cut: ok
size 5
write to read-only handle: error 5
bad seek: error 6
appended, size 7
truncated to 0
big file: 5368709123
delete: ok
set times: ok
written 01d4c5e18a000000
type 1
make read-only: ok
attributes 1
open for writing: error 5
delete: error 5
directory attributes 10
find *: . .. One.TXT a.txt b.txt no extension sub three.dat two.txt; error 18
find *.*: . .. One.TXT a.txt b.txt no extension sub three.dat two.txt; error 18
find *.txt: One.TXT a.txt b.txt two.txt; error 18
find t*: three.dat two.txt; error 18
find ?wo.*: two.txt; error 18
find ONE.txt: One.TXT; error 18
find *.nothing: error 2
find missing\*: error 3
open a directory: error 5
through a file: error 3
bad name: error 123
trailing dots: ok
forward slash: ok
null device: ok
rename: ok
rename onto: error 183
rename case: ok
replace: ok
copy: ok
copy onto: error 80
move directory: ok
find *: . .. a.txt b.txt copy.dat moved no extension one.txt three.dat; error 18
remove full directory: error 145
delete a directory: error 5
delete: ok
remove: ok
delete nothing: error 2
remove current: error 32
full path ends in \FILES\y\z
"#;

/// Share modes, locks, mapped files, deletion.
#[test]
fn sharing() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("sharing")).within(&scratch).go();
    outcome.prints(SHARING).exits(0).quietly();
}

const SHARING: &str = r#"reader that shares writing: ok
reader that does not: error 32
writer: error 32
attributes only: ok
delete while open: error 32
rename while open: error 32
lock 0-4: ok
overlapping: error 33
beside it: ok
read what another locked: error 33
read what it locked itself: ok
write into a lock: error 33
unlock another range: error 158
unlock: ok
shared: ok
shared too: ok
exclusive above: error 33
after the other closed: ok
mapping grew the file to 8192
view: 0123456789
flush: ok
read MAPPED
view after a write: MAP--D
private copy c, shared M
cut a mapped file: error 1224
bad offset: error 1132
unmap again: error 487
empty mapping: error 87
two views: 77, same address 0
delete, all share: ok
gone: ffffffff
temporary: ok
without sharing deletion: error 32
afterwards: error 2
"#;

/// The registry.
#[test]
fn registry() {
    let outcome = Run::program(build("registry")).go();
    outcome.prints(REGISTRY).exits(0).quietly();
}

const REGISTRY: &str = r#"open nothing: 2
create: 0, disposition 1
create again: 0, disposition 2
string: 0
number: 0
binary: 0
several: 0
expand: 0
default: 0
query: 0, type 1, size 6, value
too small: 234, size 6
missing: 2
get: 42
wrong type: 1630
expanded: 0, %NTEN_TEST%\x
6 values, then 259
types 9e, names of 23 characters
info: 3 keys, longest 5, 6 values
key 0: 0 Alpha
key 1: 0 beta
key 2: 0 zeta
key 3: 259 
delete value: 0
delete it again: 2
delete with keys: 5
set without the right: 5
delete open key: 0
use it then: 1018
delete tree: 0
gone: 2
create a path: 0
bad handle: 6
build number: 0, Windows 10 or later
"#;

/// Tokens, descriptors, access checks, watched keys.
#[test]
fn security() {
    let outcome = Run::program(build("security")).go();
    outcome.prints(SECURITY).exits(0).quietly();
}

const SECURITY: &str = r#"open: ok
size: error 122
user: ok
S-1-5-21
level S-1-16-
well known: ok
member: ok
administrator 1
look up: ok
adjust: ok
last error 0, changed 1
not held: 1300
duplicate: ok
impersonate: ok
thread token: ok
revert: ok
thread token: error 1008
restrict: ok
privileges left: 1
parse: ok
check: ok
reading 1, granted 20001
check: ok
writing 0, granted 0
primary: error 1309
make: ok
set by the maker: ok
open for setting: error 5
open for reading: ok
query: 0, owner S-1-5-32-544, 2 entries
watch: 0
before: timeout
after: object 0
waiting: timeout
told: object 0
with 0
"#;

/// Child processes, pipes, inheritance, named objects.
#[test]
fn process() {
    let outcome = Run::program(build("process")).go();
    outcome.prints(PROCESS).exits(0).quietly();
}

const PROCESS: &str = r#"pipe ended: error 109
child said: 4 arguments, last [c"d], CHILD=yes
child said: echo one
child said: echo two
child ended: 17
suspended: timeout
child ended: 1
its events: object 0
create again: error 183
as a mutex: error 6
running: timeout
code while running 259
terminate: ok
child ended: 1234
cannot start no-such-program.exe: error 2
duplicate: ok
wait on the copy: object 0
set the copy: error 5
close twice: error 6
"#;

/// Job objects: limits, nesting, messages, breaking away.
#[test]
fn job() {
    let outcome = Run::program(build("job")).go();
    outcome.prints(JOB).exits(0);
}

const JOB: &str = r#"in a job at first: 0
own job without one: error 5
opened by name: ok
port: ok
inside: 1 1, this one 0
child of a child: 107
crashed: c0000005
  3 processes, 0 active, 0 terminated
messages: 3 new, 2 exit, 1 abnormal, 1 zero, 0 other
one more allowed: ok
  assign: error 1816
too many: 1816
terminate: ok
terminated: 55
  message new process, key 5, about the first
  message active process limit, key 5, about nobody
  message exit process, key 5, about the first
  message active process zero, key 5, about nobody
  4 processes, 0 active, 1 terminated
no limit: ok
unknown limit: error 87
breaking away, not allowed: 5
breaking away: 7
not breaking away: 107
silently: 7
own job: 11
nested: ok
in both: 1 1
a job with others in it: error 5
ended from above: 66
ended with the last handle: 0
its own job: 8
  13 processes, 0 active, 1 terminated
time limit: ok
out of time: 1816
priority: ok
prescribed: 4000
changed: ok
still: 4000
limits: 20, 144 bytes
short buffer: error 24
an ended process: error 5
not a job: error 6
"#;

/// Children one after the other give back what they used.
#[test]
fn children() {
    let outcome = Run::program(build("children")).go();
    outcome.prints(CHILDREN).exits(0).quietly();
}

const CHILDREN: &str = r#"first: 3
one by one: 60
memory is back: yes
ten at once: object 0
"#;

/// Memory, threads, image, directory and environment of another process.
#[test]
fn remote() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("remote")).within(&scratch).go();
    outcome.prints(REMOTE).exits(0).quietly();
}

const REMOTE: &str = r#"child: in \below, COLOR=green, HOME=(null)
still waiting: timeout
read: ok
there 5
write: ok
there 6, here 5
read nothing: error 299
allocated: 1000 bytes, protection 4
free: ok
remote thread: object 0
it returned 77 and set 9, here 5
name: ok
ends in \remote.exe
limited handle: error 5
no such process: error 87
priority: 20
set it: ok
priority: 4000
suspend: 0
context: ok
somewhere: 1
resume: 1
duplicate into it: ok
close there: ok
ended at: 0
terminate: ok
terminate again: error 5
code 3, ended at: 1, user time: 1
open the ended: ok
"#;

/// The C library's `system`, `popen` and `spawn`, attribute lists of `CreateProcess`, ways for a process to end.
#[test]
fn spawn() {
    let outcome = Run::program(build("spawn")).go();
    outcome.prints(SPAWN).exits(0);
}

const SPAWN: &str = r#"system: 9
system is there: 1
popen: from a shell
pclose: 0
pclose: 4
long text: 2000 lines, 0
child: descriptor has "inherited"
spawn: 3
spawn of nothing: -1
handle list: object 0
not in it: timeout
without a list: object 0
another parent: 1
this parent: 1
the other: 1
started in a job: 1
and ended: 12
last thread: 44
exit from a thread: 45
ends itself: 46
never started: 47
no window: 46
detached: 46
idle: 20
its only thread ended: 48
"#;

/// A debugger: events, exceptions passed on and handled, a single step, attaching and detaching.
#[test]
fn debug() {
    let outcome = Run::program(build("debug")).go();
    outcome.prints(DEBUG).exits(0);
}

const DEBUG: &str = r#"start: ok
debugged: ok
it is: 1
process: as it is, first 1
debug string: hello, debugger
exception e0000001, chance 1
exception e0000002, chance 1
behind the breakpoint: 1
exception 80000004, chance 1
thread ended: 21
some images: 1, threads: yes, breakpoints: 2
exit: 00000020
ended: 32
start: ok
process: as it is, first 1
debug string: hello, debugger
exception e0000001, chance 1
exception e0000002, chance 1
behind the breakpoint: 1
exception 80000004, chance 1
thread ended: 21
exception c0000005, chance 1
exception c0000005, chance 2
some images: 1, threads: yes, breakpoints: 2
exit: c0000005
start: ok
running: timeout
attach: ok
process: as it is, first 1
detach: ok
debugged: 0
running: timeout
nothing more: error 121
ended: object 0
"#;

/// Priority classes and thread priorities, and that they matter.
#[test]
fn priority() {
    let outcome = Run::program(build("priority")).go();
    outcome.prints(PRIORITY).exits(0).quietly();
}

const PRIORITY: &str = r#"set 15: ok, is 15
set 2: ok, is 2
set -2: ok, is -2
set -15: ok, is -15
set 0: ok, is 0
set 7: error 87
class 40: ok, is 40, thread 0
class 80: ok, is 80, thread 0
class 20: ok, is 20, thread 0
order: 3 1 2
"#;

/// DLLs loaded at run time.
#[test]
fn loads() {
    let scratch = Scratch::new();
    let library = fs::read(build_dll("library")).unwrap();
    scratch.write("library.dll", library);
    let outcome = Run::program(build("loads")).within(&scratch).go();
    outcome.prints(LOADS).exits(0).quietly();
}

const LOADS: &str = r#"load nothing: error 126
  library: process attach, reserved null
load: ok
again: 1
it is library.dll
function 53, data 5
no such function: error 127
  library: thread attach, reserved null
  library: thread detach, reserved null
in a thread 53, here 51
free once: 1, loaded 1
  library: process detach, reserved null
free twice: 1, loaded 0
  library: process attach, reserved null
  library: process detach, reserved null
refuses: error 1114
broken: error 193
  library: process attach, reserved null
load to the end: ok
  library: process detach, reserved set
"#;

/// A program's own exit code if it fits in a byte, otherwise 120 and the code in words.
#[test]
fn exit_codes() {
    let ends = |mode: &str, code: &str| Run::program(build("ends")).args([mode, code]).go();
    ends("return", "7").prints("mode return\natexit ran\n").exits(7).quietly();
    ends("return", "300").exits(120).complains("exited with 300 (0x12c)");
    ends("return", "-1").exits(120).complains("exited with 0xffffffff");
    ends("exit-process", "255").exits(255).quietly();
    ends("exit-process", "0xC0000005").exits(120).complains("STATUS_ACCESS_VIOLATION");
    ends("terminate", "77").prints("mode terminate\n").exits(77).quietly();
}

/// A program ends when its last thread does, or when any thread says so.
#[test]
fn ends_by_threads() {
    let ends = |mode: &str| Run::program(build("ends")).args([mode]).go();
    ends("thread").prints("mode thread\n").exits(44).quietly();
    ends("last-thread").prints("mode last-thread\n").exits(45).quietly();
    ends("leave-threads").prints("mode leave-threads\n").exits(46).quietly();
}

/// A crash is named, with the place as module and offset.
#[test]
fn crashes() {
    let ends = |mode: &str| Run::program(build("ends")).args([mode]).go();
    ends("crash")
        .prints("mode crash\n")
        .exits(120)
        .complains("STATUS_ACCESS_VIOLATION")
        .complains("ends.exe+0x");
    ends("divide").exits(120).complains("STATUS_INTEGER_DIVIDE_BY_ZERO").complains("ends.exe+0x");
    ends("raise").exits(120).complains("0xe0001234");
    ends("fast-fail").exits(120).complains("STATUS_STACK_BUFFER_OVERRUN");
    // The program's own filter ends it with the exception's code.
    ends("filter")
        .prints("mode filter\nunhandled filter saw c0000005\n")
        .exits(120)
        .complains("STATUS_ACCESS_VIOLATION");
}

/// `--timeout` ends a program that computes and one that waits.
#[test]
fn time_limits() {
    for mode in ["spin", "sleep"] {
        let outcome = Run::program(build("ends")).args([mode]).options(["--timeout", "2"]).go();
        assert!(outcome.time.as_secs() < 30, "{mode} took {:?}", outcome.time);
        outcome.prints(&format!("mode {mode}\n")).exits(124).complains("time limit");
    }
}

/// A DLL that is not there ends the program before it starts, by name.
#[test]
fn missing_dll() {
    Run::program(build_with_imports("missing_dll"))
        .go()
        .exits(120)
        .complains("STATUS_DLL_NOT_FOUND")
        .complains("nten-absent.dll");
}

/// An import that is not there is named with its DLL.
#[test]
fn missing_export() {
    Run::program(build_with_imports("missing_export"))
        .go()
        .exits(120)
        .complains("NtenAbsentFunction")
        .complains("KERNEL32.dll");
}

/// Two deterministic runs of competing threads are alike: what they print, and their traces to the byte.
#[test]
fn deterministic_runs_are_alike() {
    let scratch = Scratch::new();
    let run = |trace: &str| {
        Run::program(build("schedule"))
            .options(["--deterministic", "--trace", trace])
            .within(&scratch)
            .go()
            .exits(0)
    };
    let (first, second) = (run("first.txt"), run("second.txt"));
    assert_eq!(first.text(), second.text());
    let trace = scratch.read("first.txt");
    assert!(trace.len() > 1000, "a trace of {} bytes", trace.len());
    assert!(trace == scratch.read("second.txt"), "the traces differ");
}

/// A trace names services, objects, paths and results; `.jsonl` makes every line a JSON object.
#[test]
fn traces() {
    let scratch = Scratch::new();
    let run = |options: &[&str]| {
        Run::program(build("hello")).options(options).within(&scratch).go().exits(0)
    };
    run(&["--trace", "all.txt"]);
    let text = String::from_utf8(scratch.read("all.txt")).unwrap();
    for word in ["NtCreateFile", "hello.txt", "NtWriteFile", "STATUS_SUCCESS", "NtTerminateProcess"]
    {
        assert!(text.contains(word), "no {word} in the trace");
    }
    run(&["--trace", "some.jsonl", "-e", "NtCreateFile,NtOpenFile"]);
    let text = String::from_utf8(scratch.read("some.jsonl")).unwrap();
    assert!(text.contains("hello.txt"));
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        let service = event.to_string();
        assert!(service.contains("NtCreateFile") || service.contains("NtOpenFile"), "{line}");
    }
    let outcome = run(&["--trace", "-", "-e", "NtClose"]);
    assert!(outcome.stderr.contains("NtClose") && !outcome.stderr.contains("NtCreateFile"));
}

/// `--isolated` keeps writes inside and lists them; the host folder stays as it was.
#[test]
fn isolated() {
    let scratch = Scratch::new();
    scratch.write("hello.txt", "before");
    let outcome =
        Run::program(build("hello")).options(["--isolated"]).within(&scratch).go().exits(0);
    assert_eq!(scratch.read("hello.txt"), b"before");
    outcome.contains("hello.txt has 9 bytes").complains("hello.txt");
}

/// Damaged programs, one byte in many places each, end somehow; nten itself never fails.
#[test]
fn damaged_programs_never_break_nten() {
    let scratch = Scratch::new();
    let program = fs::read(build("hello")).unwrap();
    let mut state = 0x243f_6a88_85a3_08d3u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(state >> 33).unwrap() % limit
    };
    for round in 0..40 {
        let mut image = program.clone();
        // Half of the rounds damage the headers only, where every byte means something.
        let limit = if round % 2 == 0 { 0x400 } else { image.len() };
        for _ in 0..=random(8) {
            image[random(limit)] = u8::try_from(random(256)).unwrap();
        }
        scratch.write("damaged.exe", image);
        let outcome =
            Run::program("damaged.exe").options(["--timeout", "10"]).within(&scratch).go();
        assert!(!outcome.stderr.contains("panicked"), "round {round}: {}", outcome.stderr);
        // 101 is a Rust panic, -1 a signal.
        assert!(![101, -1].contains(&outcome.status), "round {round}: {}", outcome.stderr);
    }
}
