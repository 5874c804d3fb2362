//! Real programs that nobody here wrote, downloaded by package name: the table is `tests/corpus/corpus.json`.
//!
//! A program is downloaded with pip or npm once, checked against its SHA-256 every time, and kept under the target
//! folder. Addresses come from the package managers' own configuration.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::cache;

/// A file of a package.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// What the tests call it.
    pub id: String,
    /// Where the package comes from: `pypi` or `npm`.
    pub registry: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file's path inside it.
    pub member: String,
    /// The file's SHA-256.
    pub sha256: String,
}

/// All entries of the table.
pub fn table() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/corpus.json");
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("the table of programs")
}

/// The file of an entry, downloaded if it is not there yet.
pub fn fetch(id: &str) -> PathBuf {
    let entry = table().into_iter().find(|entry| entry.id == id).expect("an entry of that name");
    let folder = cache().join("corpus").join(&entry.id);
    fs::create_dir_all(&folder).expect("make a folder");
    // Tests run side by side, in threads and in processes.
    let lock = File::create(folder.join("lock")).expect("create a lock file");
    lock.lock().expect("lock");
    let file = folder.join(Path::new(&entry.member).file_name().expect("a member has a name"));
    if !file.exists() {
        download(&entry, &folder, &file);
    }
    let found = sha256(&file);
    assert_eq!(found, entry.sha256, "{} of {} {}", entry.member, entry.package, entry.version);
    file
}

fn download(entry: &Entry, folder: &Path, file: &Path) {
    let package = folder.join("package");
    let _ = fs::remove_dir_all(&package);
    fs::create_dir_all(&package).expect("make a folder");
    match entry.registry.as_str() {
        "pypi" => {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
            // Some wheels exist per Python version; any will do, so name one that is there.
            pip.args(["--platform", "win_amd64", "--python-version", "3.11", "--dest", "."]);
            pip.arg(format!("{}=={}", entry.package, entry.version));
            run(pip, &package);
            let mut unzip = Command::new("python3");
            unzip.args(["-m", "zipfile", "-e"]).arg(only_file(&package)).arg(".");
            run(unzip, &package);
        }
        "npm" => {
            let mut pack = Command::new("npm");
            pack.args(["pack", "--silent", &format!("{}@{}", entry.package, entry.version)]);
            run(pack, &package);
            let mut untar = Command::new("tar");
            untar.arg("-xzf").arg(only_file(&package));
            run(untar, &package);
        }
        other => panic!("no way to download from {other}"),
    }
    fs::rename(package.join(&entry.member), file)
        .unwrap_or_else(|error| panic!("{} in {}: {error}", entry.member, entry.package));
    let _ = fs::remove_dir_all(&package);
}

/// The one file a download left in a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).expect("list a folder");
    entries.next().expect("a downloaded file").expect("list a folder").path()
}

fn run(mut command: Command, folder: &Path) {
    let output = command.current_dir(folder).output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; scripts/test installs what is missing")
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
}

fn sha256(file: &Path) -> String {
    let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect()
}
