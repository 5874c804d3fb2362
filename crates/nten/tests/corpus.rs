//! Real programs that nobody here wrote, run by `nten run`: each must do its work, not only print its version.
//!
//! Programs are downloaded by package name (`support/corpus.rs`). Wine's own `cmd.exe` comes with the userland.
//! Expectations were observed; where Windows and another implementation differ, they say what Windows does.

mod support;

use std::fs;

use support::corpus::{fetch, table};
use support::{Outcome, Run, Scratch};

/// Every program of the table can be had, and is the one that was examined.
#[test]
fn programs_can_be_downloaded() {
    for entry in table() {
        fetch(&entry.id);
    }
}

/// `fastlist` lists the machine's processes by Toolhelp: itself among them.
#[test]
fn fastlist() {
    let outcome = Run::program(fetch("fastlist")).go().exits(0).quietly();
    let text = outcome.text();
    let own = text.lines().filter(|line| line.ends_with("\tfastlist-0.3.0-x64.exe")).count();
    assert_eq!(own, 1, "{text}");
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert!(
            fields.len() == 3 && fields[..2].iter().all(|id| id.parse::<u32>().is_ok()),
            "{line}"
        );
    }
}

#[test]
fn ninja_version() {
    let outcome = Run::program(fetch("ninja")).args(["--version"]).go();
    outcome.prints("1.13.2.git.kitware.jobserver-pipe-1\n").exits(0).quietly();
}

/// `ninja` builds three files with `cmd.exe`, then finds nothing to do.
#[test]
fn ninja_builds() {
    let scratch = Scratch::new();
    scratch.write("a.txt", "hello\r\n");
    scratch.write(
        "build.ninja",
        "rule copy\n  command = cmd.exe /c copy $in $out >nul\n\
         rule join\n  command = cmd.exe /c type $in > $out\n\
         build b.txt: copy a.txt\nbuild c.txt: copy a.txt\nbuild d.txt: join b.txt c.txt\n",
    );
    let ninja = || Run::program(fetch("ninja")).within(&scratch).go().exits(0);
    ninja();
    assert_eq!(scratch.read("b.txt"), b"hello\r\n");
    let joined = String::from_utf8(scratch.read("d.txt")).unwrap();
    assert_eq!(joined.matches("hello").count(), 2, "{joined}");
    ninja().contains("ninja: no work to do.");
}

#[test]
fn seven_zip_hashes() {
    let scratch = Scratch::new();
    scratch.write("h.txt", "hello corpus\n");
    let arguments = ["h", "-scrcSHA256", "h.txt"];
    let outcome = Run::program(fetch("7za")).args(arguments).within(&scratch).go().exits(0);
    outcome
        .contains("7-Zip (a) 21.07 (x64) : Copyright (c) 1999-2021 Igor Pavlov : 2021-12-26")
        .contains(
            "15f085ae206701271d2791c17f98b98439c7d681772d8f32a481082eb4ce88a4            13  h.txt",
        )
        .contains("Everything is Ok")
        .quietly();
}

/// `7za` packs four megabytes of noise and text, tests the archive and unpacks it again.
#[test]
fn seven_zip_archives() {
    let scratch = Scratch::new();
    let noise = noise(2_000_000);
    let text = "the quick brown fox jumps over the lazy dog\r\n".repeat(45_000);
    scratch.write("noise.bin", &noise);
    scratch.write("sub/text.txt", &text);
    let seven_zip = |arguments: &[&str]| {
        let run = Run::program(fetch("7za")).args(arguments).within(&scratch).go().exits(0);
        run.contains("Everything is Ok").quietly()
    };
    seven_zip(&["a", "-mx=1", "a.7z", "noise.bin", "sub"]);
    let packed = scratch.read("a.7z").len();
    assert!((2_000_000..2_200_000).contains(&packed), "packed to {packed} bytes");
    seven_zip(&["t", "a.7z"]).contains("Size:       4025000");
    seven_zip(&["x", "-oout", "a.7z"]);
    assert!(scratch.read("out/noise.bin") == noise, "noise.bin changed");
    assert!(scratch.read("out/sub/text.txt") == text.as_bytes(), "text.txt changed");
    // A damaged archive is noticed: the checksums are computed, not believed.
    let mut damaged = scratch.read("a.7z");
    damaged[1_000_000] ^= 1;
    scratch.write("b.7z", damaged);
    let outcome = Run::program(fetch("7za")).args(["t", "b.7z"]).within(&scratch).go().exits(2);
    assert!(outcome.text().contains("ERROR") || outcome.stderr.contains("ERROR"));
}

