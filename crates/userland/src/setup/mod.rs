//! Set-up: finds or fetches a userland and records it.
//!
//! [`run`] goes through the sources in order: a folder the user named, an installed Wine of version 10 or later
//! ([`wine`]), distribution packages ([`mirror`] says from where, [`apt`] fetches and verifies). It may run any number
//! of times; what is already there stays. Neighbour: [`crate::locate`] reads what is recorded here.

pub mod apt;
pub mod mirror;
pub mod wine;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::locate::{
    MANIFEST_NAME, Manifest, Package, Source, Userland, UserlandError, data_folder,
};

/// The oldest Wine whose DLLs make the system calls nten answers.
pub const MINIMUM_WINE: u32 = 10;

/// What the user asked of set-up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Use the DLLs of this folder.
    pub userland: Option<PathBuf>,
    /// Set up again although a userland is recorded.
    pub force: bool,
}

/// What set-up is doing, for the user to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step begins or a fact was found.
    Step(String),
    /// Bytes of a download so far and in all.
    Transfer {
        /// Bytes that have arrived.
        done: u64,
        /// Bytes expected.
        total: u64,
    },
}

/// Finds or fetches a userland, records it, and says what it does.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Userland, UserlandError> {
    let folder = data_folder()?;
    fs::create_dir_all(&folder).map_err(|error| UserlandError::io("create", &folder, error))?;
    let manifest = folder.join(MANIFEST_NAME);

    if let Some(named) = &options.userland {
        let userland = Userland::at(named)?;
        progress(Progress::Step(format!("using the DLLs in {}", userland.system32.display())));
        Manifest::of(&userland, Source::Folder).write(&manifest)?;
        return Ok(userland);
    }
    if !options.force
        && let Ok(userland) = Userland::recorded(&manifest)
    {
        let version = userland.version.as_deref().unwrap_or("of unknown version");
        let place = userland.system32.display();
        progress(Progress::Step(format!("already set up: {version} in {place}")));
        return Ok(userland);
    }
    match wine::find() {
        wine::Found::Usable(userland) => {
            let version = userland.version.as_deref().unwrap_or_default();
            let place = userland.system32.display();
            progress(Progress::Step(format!("using the installed Wine {version} in {place}")));
            Manifest::of(&userland, Source::Wine).write(&manifest)?;
            return Ok(userland);
        }
        wine::Found::Unusable(reason) => progress(Progress::Step(reason)),
        wine::Found::Nothing => {
            let message =
                format!("no Wine {MINIMUM_WINE} or later is installed: fetching packages");
            progress(Progress::Step(message));
        }
    }
    fetch(&folder, progress)?;
    Userland::recorded(&manifest)
}

/// Fetches the packages, unpacks them beside the final folder, renames, and writes the manifest last.
fn fetch(folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), UserlandError> {
    let work = WorkFolder::create(folder)?;
    let fetched = apt::fetch(&work.path, progress)?;
    let version = fetched
        .iter()
        .find(|file| file.package.name == apt::WINE_PACKAGE)
        .map(|file| file.package.version.clone())
        .unwrap_or_default();

    let unpacked = work.path.join("unpacked");
    for file in &fetched {
        let Package { name, architecture, version, .. } = &file.package;
        progress(Progress::Step(format!("unpacking {name}:{architecture} {version}")));
        apt::unpack(&file.path, &unpacked)?;
    }
    let tree = work.path.join("userland");
    let parts = arrange(&unpacked, &tree)?;

    let name = format!("wine-{version}");
    let place = folder.join(&name);
    if place.exists() {
        let old = work.path.join("old");
        fs::rename(&place, &old).map_err(|error| UserlandError::io("replace", &place, error))?;
    }
    fs::rename(&tree, &place).map_err(|error| UserlandError::io("create", &place, error))?;

    let below = |part: &str| Path::new(&name).join(part);
    let mut manifest = Manifest::of(
        &Userland {
            system32: below("system32"),
            syswow64: parts.syswow64.then(|| below("syswow64")),
            nls: below("share/nls"),
            zlib1: Some(below("system32/zlib1.dll")),
            version: Some(version),
        },
        Source::Packages,
    );
    manifest.packages = fetched.into_iter().map(|file| file.package).collect();
    manifest.write(&folder.join(MANIFEST_NAME))?;
    progress(Progress::Step(format!("the userland is in {}", place.display())));
    Ok(())
}

/// Which optional parts the packages had.
struct Parts {
    syswow64: bool,
}

/// Moves what a machine needs out of the unpacked packages: the PE files, the shared tables, the licences. The rest,
/// Wine's Unix halves above all, stays behind and is deleted.
fn arrange(unpacked: &Path, tree: &Path) -> Result<Parts, UserlandError> {
    fs::create_dir_all(tree).map_err(|error| UserlandError::io("create", tree, error))?;
    let take = |from: &str, to: &str| -> Result<bool, UserlandError> {
        let (from, to) = (unpacked.join(from), tree.join(to));
        match fs::rename(&from, &to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(UserlandError::io("move", &from, error)),
        }
    };
    let need = |from: &str, to: &str| -> Result<(), UserlandError> {
        if take(from, to)? {
            return Ok(());
        }
        Err(UserlandError::Fetch {
            message: "the packages are not as expected".to_owned(),
            cause: format!("they contain no /{from}"),
            help: "report this with the package versions above".to_owned(),
        })
    };
    need("usr/lib/x86_64-linux-gnu/wine/x86_64-windows", "system32")?;
    need("usr/share/wine", "share")?;
    need("usr/x86_64-w64-mingw32/lib/zlib1.dll", "system32/zlib1.dll")?;
    let syswow64 = take("usr/lib/i386-linux-gnu/wine/i386-windows", "syswow64")?;
    if syswow64 {
        need("usr/i686-w64-mingw32/lib/zlib1.dll", "syswow64/zlib1.dll")?;
    }
    take("usr/share/doc", "doc")?;
    // The fonts of the package are links to system fonts that this tree does not have.
    drop_dangling_links(tree);
    Ok(Parts { syswow64 })
}

/// Removes links that lead nowhere, so that the tree means the same on every host.
fn drop_dangling_links(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() && !path.exists() => {
                let _ = fs::remove_file(&path);
            }
            Ok(kind) if kind.is_dir() => drop_dangling_links(&path),
            _ => {}
        }
    }
}

/// A folder for one set-up, beside the final place so that a rename is enough, removed at the end.
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    fn create(parent: &Path) -> Result<Self, UserlandError> {
        let path = parent.join(format!(".setup-{}", std::process::id()));
        let fail = |error| UserlandError::io("create", &path, error);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(fail)?;
        }
        fs::create_dir_all(&path).map_err(fail)?;
        // Left-overs of set-ups that were killed are recognised by their process being gone.
        if let Ok(entries) = fs::read_dir(parent) {
            for entry in entries.flatten() {
                let name = entry.file_name();
                let owner = name.to_str().and_then(|name| name.strip_prefix(".setup-"));
                if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        Ok(Self { path })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
