//! The userland's `cmd.exe`, run by `nten run`: its commands, redirection, pipes and batch files.

mod support;

use support::{Outcome, Run, Scratch};

/// Runs one command line.
fn cmd(scratch: &Scratch, line: &str) -> Outcome {
    Run::program("cmd.exe").args(["/c", line]).within(scratch).go()
}

#[test]
fn echo() {
    let scratch = Scratch::new();
    cmd(&scratch, "echo hello").prints("hello\n").exits(0).quietly();
    cmd(&scratch, "echo one& echo two").prints("one\ntwo\n").exits(0);
    cmd(&scratch, "exit 7").prints("").exits(7);
    let outcome = cmd(&scratch, "no-such-command").complains("no-such-command");
    assert_ne!(outcome.status, 0);
}

/// `dir` lists names and sizes of the current folder, which is the host's.
#[test]
fn dir() {
    let scratch = Scratch::new();
    scratch.write("small.txt", "1234567");
    scratch.write("large.bin", vec![0; 1_234_567]);
    scratch.write("folder/inner.txt", "");
    let outcome = cmd(&scratch, "dir").exits(0).quietly();
    let text = outcome.text();
    let line = |name: &str| {
        text.lines()
            .find(|line| line.ends_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert!(line("small.txt").contains(" 7 "));
    assert!(line("large.bin").contains(" 1,234,567 "));
    assert!(line("folder").contains("<DIR>"));
    assert!(!text.contains("inner.txt"));
    cmd(&scratch, "dir /b *.txt").prints("small.txt\n").exits(0);
    cmd(&scratch, "dir /s /b inner*").exits(0).contains(r"\folder\inner.txt");
}

#[test]
fn set() {
    let scratch = Scratch::new();
    let outcome = Run::program("cmd.exe")
        .options(["--env", "QQ_B=two words", "--env", "QQ_A=1"])
        .args(["/c", "set QQ_"])
        .within(&scratch)
        .go();
    outcome.prints("QQ_A=1\nQQ_B=two words\n").exits(0);
    cmd(&scratch, "set /a 6*7").contains("42").exits(0);
    cmd(&scratch, "set QQ_ABSENT").exits(1);
    cmd(&scratch, "set").exits(0).contains("SystemRoot=C:\\").contains("ComSpec=");
}

#[test]
fn type_copy_and_del() {
    let scratch = Scratch::new();
    scratch.write("a.txt", "first\r\nsecond\r\n");
    cmd(&scratch, "type a.txt").prints("first\nsecond\n").exits(0);
    cmd(&scratch, "copy a.txt b.txt").exits(0);
    assert_eq!(scratch.read("b.txt"), b"first\r\nsecond\r\n");
    cmd(&scratch, "copy /b a.txt+b.txt c.txt").exits(0);
    assert_eq!(scratch.read("c.txt").len(), 30);
    cmd(&scratch, "del b.txt").exits(0);
    assert!(!scratch.path().join("b.txt").exists());
    cmd(&scratch, "md one\\two").exits(0);
    assert!(scratch.path().join("one/two").is_dir());
    cmd(&scratch, "ren A.TXT d.txt").exits(0);
    assert_eq!(scratch.read("d.txt"), b"first\r\nsecond\r\n");
    cmd(&scratch, "move d.txt one\\two").exits(0);
    assert!(scratch.path().join("one/two/d.txt").exists());
    cmd(&scratch, "rd /s /q one").exits(0);
    assert!(!scratch.path().join("one").exists());
    cmd(&scratch, "type absent.txt").exits(1);
}

#[test]
fn for_loops() {
    let scratch = Scratch::new();
    scratch.write("x1.dat", "");
    scratch.write("x2.dat", "");
    cmd(&scratch, "for %i in (1 2 3) do @echo %i").prints("1\n2\n3\n").exits(0);
    cmd(&scratch, "for /l %i in (1,2,7) do @echo %i").prints("1\n3\n5\n7\n").exits(0);
    let outcome = cmd(&scratch, "for %f in (*.dat) do @echo found %f").exits(0);
    let text = outcome.text();
    let mut found: Vec<&str> = text.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["found x1.dat", "found x2.dat"]);
}

#[test]
fn redirection() {
    let scratch = Scratch::new();
    cmd(&scratch, "echo one>out.txt").prints("").exits(0);
    cmd(&scratch, "echo two>>out.txt").prints("").exits(0);
    assert_eq!(scratch.read("out.txt"), b"one\r\ntwo\r\n");
    scratch.write("read.cmd", "@find \"tw\" <out.txt\r\n");
    cmd(&scratch, "read.cmd").prints("two\n").exits(0);
    cmd(&scratch, "type absent.txt 2>error.txt").exits(1);
    assert!(!scratch.read("error.txt").is_empty());
    cmd(&scratch, "echo gone>nul").prints("").exits(0);
}

/// A pipe between two processes, and a program's input.
#[test]
fn pipes() {
    let scratch = Scratch::new();
    scratch.write("a.txt", "apple\r\nbanana\r\ncherry\r\n");
    cmd(&scratch, "type a.txt | findstr an").prints("banana\n").exits(0);
    scratch.write("pipe.cmd", "@type a.txt | find \"an\" | find \"b\"\r\n");
    cmd(&scratch, "pipe.cmd").prints("banana\n").exits(0);
    let outcome =
        Run::program("findstr.exe").args(["err"]).input("cherry\r\nplum\r\n").within(&scratch);
    outcome.go().prints("cherry\n").exits(0);
}

/// A batch file: variables, conditions, labels, calls with arguments, and an exit code.
#[test]
fn batch_files() {
    let scratch = Scratch::new();
    scratch.write(
        "main.cmd",
        "@echo off\r\n\
         set COUNT=0\r\n\
         :again\r\n\
         set /a COUNT=%COUNT%+1\r\n\
         if not %COUNT%==3 goto again\r\n\
         echo counted %COUNT%\r\n\
         call :sub alpha \"be ta\"\r\n\
         echo back with %errorlevel%\r\n\
         call other.cmd x y\r\n\
         if exist main.cmd echo here\r\n\
         if not exist absent echo not there\r\n\
         exit /b 5\r\n\
         :sub\r\n\
         echo sub %1 and %~2\r\n\
         exit /b 9\r\n",
    );
    scratch.write("other.cmd", "@echo other got %*\r\n");
    cmd(&scratch, "main.cmd")
        .prints("counted 3\nsub alpha and be ta\nback with 9\nother got x y\nhere\nnot there\n")
        .exits(5);
}

/// Commands from standard input, as `cmd < file` would give them.
#[test]
fn commands_from_input() {
    let scratch = Scratch::new();
    let outcome = Run::program("cmd.exe")
        .args(["/q", "/k", "prompt $s"])
        .input("echo from input\r\nexit\r\n")
        .within(&scratch)
        .go();
    outcome.contains("from input\n").exits(0);
}
