//! The userland's tools and builds of several processes, run as a user would: registry, processes, search, copies,
//! batch files, pipelines, `cmake -E`, `just`, `ccache` and `ninja`.
//!
//! The tools are Wine's, and what they lack is not asked of them here: `findstr` knows `.`, `*`, `^` and `$` but no
//! classes and ignores `/n`, `/v`, `/m` and `/s`; `find` has no switches, `fc` no `/b`, `where` no `/r`; `attrib` takes
//! the last of several flags; errors go to standard output; `whoami` says nothing to `/all`; `CreateSymbolicLink` makes
//! no link.

mod support;

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use support::corpus::fetch;
use support::{Outcome, Run, Scratch};

/// Runs one of the userland's programs in a folder.
fn tool(scratch: &Scratch, program: &str, arguments: &[&str]) -> Outcome {
    Run::program(program).args(arguments).within(scratch).go()
}

/// Runs the lines of a batch file in a folder, `args` after its name.
fn batch(scratch: &Scratch, args: &str, lines: &[&str]) -> Outcome {
    scratch.write("batch.cmd", format!("@echo off\r\n{}\r\n", lines.join("\r\n")));
    Run::program("cmd.exe").args(["/c", &format!("batch.cmd {args}")]).within(scratch).go()
}

/// A folder with three lines to search and sort, and a small tree.
fn fruit() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("f.txt", "banana\r\napple\r\ncherry\r\n");
    scratch.write("tree/a/b/x.txt", "x");
    scratch.write("tree/y.txt", "y");
    scratch
}

/// The lines of an output, sorted.
fn sorted(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome.text().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// `reg` adds, shows, exports, deletes, imports and copies keys.
#[test]
fn reg() {
    let scratch = Scratch::new();
    let outcome = batch(
        &scratch,
        "",
        &[
            r"reg add HKCU\Software\Q /v a /t REG_DWORD /d 5 /f >nul",
            r"reg add HKCU\Software\Q\S /v b /d text /f >nul",
            r"reg export HKCU\Software\Q q.reg /y >nul",
            r"reg delete HKCU\Software\Q /f >nul",
            r"reg query HKCU\Software\Q >nul",
            "echo gone %errorlevel%",
            "reg import q.reg >nul",
            r"reg copy HKCU\Software\Q HKCU\Software\R /s /f >nul",
            r"reg query HKCU\Software\R /s",
        ],
    );
    let expected = "gone 1\n\nHKEY_CURRENT_USER\\Software\\R\n    a    REG_DWORD    0x5\n\n\
                    HKEY_CURRENT_USER\\Software\\R\\S\n    b    REG_SZ    text\n\n";
    outcome.prints(expected).exits(0).quietly();
    let exported: Vec<u16> =
        scratch.read("q.reg").chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    let exported = String::from_utf16(&exported).unwrap();
    assert!(exported.contains("\"a\"=dword:00000005\r\n"), "{exported}");
}

/// `tasklist` sees a child in the background, `taskkill` ends it, and then it is gone.
#[test]
fn tasklist_and_taskkill() {
    let scratch = Scratch::new();
    scratch.write("loop.cmd", "@echo off\r\n:again\r\ngoto again\r\n");
    let outcome = batch(
        &scratch,
        "",
        &[
            "copy %ComSpec% background.exe >nul",
            "start /b background.exe /c loop.cmd",
            "tasklist /nh /fo csv | findstr background",
            "taskkill /f /im background.exe >nul",
            "echo ended %errorlevel%",
            "tasklist /nh /fo csv | findstr background",
            "taskkill /f /im background.exe >nul",
            "echo again %errorlevel%",
            "exit /b 0",
        ],
    );
    let text = outcome.exits(0).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("\"background.exe\",\""), "{text}");
    assert_eq!(lines[1..], ["ended 0", "again 128"]);
}

