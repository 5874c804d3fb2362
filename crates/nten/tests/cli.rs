//! The command line itself: help, usage errors, and programs that cannot run. None of these boots a machine.

mod support;

use std::fs;
use std::process::Command;

use support::guest::{build, build_dll};
use support::{Outcome, Run, Scratch, finish, nten};

fn command(words: &[&str]) -> Outcome {
    let mut command = Command::new(nten());
    command.args(words);
    finish(command, Vec::new(), std::time::Duration::from_secs(60))
}

#[test]
fn help_and_version_are_answers() {
    command(&["--help"]).exits(0).contains("setup").contains("Exit status");
    command(&["run", "--help"]).exits(0).contains("--trace").contains("nten run [OPTIONS] PROGRAM");
    command(&["--version"]).exits(0).contains("nten ");
}

#[test]
fn usage_errors_are_125() {
    command(&[]).exits(125);
    command(&["walk"]).exits(125).complains("nten: error: unrecognized subcommand 'walk'");
    command(&["run"]).exits(125).complains("nten: error:");
    command(&["run", "--bogus", "x.exe"]).exits(125).complains("--bogus");
    command(&["run", "--timeout", "0", "x.exe"]).exits(125).complains("more than 0 seconds");
    command(&["run", "--memory", "2M", "x.exe"]).exits(125).complains("at least 64M");
    command(&["run", "--mount", "/=XY:", "x.exe"]).exits(125).complains("a drive is one letter");
    command(&["run", "--env", "=", "x.exe"]).exits(125).complains("NAME=VALUE");
}

#[test]
fn a_missing_program_is_127_and_named() {
    let scratch = Scratch::new();
    Run::program("no-such.exe").within(&scratch).go().exits(127).complains("no-such.exe");
    Run::program("./no/such.exe").within(&scratch).go().exits(127).complains("./no/such.exe");
}

#[test]
fn what_is_no_program_is_126_and_said() {
    let scratch = Scratch::new();
    let says = |name: &str, content: &[u8], expected: &str| {
        scratch.write(name, content);
        Run::program(name).within(&scratch).go().exits(126).complains(expected).complains(name);
    };
    says("script.sh", b"#!/bin/sh\necho\n", "it is a script");
    says("text.txt", b"hello", "does not begin with MZ");
    says("empty.exe", b"", "it is empty");
    says("batch.cmd", b"@echo off\r\n", "nten run cmd.exe /c");
    let elf = fs::read("/proc/self/exe").unwrap();
    says("elf", &elf, "it is a Linux program (ELF)");
    Run::program("/").go().exits(126).complains("it is a folder");

    let program = fs::read(build("hello")).unwrap();
    says("cut.exe", &program[..program.len() / 2], "it is cut short");
    says("cut2.exe", &program[..0x100], "it is cut short");
    let mut other = program.clone();
    let pe = usize::try_from(u32::from_le_bytes(program[0x3c..0x40].try_into().unwrap())).unwrap();
    other[pe + 4..pe + 6].copy_from_slice(&0xaa64u16.to_le_bytes());
    says("arm.exe", &other, "ARM64");
    other[pe + 4..pe + 6].copy_from_slice(&0x014cu16.to_le_bytes());
    says("x86.exe", &other, "32-bit");
    let mut driver = program;
    driver[pe + 24 + 68] = 1;
    says("driver.exe", &driver, "a native image");
    Run::program(build_dll("library")).go().exits(126).complains("it is a DLL");
}

#[test]
fn errors_have_cause_and_help() {
    let scratch = Scratch::new();
    let outcome = Run::program(build("hello"))
        .options(["--userland".as_ref(), scratch.path().as_os_str()])
        .go()
        .exits(125);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("nten: error: ") && lines[0].contains("is not a userland"));
    assert_eq!(lines[1], "nten: cause: it has no ntdll.dll");
    assert!(lines[2].starts_with("nten: help: "));
}

#[test]
fn mounts_must_be_folders() {
    let program = build("hello");
    let mount = format!("{}=X:", program.display());
    Run::program(&program)
        .options(["--mount", &mount])
        .go()
        .exits(125)
        .complains("it is not a folder");
}

/// Set-up records a folder the user names, in the data folder, and says so again.
#[test]
fn setup_records_a_folder() {
    let scratch = Scratch::new();
    let setup = |words: &[&str]| {
        let mut command = Command::new(nten());
        command.arg("setup").args(words).env("XDG_DATA_HOME", scratch.path());
        finish(command, Vec::new(), std::time::Duration::from_secs(60))
    };
    let userland = userland::Userland::locate(None).expect("run `nten setup` before the tests");
    let folder = userland.system32.parent().unwrap().to_str().unwrap();
    setup(&["--userland", folder])
        .exits(0)
        .complains("using the DLLs in")
        .complains("system services");
    let outcome = setup(&["--json"]).exits(0).complains("already set up");
    let value: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(value["system32"].as_str(), userland.system32.to_str());
    assert!(value["services"]["ntdll"].as_u64().unwrap() > 200);
    setup(&["--userland", "/nowhere"]).exits(125).complains("nten: error: cannot open");
}

/// Without apt's tools there is no silent failure: the user learns what to put where.
#[test]
fn setup_without_tools_says_what_to_do() {
    let scratch = Scratch::new();
    let mut command = Command::new(nten());
    command.arg("setup").env("XDG_DATA_HOME", scratch.path()).env("PATH", scratch.path());
    let outcome = finish(command, Vec::new(), std::time::Duration::from_secs(60)).exits(125);
    outcome
        .complains("nten: cause: there is no apt-get command")
        .complains("libz-mingw-w64")
        .complains("nten setup --userland DIR");
}

/// An installed Wine is used where it is, if it is new enough; an older one is passed over, aloud.
#[test]
fn setup_uses_an_installed_wine() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scratch = Scratch::new();
    let real = userland::Userland::locate(None).expect("run `nten setup` before the tests");
    for folder in ["opt/wine/bin", "opt/wine/lib/wine", "opt/wine/share/wine", "data"] {
        fs::create_dir_all(scratch.path().join(folder)).unwrap();
    }
    symlink(&real.system32, scratch.path().join("opt/wine/lib/wine/x86_64-windows")).unwrap();
    symlink(&real.nls, scratch.path().join("opt/wine/share/wine/nls")).unwrap();
    let bin = scratch.path().join("opt/wine/bin");
    let setup = |version: &str| {
        let wine =
            scratch.write("opt/wine/bin/wine", format!("#!/bin/sh\necho 'wine-{version}'\n"));
        fs::set_permissions(wine, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(nten());
        command.arg("setup").env("XDG_DATA_HOME", scratch.path().join("data")).env("PATH", &bin);
        finish(command, Vec::new(), std::time::Duration::from_secs(60))
    };
    setup("8.0.1")
        .exits(125)
        .complains("the installed Wine is 8.0.1, version 10 or later is needed");
    setup("10.3 (Test)").exits(0).complains("using the installed Wine 10.3 in ");
    setup("10.3 (Test)").exits(0).complains("already set up: 10.3 in ");
}