/// `7za` at full compression with several threads, in the ZIP format.
#[test]
fn seven_zip_with_threads() {
    let scratch = Scratch::new();
    let text: String =
        (0..20_000).map(|line| format!("line {line} of {}\n", line * 7919)).collect();
    scratch.write("text.txt", &text);
    let seven_zip = |arguments: &[&str]| {
        Run::program(fetch("7za")).args(arguments).within(&scratch).go().exits(0)
    };
    seven_zip(&["a", "-tzip", "-mx=9", "-mmt=4", "a.zip", "text.txt"]);
    seven_zip(&["x", "-oout", "a.zip"]);
    assert!(scratch.read("out/text.txt") == text.as_bytes(), "text.txt changed");
}

/// `rg` searches a folder of 200 files with its threads and finds every match.
#[test]
fn ripgrep_searches_a_folder() {
    let scratch = Scratch::new();
    let mut expected = Vec::new();
    for file in 0..200 {
        let (folder, name) = (file % 10, format!("f{file}.txt"));
        let mut text = String::new();
        for line in 1..=50 {
            let found = (line * 31 + file * 17) % 23 == 0;
            text.push_str(if found { "a needle in the hay\n" } else { "only hay, and more hay\n" });
            if found {
                expected.push(format!(r"tree\d{folder}\{name}:{line}:a needle in the hay"));
            }
        }
        scratch.write(&format!("tree/d{folder}/{name}"), text);
    }
    expected.sort();
    let arguments = ["-j", "8", "-n", "--no-heading", "needle", "tree"];
    let outcome = Run::program(fetch("rg")).args(arguments).within(&scratch).go().exits(0);
    let text = outcome.text();
    let mut found: Vec<&str> = text.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    outcome.quietly();
}

#[test]
fn ripgrep_reads_input_and_says_when_nothing_matches() {
    let scratch = Scratch::new();
    scratch.write("a.txt", "nothing here\n");
    let rg = |arguments: &[&str]| Run::program(fetch("rg")).args(arguments).within(&scratch);
    rg(&["--version"]).go().exits(0).contains("ripgrep 14.1.0 (rev 80aeffd1cb)");
    rg(&["-o", "n[a-z]+e"]).input("pipe needle\n").go().prints("needle\n").exits(0);
    rg(&["absent", "a.txt"]).go().prints("").exits(1);
    rg(&["(", "a.txt"]).go().exits(2).complains("regex parse error");
}

/// `protoc` compiles a file to C++ and to a descriptor, and says where another is wrong.
#[test]
fn protoc() {
    let scratch = Scratch::new();
    scratch.write(
        "p.proto",
        "syntax = \"proto3\";\npackage demo;\n\
         message Person { string name = 1; repeated int32 numbers = 2; }\n",
    );
    let protoc =
        |arguments: &[&str]| Run::program(fetch("protoc")).args(arguments).within(&scratch);
    protoc(&["--version"]).go().prints("libprotoc 30.2\n").exits(0).quietly();
    protoc(&["--cpp_out=.", "--descriptor_set_out=p.pb", "p.proto"])
        .go()
        .prints("")
        .exits(0)
        .quietly();
    let header = String::from_utf8(scratch.read("p.pb.h")).unwrap();
    assert!(header.contains("class Person"));
    let descriptor = scratch.read("p.pb");
    assert_eq!(descriptor.len(), 81);
    assert!(descriptor.windows(6).any(|bytes| bytes == b"Person"));
    scratch.write("bad.proto", "syntax = \"proto3\";\nmessage X { string a = 1 }\n");
    protoc(&["--cpp_out=.", "bad.proto"])
        .go()
        .exits(1)
        .complains("bad.proto:2:26: Expected \";\".");
}

#[test]
fn esbuild() {
    let scratch = Scratch::new();
    scratch.write("e.js", "let x = 1 + 2; console.log(x)\n");
    let esbuild = |arguments: &[&str]| {
        Run::program(fetch("esbuild")).args(arguments).within(&scratch).go().exits(0)
    };
    esbuild(&["--version"]).prints("0.28.2\n");
    esbuild(&["--minify", "e.js"]).prints("let x=3;console.log(x);\n");
    scratch.write("lib.js", "export const used = 41; export const unused = 'gone'\n");
    scratch.write("main.js", "import {used} from './lib.js'\nconsole.log(used + 1)\n");
    esbuild(&["--bundle", "--minify", "--outfile=out.js", "main.js"]);
    let bundle = String::from_utf8(scratch.read("out.js")).unwrap();
    assert!(bundle.contains("console.log(42)") && !bundle.contains("gone"), "{bundle}");
}