#[test]
fn findstr_with_expressions() {
    let scratch = fruit();
    let findstr = |arguments: &[&str]| tool(&scratch, "findstr.exe", arguments);
    findstr(&["/r", "^a.*e", "f.txt"]).prints("apple\n").exits(0);
    findstr(&["/r", "na$", "f.txt"]).prints("banana\n").exits(0);
    findstr(&["/r", "x*r.", "f.txt"]).prints("cherry\n").exits(0);
    findstr(&["/i", "CHERRY", "f.txt"]).prints("cherry\n").exits(0);
    findstr(&["plum", "f.txt"]).prints("").exits(1);
}

#[test]
fn xcopy_copies_trees() {
    let scratch = fruit();
    tool(&scratch, "xcopy.exe", &["tree", "out", "/s", "/e", "/i", "/y"])
        .contains("2 file(s) copied")
        .exits(0)
        .quietly();
    assert_eq!(scratch.read("out/a/b/x.txt"), b"x");
    assert_eq!(scratch.read("out/y.txt"), b"y");
    tool(&scratch, "xcopy.exe", &["absent", "out"]).exits(4);
}

/// Who and where this is; without a network no adapter is made up.
#[test]
fn identity() {
    let scratch = Scratch::new();
    tool(&scratch, "where.exe", &["cmd"]).prints("C:\\windows\\system32\\cmd.exe\n").exits(0);
    tool(&scratch, "where.exe", &["no-such-program"]).exits(1);
    let host = tool(&scratch, "hostname.exe", &[]).exits(0).text();
    let whoami = tool(&scratch, "whoami.exe", &[]).exits(0).text();
    let (domain, user) = whoami.trim_end().split_once('\\').expect("DOMAIN\\user");
    assert_eq!(domain, host.trim_end());
    tool(&scratch, "whoami.exe", &["/user"]).exits(0).contains(&format!("{domain}\\{user} S-1-5-"));
    let network = tool(&scratch, "ipconfig.exe", &["/all"]).contains(host.trim_end()).text();
    assert!(!network.contains("IPv4"), "{network}");
}

/// `net` reports that there is no service manager to ask.
#[test]
fn net() {
    let scratch = Scratch::new();
    tool(&scratch, "net.exe", &[]).contains("NET command [arguments]").exits(1);
    tool(&scratch, "net.exe", &["start"]).contains("service control manager").exits(1);
}

/// `attrib` sets what keeps a file from being written and what hides it.
#[test]
fn attrib() {
    let scratch = fruit();
    let outcome = batch(
        &scratch,
        "",
        &[
            "attrib +r f.txt",
            "attrib +h f.txt",
            "attrib f.txt",
            "dir /b *.txt",
            "echo new>f.txt",
            "attrib -r f.txt",
            "attrib -h f.txt",
            "attrib f.txt",
            "echo new>f.txt",
        ],
    );
    let text = outcome.exits(0).text();
    let flags: Vec<Vec<&str>> =
        text.lines().filter(|l| l.contains(':')).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(flags, [["A", "HR", r"D:\f.txt"].as_slice(), &["A", r"D:\f.txt"]], "{text}");
    assert!(!text.lines().any(|line| line == "f.txt"), "{text}");
    assert_eq!(scratch.read("f.txt"), b"new\r\n");
}

#[test]
fn sort_more_fc_and_find() {
    let scratch = fruit();
    scratch.write("g.txt", "banana\r\nplum\r\ncherry\r\n");
    tool(&scratch, "sort.exe", &["f.txt"]).prints("apple\nbanana\ncherry\n").exits(0);
    tool(&scratch, "sort.exe", &["/r", "f.txt"]).prints("cherry\nbanana\napple\n").exits(0);
    batch(&scratch, "", &["more < f.txt"]).contains("banana\napple\ncherry\n").exits(0);
    tool(&scratch, "fc.exe", &["f.txt", "f.txt"]).contains("no differences").exits(0);
    tool(&scratch, "fc.exe", &["f.txt", "g.txt"]).contains("banana\nplum\ncherry\n").exits(1);
    tool(&scratch, "fc.exe", &["f.txt", "absent.txt"]).exits(2);
    batch(&scratch, "", &["find \"err\" f.txt"]).contains("F.TXT\ncherry\n").exits(0);
}

