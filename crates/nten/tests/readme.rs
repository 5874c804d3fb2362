//! The README's examples, run as they stand there.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::corpus::fetch;
use support::guest::build;
use support::{Scratch, finish, nten};

/// Commands of the README's code blocks: lines that begin with `nten `, a prompt before them or not, without comments.
fn commands() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).expect("read the README");
    let lines = text.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    lines
        .filter(|line| line.starts_with("nten "))
        .map(|line| line.split('#').next().unwrap_or(line).trim().to_owned())
        .collect()
}

/// A folder with what the examples name: programs, input, notes.
fn stage() -> Scratch {
    let scratch = Scratch::new();
    let copy = |from: &Path, name: &str| {
        fs::copy(from, scratch.path().join(name)).expect("copy a program");
    };
    copy(&build("hello"), "hello.exe");
    copy(&build("hello"), "app.exe");
    copy(&fetch("rg"), "rg.exe");
    copy(&fetch("ninja"), "ninja.exe");
    scratch.write("input.txt", "a line\r\n");
    scratch.write("notes/monday.txt", "hay\nhay\na needle in the hay\n");
    scratch.write("build.ninja", "rule none\n  command = cmd /c ver\n");
    scratch.write("data/file.txt", "data");
    let link = scratch.path().join("nten");
    std::os::unix::fs::symlink(nten(), link).expect("link the command");
    scratch
}

#[test]
fn every_example_runs() {
    let commands = commands();
    assert!(commands.len() >= 6, "the README shows {commands:?}");
    // One after the other in one folder, as a reader would try them.
    let scratch = stage();
    for line in commands {
        let data = scratch.path().join("data");
        // The one name that is a place on the reader's machine.
        let line = line.replace("/data=", &format!("{}=", data.display()));
        let path = format!("{}:/usr/bin:/bin", scratch.path().display());
        let mut command = Command::new("bash");
        command.args(["-c", &line]).current_dir(scratch.path()).env("PATH", path);
        let outcome = finish(command, Vec::new(), Duration::from_secs(240));
        let errors = outcome.stderr.clone();
        assert_eq!(outcome.status, 0, "{line}\n{}\n{errors}", outcome.text());
        if line.contains("reg query") {
            assert!(outcome.text().contains("REG_SZ    1"), "{}", outcome.text());
        }
        if line.contains("rg.exe") {
            assert_eq!(outcome.text(), "notes\\monday.txt:3:a needle in the hay\n");
        }
        if line.contains("ver\"") {
            assert!(outcome.text().contains("Microsoft Windows"), "{}", outcome.text());
        }
        if line.contains("--trace -") {
            assert!(errors.contains("NtCreateFile("), "{errors}");
        }
        if line.contains("run.jsonl") {
            let trace = scratch.read("run.jsonl");
            assert!(trace.starts_with(b"{\"schema\":\"nten.trace/1\""));
        }
    }
}
