//! Foreign readers and writers: hivex and regipy read what we write, we read what hivex writes.
//!
//! They are separate programs, installed by `scripts/test`; a machine without them fails these tests rather than
//! skipping them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use regf::{Hive, Key, Value};

/// A security descriptor of owner, group and an empty list, all SYSTEM's.
fn descriptor() -> Arc<[u8]> {
    let sid = [1u8, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let mut bytes = vec![1, 0, 4, 0x80];
    for offset in [20u32, 32, 0, 44] {
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&sid);
    bytes.extend_from_slice(&sid);
    bytes.extend_from_slice(&[2, 0, 8, 0, 0, 0, 0, 0]);
    bytes.into()
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn sz(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn hive() -> Hive {
    let security = descriptor();
    let mut root = Key { security: security.clone(), ..Key::new("ROOT") };
    let key = root.ensure(&[units("Vendor"), units("Größe 大")], 133_000_000_000_000_000);
    let big: Vec<u8> = (0..50_000u32).map(|index| (index % 251) as u8).collect();
    for (name, kind, data) in [
        ("", 1, sz("the default")),
        ("text", 1, sz("Hello, 世界")),
        ("number", 4, vec![0x2A, 0, 0, 0]),
        ("bytes", 3, vec![1, 2, 3]),
        ("several", 7, [sz("one"), sz("two"), vec![0, 0]].concat()),
        ("big", 3, big),
    ] {
        key.set_value(Value { name: units(name), kind, data });
    }
    // More than one list holds.
    for number in 0..1200 {
        root.ensure(&[units("Many"), units(&format!("Sub{number:04}"))], 1);
    }
    let file_name = r"\SystemRoot\System32\Config\SOFTWARE".to_owned();
    Hive { sequence: 3, written: 133_000_000_000_000_000, file_name, ..Hive::new(root) }
}

/// A folder of one test's own.
fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a program with an input and returns what it prints.
fn output(mut command: Command, input: &str) -> String {
    let program = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/test installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed:\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn hivex_reads_what_is_written() {
    let folder = folder("hivex");
    let file = folder.join("hive");
    fs::write(&file, hive().to_bytes().unwrap()).unwrap();
    let mut command = Command::new("hivexml");
    command.arg(&file);
    let xml = output(command, "");
    for expected in ["Größe 大", "Hello, 世界", "the default", "Sub0000", "Sub1199"] {
        assert!(xml.contains(expected), "no {expected}:\n{xml:.3000}");
    }
    assert_eq!(xml.matches("name=\"Sub").count(), 1200);
    let mut command = Command::new("hivexsh");
    command.arg(&file);
    let shown = output(command, "cd Vendor\\Größe 大\nlsval number\nlsval text\n");
    assert!(shown.contains("42") || shown.contains("2a"), "{shown}");
    assert!(shown.contains("Hello, 世界"), "{shown}");
    fs::remove_dir_all(folder).unwrap();
}

const REGIPY: &str = r#"
import sys
from regipy.registry import RegistryHive
hive = RegistryHive(sys.argv[1])
print(hive.hive_type, hive.header.primary_sequence_num)
key = hive.get_key("\\Vendor\\Größe 大")
for value in key.iter_values():
    shown = value.value if value.name != "big" else (len(value.value), hash(value.value) is not None)
    print(value.name, value.value_type, shown)
many = hive.get_key("\\Many")
names = [sub.name for sub in many.iter_subkeys()]
print(len(names), names[0], names[-1])
print(sum(1 for _ in hive.recurse_subkeys(as_json=True)))
"#;

#[test]
fn regipy_reads_what_is_written() {
    let folder = folder("regipy");
    let file = folder.join("SOFTWARE");
    fs::write(&file, hive().to_bytes().unwrap()).unwrap();
    let mut command = Command::new("python3");
    command.env("PYTHONIOENCODING", "utf-8").arg("-c").arg(REGIPY).arg(&file);
    let text = output(command, "");
    let expected = ["software 3", "the default", "Hello, 世界", "number REG_DWORD 42", "one"];
    for expected in expected.into_iter().chain(["1200 Sub0000 Sub1199"]) {
        assert!(text.contains(expected), "no {expected}:\n{text}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_hivex_writes_is_read() {
    let folder = folder("written");
    let file = folder.join("hive");
    fs::write(&file, hive().to_bytes().unwrap()).unwrap();
    let mut command = Command::new("hivexsh");
    command.arg("-w").arg(&file);
    let script = "cd Vendor\nadd FromHivex\ncd FromHivex\nsetval 2\nword\ndword:7\ntext\nstring:hivex was here\n\
                  cd \\Vendor\nadd Gone\ncd Gone\ndel\ncommit\n";
    output(command, script);
    let read = Hive::parse(&fs::read(&file).unwrap()).unwrap();
    let key = read.root.find(&[units("vendor"), units("fromhivex")]).unwrap();
    assert_eq!(key.value(&units("word")).unwrap().data, [7, 0, 0, 0]);
    assert_eq!(key.value(&units("text")).unwrap().data, sz("hivex was here"));
    assert!(read.root.find(&[units("vendor"), units("Gone")]).is_none());
    assert_eq!(read.root.find(&[units("many")]).unwrap().subkeys.len(), 1200);
    fs::remove_dir_all(folder).unwrap();
}