/// A batch file with calls, local variables, shifts, exit codes, loops over a command's output, and jumps.
#[test]
fn batch_files() {
    let scratch = fruit();
    scratch.write("other.cmd", "@echo other %1 %~2\r\n@exit /b 3\r\n");
    scratch.write("p.csv", "a,b,c\r\nd,e,f\r\ng,h,i\r\n");
    let outcome = batch(
        &scratch,
        "one two",
        &[
            "setlocal enabledelayedexpansion",
            "set A=1",
            "call :sub x y z",
            "echo back %errorlevel% %A%",
            "for /f \"skip=1 tokens=2 delims=,\" %%i in (p.csv) do echo cell %%i",
            "for /f \"usebackq delims=\" %%i in (`type f.txt ^| sort`) do echo [%%i]",
            "for /l %%i in (1,1,5) do set /a n+=%%i",
            "echo sum !n!",
            "if exist f.txt (echo yes) else echo no",
            "if not exist absent.txt echo absent",
            "for %%a in (%*) do echo argument %%a",
            "pushd tree",
            "if exist y.txt echo in %~n0",
            "popd",
            "call other.cmd p \"q r\"",
            "if errorlevel 4 echo four",
            "if errorlevel 3 echo three",
            "endlocal",
            "echo {%A%}",
            "goto done",
            "echo not here",
            ":sub",
            "echo %1 %2",
            "shift",
            "echo %1 %2",
            "set A=5",
            "exit /b 9",
            ":done",
            "exit /b 4",
        ],
    );
    let expected = "x y\ny z\nback 9 5\ncell e\ncell h\n[apple]\n[banana]\n[cherry]\nsum 15\nyes\nabsent\n\
                    argument one\nargument two\nin batch\nother p q r\nthree\n{}\n";
    outcome.prints(expected).exits(4).quietly();
}

#[test]
fn pipelines_of_three() {
    let scratch = fruit();
    let outcome = batch(&scratch, "", &["dir /b /s tree | findstr txt | sort"]).exits(0);
    assert_eq!(outcome.text().lines().count(), 2, "{}", outcome.text());
    outcome.contains("\\tree\\a\\b\\x.txt\n");
    let line = "type f.txt | findstr e | sort /r | findstr r";
    batch(&scratch, "", &[line]).prints("cherry\n").exits(0);
}

/// `cmake -E`: the small portable commands that builds use.
#[test]
fn cmake_commands() {
    let scratch = fruit();
    let program = fetch("cmake");
    let run = |arguments: &[&str]| {
        Run::program(&program).args(["-E"]).args(arguments).within(&scratch).go()
    };
    let cmake = |arguments: &[&str]| run(arguments).exits(0);
    cmake(&["copy", "f.txt", "copy.txt"]);
    assert_eq!(scratch.read("copy.txt"), scratch.read("f.txt"));
    cmake(&["make_directory", "one/two/three"]);
    assert!(scratch.path().join("one/two/three").is_dir());
    cmake(&["sha256sum", "f.txt"])
        .prints("33df837381b63676cc0aead5576f8a757c54dc953fad7024ad3fe48837aaa4c9  f.txt\n");
    cmake(&["tar", "czf", "tree.tgz", "tree"]);
    cmake(&["rm", "-r", "tree"]);
    assert!(!scratch.path().join("tree").exists());
    cmake(&["tar", "xzf", "tree.tgz"]);
    assert_eq!(scratch.read("tree/a/b/x.txt"), b"x");
    cmake(&["copy_directory", "tree", "other"]);
    assert_eq!(scratch.read("other/y.txt"), b"y");
    cmake(&["rename", "copy.txt", "renamed.txt"]);
    cmake(&["env", "QQ=1", "cmd", "/c", "set QQ"]).prints("QQ=1\n");
    cmake(&["chdir", "one", "cmd", "/c", "cd"]).prints("D:\\one\n");
    run(&["compare_files", "renamed.txt", "tree/y.txt"]).exits(1);
}

