//! Machines that are kept: the registry and files of one run are there in the next, whatever ended it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::guest::build;
use support::{Outcome, Run, Scratch, finish, nten};

/// How often nten is killed.
const KILLS: u64 = 100;

fn reg(machine: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(nten());
    let (action, rest) = words.split_first().unwrap();
    command.arg("reg").arg(action).arg("--machine").arg(machine).args(rest);
    finish(command, Vec::new(), Duration::from_secs(60))
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// Runs a program in a machine.
fn run(scratch: &Scratch, program: &str, words: &[&str]) -> Outcome {
    Run::program(program).options(["--machine", "m"]).args(words).within(scratch).go()
}

#[test]
fn what_one_run_writes_the_next_one_reads() {
    let scratch = Scratch::new();
    let words = ["add", r"HKCU\Software\Kept", "/v", "Text", "/d", "hello", "/f"];
    run(&scratch, "reg.exe", &words).exits(0);
    run(&scratch, "cmd.exe", &["/c", r"echo kept> C:\users\nten\note.txt"]).exits(0);
    run(&scratch, "reg.exe", &["query", r"HKCU\Software\Kept"]).exits(0).contains("hello");
    run(&scratch, "cmd.exe", &["/c", r"type C:\users\nten\note.txt"]).exits(0).contains("kept");

    // What was deleted does not come back as a seed.
    let seeded = r"HKCU\Control Panel\International";
    run(&scratch, "reg.exe", &["delete", seeded, "/v", "iCountry", "/f"]).exits(0);
    run(&scratch, "reg.exe", &["query", seeded]).exits(0).contains("iCurrency");
    let outcome = reg(&scratch.path().join("m"), &["query", seeded]).exits(0);
    assert!(!stdout(&outcome).contains("iCountry"));
    // What is volatile is made anew at each boot and is not in the file.
    let link = r"HKLM\SYSTEM\CurrentControlSet\Control\Nls\Language";
    run(&scratch, "reg.exe", &["query", link]).exits(0).contains("0409");
    let hive = scratch.path().join("m/hives/SYSTEM");
    let mut command = Command::new(nten());
    command.args(["reg", "query", "--hive"]).arg(hive);
    let outcome = finish(command, Vec::new(), Duration::from_secs(60)).exits(0);
    assert!(!stdout(&outcome).contains("CurrentControlSet"));
}

#[test]
fn nten_reg_and_the_guest_see_the_same() {
    let scratch = Scratch::new();
    let machine = scratch.path().join("m");
    reg(&machine, &["query", "HKCU"]).exits(125).complains("is no machine");
    run(&scratch, "cmd.exe", &["/c", "exit"]).exits(0);
    let key = r"HKCU\Software\Tool";
    reg(&machine, &["add", key, "-v", "Number", "-t", "REG_DWORD", "-d", "0x2a"]).exits(0);
    reg(&machine, &["add", key, "-v", "Lines", "-t", "REG_MULTI_SZ", "-d", r"one\0two"]).exits(0);
    let outcome = run(&scratch, "reg.exe", &["query", key]).exits(0);
    outcome.contains("0x2a").contains(r"one\0two");

    let file = scratch.path().join("tool.reg");
    let file = file.to_str().unwrap();
    reg(&machine, &["export", key, file]).exits(0);
    reg(&machine, &["delete", key, "-v", "Number"]).exits(0);
    reg(&machine, &["delete", key]).exits(0);
    reg(&machine, &["query", key]).exits(125).complains("there is no key");
    reg(&machine, &["import", file]).exits(0);
    reg(&machine, &["query", key, "--json"]).exits(0).contains(r#""data":"0x2a""#);
    reg(&machine, &["query", r"HKLM\Nothing"]).exits(125).complains("leads to no hive");
}

#[test]
fn other_tools_read_the_hives_of_a_machine() {
    let scratch = Scratch::new();
    run(&scratch, "cmd.exe", &["/c", "exit"]).exits(0);
    let count = "import sys; from regipy.registry import RegistryHive; \
                 print(sum(1 for _ in RegistryHive(sys.argv[1]).recurse_subkeys()))";
    for name in ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT", "NTUSER.DAT", "UsrClass.dat"] {
        let file = scratch.path().join("m/hives").join(name);
        let mut command = Command::new("hivexml");
        command.arg(&file);
        let xml = stdout(&finish(command, Vec::new(), Duration::from_secs(60)).exits(0));
        let mut command = Command::new("python3");
        command.args(["-c", count]).arg(&file);
        let counted = stdout(&finish(command, Vec::new(), Duration::from_secs(60)).exits(0));
        let expected = xml.matches("<node ").count();
        assert_eq!(counted.trim(), expected.to_string(), "{name}");
    }
}

#[test]
fn a_damaged_hive_is_told_and_the_last_good_one_is_used() {
    let scratch = Scratch::new();
    let machine = scratch.path().join("m");
    run(&scratch, "cmd.exe", &["/c", "exit"]).exits(0);
    for number in ["1", "2"] {
        let words = ["add", r"HKCU\Software\Good", "-v", "Last", "-d", number];
        reg(&machine, &words).exits(0);
    }
    let hive = machine.join("hives/NTUSER.DAT");
    let mut bytes = fs::read(&hive).unwrap();
    // The root's cell is the first in the first bin.
    bytes[0x1000 + 0x20 + 4] = b'x';
    fs::write(&hive, &bytes).unwrap();
    let outcome = run(&scratch, "reg.exe", &["query", r"HKCU\Software\Good"]).exits(0);
    let outcome = outcome.complains("NTUSER.DAT is damaged: the key cell 0x20");
    outcome.complains("NTUSER.DAT.bak").contains("1");
    assert_eq!(fs::read(machine.join("hives/NTUSER.DAT.damaged")).unwrap(), bytes);

    fs::write(&hive, &bytes).unwrap();
    fs::write(machine.join("hives/NTUSER.DAT.bak"), "no hive").unwrap();
    let outcome = run(&scratch, "cmd.exe", &["/c", "exit"]).exits(125);
    outcome.complains("STATUS_REGISTRY_CORRUPT").complains("the base block is cut short");
}

/// One life of a machine that counts: what it started from, and the last number it told. Killed after a while, which
/// begins with its first word or, for a blind kill, with the boot.
fn count_until_killed(
    scratch: &Scratch,
    program: &Path,
    life: Duration,
    is_blind: bool,
) -> (Option<u64>, Option<u64>) {
    let mut command = Command::new(nten());
    command.args(["run", "--machine", "m"]).arg(program).current_dir(scratch.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    if !is_blind {
        let first = lines.next().and_then(Result::ok);
        said.push(first.unwrap_or_else(|| {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("the counter said nothing: {text}")
        }));
    }
    std::thread::sleep(life);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(lines.map_while(Result::ok));
    let mut said = said.iter().map(|line| line.trim());
    let start = said.next().map(|line| line.strip_prefix("from ").unwrap().parse().unwrap());
    (start, said.next_back().and_then(|line| line.parse().ok()).or(start))
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_flushed() {
    let scratch = Scratch::new();
    let program = build("registry_counter");
    let (mut told, mut unheard) = (0, 0);
    let mut random = u64::from(std::process::id());
    for kill in 0..KILLS {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let life = Duration::from_micros((random >> 33) % 60_000);
        // The first lives are short: the machine is just being made.
        let (is_blind, life) = if kill < 10 { (true, life) } else { (kill % 3 == 0, life * 2) };
        let (start, last) = count_until_killed(&scratch, &program, life, is_blind);
        // One more may have been flushed than was told, in each life that was not asked.
        if let Some(start) = start {
            let possible = told..=told + 1 + unheard;
            assert!(possible.contains(&start), "life {kill}: told {told}, found {start}");
        }
        unheard = if last.is_some() { 0 } else { unheard + 1 };
        told = last.unwrap_or(told);
        let Ok(entries) = fs::read_dir(scratch.path().join("m/hives")) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let is_whole = path.extension().is_none_or(|end| end != "new" && end != "old");
            if is_whole {
                let hive = regf::Hive::parse(&fs::read(&path).unwrap());
                let hive = hive.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(!hive.torn);
            }
        }
    }
    assert!(told > KILLS / 2, "only {told} flushes in {KILLS} lives");
    let outcome = reg(&scratch.path().join("m"), &["query", r"HKCU\Software\Counter", "-s"]);
    assert!(!stdout(&outcome.exits(0)).contains("Fleeting"));
}

#[test]
fn what_is_not_flushed_is_written_after_a_while() {
    let scratch = Scratch::new();
    let program = build("registry_counter");
    let mut command = Command::new(nten());
    command.args(["run", "--machine", "m"]).arg(program).arg("lazy").current_dir(scratch.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "written");
    let hive = scratch.path().join("m/hives/NTUSER.DAT");
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let has_value = || {
        let hive = regf::Hive::parse(&fs::read(&hive).unwrap()).unwrap();
        let key = hive.root.find(&[units("Software"), units("Counter")]);
        key.is_some_and(|key| key.value(&units("Lazy")).is_some())
    };
    let started = std::time::Instant::now();
    while !has_value() {
        assert!(started.elapsed() < Duration::from_secs(60), "it is not written");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_hive_that_cannot_be_written_is_told_to_the_guest_and_the_user() {
    let scratch = Scratch::new();
    run(&scratch, "reg.exe", &["add", r"HKCU\Software\Before", "/f"]).exits(0);
    // Something that is no file is where the new hive goes.
    let obstacle = scratch.path().join("m/hives/NTUSER.DAT.new");
    fs::create_dir(&obstacle).unwrap();
    let program = build("registry_counter");
    let outcome = run(&scratch, program.to_str().unwrap(), &[]).exits(5);
    outcome.complains("cannot write the hive").complains("NTUSER.DAT");
    fs::remove_dir(obstacle).unwrap();
    run(&scratch, "reg.exe", &["query", r"HKCU\Software\Before"]).exits(0);
    run(&scratch, "reg.exe", &["query", r"HKCU\Software\Counter"]).exits(1);
}

#[test]
fn a_machine_is_used_by_one_nten_at_a_time() {
    let scratch = Scratch::new();
    let program = build("registry_counter");
    let mut command = Command::new(nten());
    command.args(["run", "--machine", "m"]).arg(program).current_dir(scratch.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let outcome = run(&scratch, "cmd.exe", &["/c", "exit"]);
    let second = reg(&scratch.path().join("m"), &["query", "HKCU"]);
    let holder = child.id().to_string();
    child.kill().unwrap();
    child.wait().unwrap();
    outcome.exits(125).complains("is in use").complains(&holder);
    second.exits(125).complains("is in use").complains(&holder);
}
