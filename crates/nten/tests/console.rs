//! Programs at a terminal: the console, `nten shell`, line editing, Ctrl-C, another window size.
//!
//! `tests/guest/console.c` writes what it finds to a file, which is compared line by line.

mod support;

use std::fs;

use support::Scratch;
use support::guest::build;
use support::terminal::Terminal;

/// A folder with `console.exe` in it.
fn folder() -> Scratch {
    let scratch = Scratch::new();
    fs::copy(build("console"), scratch.path().join("console.exe")).expect("copy the program");
    scratch
}

fn console(scratch: &Scratch, what: &str) -> Terminal {
    Terminal::start(scratch.path(), &["run", "--timeout", "200", "console.exe", what])
}

fn found(scratch: &Scratch) -> String {
    String::from_utf8_lossy(&scratch.read("console.txt")).replace("\r\n", "\n")
}

#[test]
fn a_screen_buffer_is_written_and_read() {
    let scratch = folder();
    let mut terminal = console(&scratch, "screen");
    terminal.shows("abcdefgh").shows("green").shows("the other buffer").shows("abcdefgh").exits(5);
    assert_eq!(
        found(&scratch),
        "types: 2 2\ninput mode: 7 ok\noutput mode: 3 ok\nsize: 80x25, window 0,0 to 79,24\n\
         filled: 2000\nmove: ok\nmove: ok\nafter a line: at 0,3 attribute a\n\
         row 0: [abcdefgh  ] ok\nrow 2: [     green      x   ] ok\nattribute: a ok\n\
         wrote 1,4 to 2,5: ok\nread ABCD 1f: ok\nscroll: ok\nrow 4: [....] ok\nrow 6: [ AB ] ok\n\
         set title: ok\ntitle: 7 a title\npages: 437 437\nset page: ok\npage: 65001\nno page: 0\n\
         processes: 1, one is mine: 1\nhide: ok\nafter sequences: at 2,9 attribute 7\n\
         row 8: [rxd ] ok\nCONOUT$: 1, mode: ok\nCONIN$: 1, mode: ok\nwrong kind: error 6\n\
         buffer: 1, shown: ok\nback: ok\ndone\n"
    );
    let raw = terminal.raw();
    assert!(raw.contains("\x1b[0;92mgreen"), "{raw:?}");
    assert!(raw.contains("\x1b]0;a title\x07"), "{raw:?}");
    assert!(raw.contains("\x1b[?25l") && raw.contains("\x1b[?25h"), "{raw:?}");
}

#[test]
fn keys_and_sizes_are_records() {
    let scratch = folder();
    let mut terminal = console(&scratch, "keys");
    terminal.shows("press keys>").types("a\x1b[A\x03\u{E9}").resizes(100, 30);
    terminal.shows("resized>").types("q").exits(5);
    let found = found(&scratch);
    let (head, events) = found.split_at(found.find("made").expect("a record was made"));
    assert_eq!(head, "mode: ok\nnothing: 258\npeek: ok, 0\nwrite: ok, 1\nsomething: 0\n");
    // The size may come before, between or after the keys.
    assert!(events.contains("size 100x30\n"), "{events}");
    assert_eq!(
        events.replace("size 100x30\n", ""),
        "made: m\nnothing: 258\nkey 41 character 61 state 0\nkey 26 character 0 state 100\n\
         key 43 character 3 state 8\nkey 0 character e9 state 0\nkey 51 character 71 state 0\ndone\n"
    );
}

#[test]
fn lines_are_edited_and_echoed() {
    let scratch = folder();
    let mut terminal = console(&scratch, "lines");
    terminal.shows("wide>").types("hola\x1b[D\x7fll\r").shows("holla");
    terminal.shows("small>").types("abcdef\r").shows("abcdef");
    terminal.shows("bytes>").types("bytes\x7fS\r").shows("byteS");
    terminal.shows("secret>").types("geheim\r");
    terminal.shows("end>").types("\x1a\r").exits(5);
    assert!(!terminal.text().contains("geheim"));
    assert_eq!(
        found(&scratch),
        "wide: 7 holla ok\nsmall: 3 abc ok\nrest: 5 ok\nbytes: 7 byteS ok\nsecret: geheim\n\
         end: 0 ok\ndone\n"
    );
}

#[test]
fn control_events_reach_the_handler_and_end_who_has_none() {
    let scratch = folder();
    let mut terminal = console(&scratch, "control");
    terminal.shows("c>").types("\x03").shows("break>").types("\x1c").shows("last>").types("\x03");
    terminal.shows("STATUS_CONTROL_C_EXIT").exits(120);
    assert_eq!(
        found(&scratch),
        "event 0\nwait: 0\nevent 1\nwait: 0\ngenerate: ok\nevent 0\nwait: 0\n"
    );
}

#[test]
fn a_shell_prompts_and_runs_commands() {
    let scratch = folder();
    scratch.write("ask.bat", "@echo off\r\nset /p name=name? \r\necho hi %name%!\r\npause\r\n");
    let mut shell = Terminal::start(scratch.path(), &["shell", "--timeout", "200"]);
    shell.shows("D:\\>").types("echo one& echo two\r").shows("one\ntwo\n");
    // The line before comes back and is changed.
    shell.shows("D:\\>").types("\x1b[A\x7f\x7f\x7fsix\r").shows("one\nsix\n");
    // Ctrl-C leaves the line and the shell stays.
    shell.shows("D:\\>").types("not this\x03").shows("^C").shows("D:\\>");
    shell.types("ask.bat\r").shows("name? ").types("Bob\r").shows("hi Bob!");
    shell.shows("any key").types("x").shows("D:\\>");
    shell.types("dir /b|sort /r\r").shows("console.exe\nask.bat\n").shows("D:\\>");
    // A child shares the console; Ctrl-C ends it alone.
    shell.types("console.exe control\r").shows("c>").types("\x03").shows("break>");
    shell.types("\r").types("exit 3\r");
    drop(shell);
}

#[test]
fn more_shows_a_page_at_a_time() {
    let scratch = folder();
    let lines: String = (0..60).map(|number| format!("line {number}\r\n")).collect();
    scratch.write("many.txt", lines);
    let mut shell = Terminal::start(scratch.path(), &["shell", "--timeout", "200"]);
    shell.shows("D:\\>").types("more many.txt\r").shows("line 23\n-- More");
    assert!(!shell.text().contains("line 24"));
    shell.types("\r").shows("line 47\n-- More").types("\r").shows("line 59\n");
    shell.shows("D:\\>").types("cls\r").shows("D:\\>").types("exit 2\r").exits(2);
    assert!(shell.raw().contains("\x1b[2J"));
}

/// With redirected streams there is no console.
#[test]
fn a_shell_without_a_terminal_reads_its_input() {
    let scratch = Scratch::new();
    let outcome =
        support::Run::program("cmd.exe").input("echo hello\r\nexit 4\r\n").within(&scratch).go();
    outcome.exits(4).contains("hello").quietly();
}