/// `just` runs recipes in order by `cmd.exe` and passes a failure on.
#[test]
fn just_runs_recipes() {
    let scratch = Scratch::new();
    scratch.write(
        "justfile",
        "set shell := [\"cmd.exe\", \"/c\"]\nall: one two\n\t@echo all\none:\n\t@echo 1>one.txt\n\
         two: one\n\t@dir /b one.txt\nfail:\n\t@exit 3\n",
    );
    let just = |recipe| Run::program(fetch("just")).args([recipe]).within(&scratch).go();
    just("all").prints("one.txt\nall\n").exits(0).quietly();
    just("fail").complains("recipe `fail` failed").exits(3);
}

/// `ccache` in front of programs that are no compilers: their output and exit codes are its own.
#[test]
fn ccache_drives_children() {
    let scratch = fruit();
    scratch.write("seven.cmd", "@exit /b 7\r\n");
    let ccache = |arguments: &[&str]| {
        let run = Run::program(fetch("ccache")).options(["--env", "CCACHE_DIR=D:\\cache"]);
        run.args(arguments).within(&scratch).go()
    };
    ccache(&["findstr.exe", "ap", "f.txt"]).prints("apple\n").exits(0).quietly();
    ccache(&["./seven.cmd"]).exits(7);
    ccache(&["--set-config", "max_size=2G"]).exits(0);
    ccache(&["--get-config", "max_size"]).contains("2.0 G").exits(0);
}

/// `ninja` builds 50 edges in parallel, rebuilds what a changed file needs, and stops at a failure.
#[test]
fn ninja_builds_fifty_edges() {
    let scratch = Scratch::new();
    let mut rules = String::from(
        "rule copy\n  command = cmd.exe /c copy $in $out >nul\n\
         rule sort\n  command = cmd.exe /c sort.exe /r $in > $out\n\
         rule join\n  command = cmd.exe /c type $in > $out 2>nul\n\
         rule meet\n  command = cmd.exe /c meet.cmd $out $other\n\
         rule fail\n  command = cmd.exe /c exit 3\n",
    );
    let mut outputs = String::new();
    for edge in 0..47 {
        scratch.write(&format!("s{edge}.txt"), format!("a {edge}\r\nb {edge}\r\n"));
        let rule = if edge % 2 == 0 { "copy" } else { "sort" };
        writeln!(rules, "build o{edge}.txt: {rule} s{edge}.txt").unwrap();
        write!(outputs, " o{edge}.txt").unwrap();
    }
    // Neither of these two ends unless both run at once.
    scratch.write("meet.cmd", "@echo off\r\necho met>%1\r\n:wait\r\nif not exist %2 goto wait\r\n");
    rules.push_str("build left: meet\n  other = right\nbuild right: meet\n  other = left\n");
    write!(rules, "build all.txt: join{outputs} | left right\ndefault all.txt\n").unwrap();
    rules.push_str("build never.txt: fail\nbuild after.txt: copy never.txt\n");
    scratch.write("build.ninja", &rules);
    let ninja = |arguments: &[&str]| {
        Run::program(fetch("ninja")).args(arguments).within(&scratch).go().quietly()
    };
    ninja(&["-j8"]).contains("[50/50]").exits(0);
    let all = String::from_utf8(scratch.read("all.txt")).unwrap();
    assert_eq!(all.lines().count(), 94);
    assert!(all.contains("a 0\r\nb 0\r\nb 1\r\na 1\r\n"), "{all}");
    ninja(&[]).contains("no work to do").exits(0);
    scratch.write("s0.txt", "changed\r\n");
    ninja(&[]).contains("[2/2]").exits(0);
    assert!(scratch.read("all.txt").starts_with(b"changed\r\n"));
    ninja(&["after.txt"]).contains("FAILED").exits(3);
    assert!(!scratch.path().join("after.txt").exists());
}