/// `ruff` finds three faults of a small file, and repairs one in place.
#[test]
fn ruff() {
    let scratch = Scratch::new();
    scratch.write("a.py", "import os\n\ndef f(x):\n    y = 1\n    return x == None\n");
    let ruff = |arguments: &[&str]| {
        let all = ["check", "--no-cache", "--isolated", "--select", "E,F"].iter().chain(arguments);
        Run::program(fetch("ruff")).args(all).within(&scratch).go().exits(1)
    };
    ruff(&["--output-format", "concise", "a.py"]).prints(
        "a.py:1:8: F401 [*] `os` imported but unused\n\
         a.py:4:5: F841 Local variable `y` is assigned to but never used\n\
         a.py:5:17: E711 Comparison to `None` should be `cond is None`\n\
         Found 3 errors.\n\
         [*] 1 fixable with `--fix` (2 unsafe fixes available with `--fix --unsafe-fixes`).\n",
    );
    ruff(&["--fix", "--quiet", "a.py"]);
    assert!(scratch.read("a.py").starts_with(b"\ndef f(x):"));
}

/// `z3` with the MSVC runtime beside it, as its installer would put it there.
#[test]
fn z3() {
    let scratch = Scratch::new();
    for part in ["z3", "msvcp140", "vcruntime140", "vcruntime140_1"] {
        let file = fetch(part);
        let name = format!("bin/{}", file.file_name().unwrap().display());
        scratch.write(&name, fs::read(&file).unwrap());
    }
    let solve = |problem: &str| -> Outcome {
        scratch.write("a.smt2", problem);
        Run::program("bin/z3.exe").args(["a.smt2"]).within(&scratch).go().exits(0)
    };
    solve("(declare-const x Int)(assert (= (* x x) 144))(assert (> x 0))(check-sat)(eval x)")
        .prints("sat\n12\n")
        .quietly();
    solve(
        "(declare-const a (_ BitVec 32))(declare-const b (_ BitVec 32))\
         (assert (not (= (bvxor (bvxor a b) b) a)))(check-sat)",
    )
    .prints("unsat\n");
}

/// GNU make expands a function and runs a recipe through a child process.
#[test]
fn make() {
    let scratch = Scratch::new();
    scratch.write("Makefile", "all:;@echo hi-$(words a b c)\nfail:;@exit 3\n");
    let make =
        |arguments: &[&str]| Run::program(fetch("make")).args(arguments).within(&scratch).go();
    make(&["--version"]).exits(0).contains("GNU Make 4.4.1\nBuilt for Windows32\n");
    make(&[]).prints("hi-3\n").exits(0);
    make(&["fail"]).exits(2).complains("Error 3");
}

/// `rcedit` rewrites the resources of a program: the Win32 functions for that, on a real file.
#[test]
fn rcedit() {
    let scratch = Scratch::new();
    scratch.write("x.exe", fs::read(fetch("setuptools-cli64")).unwrap());
    let rcedit =
        |arguments: &[&str]| Run::program(fetch("rcedit")).args(arguments).within(&scratch).go();
    rcedit(&["--help"]).exits(0).contains("Rcedit v0.2.0: Edit resources of exe.\n");
    rcedit(&["x.exe", "--set-version-string", "ProductName", "Renamed"]).exits(0);
    rcedit(&["x.exe", "--get-version-string", "ProductName"]).exits(0).contains("Renamed");
    rcedit(&["absent.exe", "--set-version-string", "a", "b"]).exits(1);
}

#[test]
fn just() {
    let scratch = Scratch::new();
    scratch.write(
        "justfile",
        "x := \"1\" + \"2\"\ndefault:\n\t@echo hi\n# says bye\nbye name:\n\techo bye\n",
    );
    let just =
        |arguments: &[&str]| Run::program(fetch("just")).args(arguments).within(&scratch).go();
    just(&["--version"]).prints("just 1.59.0\n").exits(0).quietly();
    just(&["--evaluate"]).prints("x := \"12\"\n").exits(0);
    just(&["--list"]).prints("Available recipes:\n    bye name # says bye\n    default\n").exits(0);
}

#[test]
fn buf() {
    Run::program(fetch("buf")).args(["--version"]).go().contains("1.75.0").exits(0);
}

/// `elevate` without arguments prints its usage and ends with -2.
#[test]
fn elevate() {
    let outcome = Run::program(fetch("elevate")).go().exits(120).complains("0xfffffffe");
    outcome.contains("Usage: elevate [(-c | -k) [-n] [-u]] [-w] command");
}

/// The setuptools launcher looks for its script beside itself and says that there is none.
#[test]
fn setuptools_launcher() {
    let outcome = Run::program(fetch("setuptools-cli64")).go().exits(2);
    outcome.complains("Cannot open ").complains("cli-64-script.py");
}

/// Bytes that do not compress, the same in every run.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