/// 200 processes, one after another, in a machine that has room for few: what ends gives everything back.
#[test]
fn two_hundred_processes() {
    let scratch = Scratch::new();
    scratch.write(
        "many.cmd",
        "@echo off\r\nfor /l %%i in (1,1,200) do cmd.exe /c exit %%i\r\necho last %errorlevel%\r\n\
         tasklist /nh /fo csv | findstr cmd.exe\r\n",
    );
    let run = Run::program("cmd.exe").options(["--memory", "64M"]).args(["/c", "many.cmd"]);
    let text = run.within(&scratch).go().exits(0).quietly().text();
    assert!(text.starts_with("last 200\n"), "{text}");
    // This one, and at most the pipeline's own.
    assert!((2..=3).contains(&text.lines().count()), "{text}");
}

#[test]
fn hard_links() {
    let scratch = fruit();
    batch(&scratch, "", &["mklink /h link.txt f.txt >nul", "echo more>>link.txt", "type f.txt"])
        .prints("banana\napple\ncherry\nmore\n")
        .exits(0);
    let inode = |name: &str| fs::metadata(scratch.path().join(name)).unwrap().ino();
    assert_eq!(inode("link.txt"), inode("f.txt"));
    batch(&scratch, "", &["del f.txt", "type link.txt"]).contains("cherry\nmore\n").exits(0);
    assert!(!scratch.path().join("f.txt").exists());
}

/// A path of more than 260 characters is made, written and read.
#[test]
fn long_paths() {
    let scratch = Scratch::new();
    let folder = ["directory-with-a-name-of-33-chars"; 12].join("\\");
    let outcome =
        batch(&scratch, &folder, &["md %1", "echo deep>%1\\file.txt", "type %1\\file.txt"]);
    outcome.prints("deep\n").exits(0).quietly();
    assert_eq!(scratch.read(&format!("{}/file.txt", folder.replace('\\', "/"))), b"deep\r\n");
}

/// A name that NT allows and Linux does not, of 300 bytes in UTF-8, is refused, and nothing is made.
#[test]
fn names_too_long_for_the_host() {
    let scratch = Scratch::new();
    let name = |length| "漢".repeat(length);
    let make = |length| {
        let line = format!("md {}", name(length));
        Run::program("cmd.exe").args(["/c", &line]).within(&scratch).go().quietly()
    };
    make(80).exits(0);
    assert_ne!(make(100).status, 0);
    let made: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made, [name(80).as_str()]);
}

/// Host names that NT cannot hold are listed, read, copied and deleted, and come back as they were.
#[test]
fn names_of_the_other_side() {
    let scratch = Scratch::new();
    let strange: [&[u8]; 3] = [b"a:b?c*.txt", b"back\\slash.txt", b"bad\xff.txt"];
    fs::create_dir(scratch.path().join("in")).unwrap();
    fs::create_dir(scratch.path().join("out")).unwrap();
    for name in strange {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(scratch.path().join("in").join(name), name.as_bytes()).unwrap();
    }
    let copy = "for %%f in (in\\*.txt) do copy \"%%f\" out >nul";
    batch(&scratch, "", &[copy, "del in\\a*.txt"]).exits(0).quietly();
    for name in strange {
        let path = scratch.path().join("out").join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(fs::read(path).unwrap(), name);
    }
    assert_eq!(fs::read_dir(scratch.path().join("in")).unwrap().count(), 2);
    // Names that Win32 refuses, but NT does not.
    let lines = [r"echo dot>\\?\D:\dot.", r"type \\?\D:\dot.", r"dir /b dot*"];
    let outcome = batch(&scratch, "", &lines).exits(0);
    assert_eq!(sorted(&outcome), ["dot", "dot."]);
    assert_eq!(scratch.read("dot."), b"dot\r\n");
}
