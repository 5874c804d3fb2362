//! Where the userland is: [`Userland`], the [`Manifest`] that set-up leaves behind, and how a folder is recognised.
//!
//! One fact, one home: the manifest in the data folder says which DLLs a machine uses, whether set-up unpacked them,
//! found an installed Wine, or was given a folder. `--userland` and `$NTEN_USERLAND` go before it and are looked at
//! directly. Neighbours: [`crate::setup`] writes the manifest.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The environment variable that names a userland folder.
pub const USERLAND_VARIABLE: &str = "NTEN_USERLAND";

/// The manifest's file name inside the userland folder.
pub const MANIFEST_NAME: &str = "manifest.json";

/// The form of the manifest this build reads and writes.
const MANIFEST_FORMAT: u32 = 1;

/// A set of user-mode system DLLs and the tables that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Userland {
    /// The folder of the x64 DLLs and programs: what the guest sees as `C:\windows\system32`.
    pub system32: PathBuf,
    /// The folder of the 32-bit DLLs (`C:\windows\syswow64`), when there is one.
    pub syswow64: Option<PathBuf>,
    /// The folder of `locale.nls`, `l_intl.nls` and the code pages.
    pub nls: PathBuf,
    /// The x64 `zlib1.dll`, which Debian's Wine imports and does not contain; `None` if the DLLs do not need it.
    pub zlib1: Option<PathBuf>,
    /// The version of the set (`10.0~repack-6`), when it is known.
    pub version: Option<String>,
}

/// Why there is no userland to use.
#[derive(Debug, thiserror::Error)]
pub enum UserlandError {
    /// Nothing was set up yet.
    #[error("there is no userland: no Windows system DLLs to run programs with")]
    Missing {
        /// Where the manifest was looked for.
        manifest: PathBuf,
    },
    /// A folder was named and does not hold a userland.
    #[error("{} is not a userland", .folder.display())]
    NotAUserland {
        /// The folder.
        folder: PathBuf,
        /// The file that was looked for and not found.
        lacks: String,
    },
    /// The manifest is there, but what it points at is not.
    #[error("the userland recorded in {} is incomplete", .manifest.display())]
    Broken {
        /// The manifest.
        manifest: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// No folder to keep the userland in.
    #[error("there is no data folder to look in")]
    NoDataFolder,
    /// The host refused to read or write.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The host's answer.
        source: io::Error,
    },
    /// A DLL cannot be read as a PE image.
    #[error("{} cannot be read as a system DLL", .path.display())]
    BadDll {
        /// The DLL.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Fetching the packages failed.
    #[error("{message}")]
    Fetch {
        /// What could not be done.
        message: String,
        /// What the tool said.
        cause: String,
        /// What to do about it.
        help: String,
    },
}

impl UserlandError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// What stands behind the error, as the `cause:` line of the command.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Missing { manifest } => Some(format!("{} does not exist", manifest.display())),
            Self::NotAUserland { lacks, .. } => Some(format!("it has no {lacks}")),
            Self::Broken { cause, .. } | Self::BadDll { cause, .. } | Self::Fetch { cause, .. } => {
                Some(cause.clone())
            }
            Self::NoDataFolder => Some("neither XDG_DATA_HOME nor HOME is set".to_owned()),
            Self::Io { source, .. } => Some(source.to_string()),
        }
    }

    /// What the user can do, as the `help:` line of the command.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "run `nten setup`, or name a folder of DLLs with --userland DIR or NTEN_USERLAND"
                    .to_owned(),
            ),
            Self::NotAUserland { .. } => Some(
                "name a folder with ntdll.dll in it or in its x86_64-windows or system32 folder, \
                 and the .nls files in it or in its nls folder"
                    .to_owned(),
            ),
            Self::Broken { .. } => Some("run `nten setup --force` to make it again".to_owned()),
            Self::NoDataFolder => Some("set HOME, or XDG_DATA_HOME".to_owned()),
            Self::Io { .. } | Self::BadDll { .. } => None,
            Self::Fetch { help, .. } => Some(help.clone()),
        }
    }
}

/// What set-up records: where the userland's parts are and what they were made from.
///
/// Relative paths are relative to the manifest's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub format: u32,
    /// Where the userland came from.
    pub source: Source,
    /// The version, when it is known.
    pub version: Option<String>,
    /// See [`Userland::system32`].
    pub system32: PathBuf,
    /// See [`Userland::syswow64`].
    pub syswow64: Option<PathBuf>,
    /// See [`Userland::nls`].
    pub nls: PathBuf,
    /// See [`Userland::zlib1`].
    pub zlib1: Option<PathBuf>,
    /// The packages it was unpacked from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
}

/// Where a userland came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Unpacked from distribution packages.
    Packages,
    /// An installed Wine, used where it is.
    Wine,
    /// A folder the user named.
    Folder,
}

/// A package the userland was unpacked from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of the package file.
    pub sha256: String,
}

impl Manifest {
    /// Describes a userland that stays where it is.
    pub(crate) fn of(userland: &Userland, source: Source) -> Self {
        Self {
            format: MANIFEST_FORMAT,
            source,
            version: userland.version.clone(),
            system32: userland.system32.clone(),
            syswow64: userland.syswow64.clone(),
            nls: userland.nls.clone(),
            zlib1: userland.zlib1.clone(),
            packages: Vec::new(),
        }
    }

    /// Reads the manifest; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, UserlandError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UserlandError::io("read", path, error)),
        };
        let broken = |cause: String| UserlandError::Broken { manifest: path.to_owned(), cause };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        if manifest.format != MANIFEST_FORMAT {
            return Err(broken(format!(
                "it has form {}, this nten reads form {MANIFEST_FORMAT}",
                manifest.format
            )));
        }
        Ok(Some(manifest))
    }

    /// Writes the manifest in one step: a reader sees the old one or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), UserlandError> {
        let fail = |error| UserlandError::io("write", path, error);
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| fail(io::Error::other(error)))?;
        text.push('\n');
        let temporary = path.with_extension("json.new");
        fs::write(&temporary, text).map_err(fail)?;
        fs::rename(&temporary, path).map_err(fail)
    }

    /// Resolves the recorded places and checks that they are there.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Userland, UserlandError> {
        let base = path.parent().unwrap_or(Path::new("."));
        let userland = Userland {
            system32: base.join(&self.system32),
            syswow64: self.syswow64.as_ref().map(|folder| base.join(folder)),
            nls: base.join(&self.nls),
            zlib1: self.zlib1.as_ref().map(|file| base.join(file)),
            version: self.version.clone(),
        };
        for needed in [userland.ntdll(), userland.nls.join("locale.nls")] {
            if !needed.is_file() {
                let cause = format!("{} is not there", needed.display());
                return Err(UserlandError::Broken { manifest: path.to_owned(), cause });
            }
        }
        Ok(userland)
    }
}

impl Userland {
    /// Finds the userland to use: the folder given, else the one `$NTEN_USERLAND` names, else the one set up.
    pub fn locate(explicit: Option<&Path>) -> Result<Self, UserlandError> {
        if let Some(folder) = explicit {
            return Self::at(folder);
        }
        if let Some(folder) = env::var_os(USERLAND_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::at(Path::new(&folder));
        }
        let manifest = data_folder()?.join(MANIFEST_NAME);
        Self::recorded(&manifest)
    }

    /// The userland a manifest records.
    pub fn recorded(manifest: &Path) -> Result<Self, UserlandError> {
        match Manifest::read(manifest)? {
            Some(record) => record.resolve(manifest),
            None => Err(UserlandError::Missing { manifest: manifest.to_owned() }),
        }
    }

    /// Recognises a userland in a folder: one with a manifest, a folder of DLLs, or the root or library folder of a
    /// Wine installation.
    pub fn at(folder: &Path) -> Result<Self, UserlandError> {
        let folder = folder
            .canonicalize()
            .map_err(|error| UserlandError::io("open the userland folder", folder, error))?;
        let manifest = folder.join(MANIFEST_NAME);
        if manifest.is_file() {
            return Self::recorded(&manifest);
        }
        let lacks = |what: &str| UserlandError::NotAUserland {
            folder: folder.clone(),
            lacks: what.to_owned(),
        };
        let system32 =
            first(&folder, SYSTEM32_PLACES, "ntdll.dll").ok_or_else(|| lacks("ntdll.dll"))?;
        // The tables lie beside the DLLs on Windows and in share/ in a Wine installation, whose library folder may
        // be several levels above.
        let nls = folder
            .ancestors()
            .take(6)
            .find_map(|base| first(base, NLS_PLACES, "locale.nls"))
            .or_else(|| first(&system32, &["."], "locale.nls"))
            .ok_or_else(|| lacks("locale.nls"))?;
        let syswow64 = system32
            .parent()
            .and_then(|parent| first(parent, &["i386-windows", "syswow64"], "ntdll.dll"))
            .or_else(|| first(&folder, SYSWOW64_PLACES, "ntdll.dll"));
        let zlib1 = folder
            .ancestors()
            .take(6)
            .find_map(|base| first(base, ZLIB_PLACES, "zlib1.dll"))
            .or_else(|| first(&system32, &["."], "zlib1.dll"))
            .map(|place| place.join("zlib1.dll"));
        Ok(Self { system32, syswow64, nls, zlib1, version: None })
    }

    /// The x64 `ntdll.dll`.
    pub fn ntdll(&self) -> PathBuf {
        self.system32.join("ntdll.dll")
    }

    /// The x64 `win32u.dll`.
    pub fn win32u(&self) -> PathBuf {
        self.system32.join("win32u.dll")
    }
}

const SYSTEM32_PLACES: &[&str] = &[
    ".",
    "system32",
    "windows/system32",
    "x86_64-windows",
    "wine/x86_64-windows",
    "lib/wine/x86_64-windows",
    "lib64/wine/x86_64-windows",
    "lib/x86_64-linux-gnu/wine/x86_64-windows",
    "usr/lib/x86_64-linux-gnu/wine/x86_64-windows",
];

const SYSWOW64_PLACES: &[&str] = &[
    "syswow64",
    "windows/syswow64",
    "i386-windows",
    "lib/wine/i386-windows",
    "lib/i386-linux-gnu/wine/i386-windows",
    "usr/lib/i386-linux-gnu/wine/i386-windows",
];

const NLS_PLACES: &[&str] = &[".", "nls", "share/nls", "share/wine/nls", "usr/share/wine/nls"];

const ZLIB_PLACES: &[&str] = &["x86_64-w64-mingw32/lib", "usr/x86_64-w64-mingw32/lib"];

/// The first of the places below a folder that holds a file.
fn first(base: &Path, places: &[&str], file: &str) -> Option<PathBuf> {
    places
        .iter()
        .map(|place| if *place == "." { base.to_owned() } else { base.join(place) })
        .find(|folder| folder.join(file).is_file())
}

/// The folder the userland is kept in: `$XDG_DATA_HOME/nten/userland` or `~/.local/share/nten/userland`.
pub fn data_folder() -> Result<PathBuf, UserlandError> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    Ok(data.ok_or(UserlandError::NoDataFolder)?.join("nten").join("userland"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("nten-locate-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn file(&self, name: &str) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn recognises_a_wine_installation() {
        let root = Scratch::new("wine");
        root.file("usr/lib/x86_64-linux-gnu/wine/x86_64-windows/ntdll.dll");
        root.file("usr/share/wine/nls/locale.nls");
        root.file("usr/x86_64-w64-mingw32/lib/zlib1.dll");
        let found = Userland::at(&root.0).unwrap();
        assert_eq!(found.nls, root.0.join("usr/share/wine/nls"));
        assert_eq!(found.zlib1, Some(root.0.join("usr/x86_64-w64-mingw32/lib/zlib1.dll")));
        // The library folder alone is enough: the rest is found above it.
        let library = root.0.join("usr/lib/x86_64-linux-gnu/wine");
        assert_eq!(Userland::at(&library).unwrap(), found);
    }

    #[test]
    fn recognises_a_windows_folder() {
        let root = Scratch::new("windows");
        root.file("system32/ntdll.dll");
        root.file("system32/locale.nls");
        root.file("syswow64/ntdll.dll");
        let found = Userland::at(&root.0).unwrap();
        assert_eq!(found.system32, root.0.join("system32"));
        assert_eq!(found.nls, root.0.join("system32"));
        assert_eq!(found.syswow64, Some(root.0.join("syswow64")));
        assert_eq!(found.zlib1, None);
    }

    #[test]
    fn says_what_a_folder_lacks() {
        let root = Scratch::new("empty");
        let error = Userland::at(&root.0).unwrap_err();
        assert_eq!(error.cause().as_deref(), Some("it has no ntdll.dll"));
        root.file("ntdll.dll");
        let error = Userland::at(&root.0).unwrap_err();
        assert_eq!(error.cause().as_deref(), Some("it has no locale.nls"));
    }

    #[test]
    fn manifest_survives_a_round_trip_and_is_checked() {
        let root = Scratch::new("manifest");
        let path = root.0.join(MANIFEST_NAME);
        assert!(matches!(Userland::at(&root.0), Err(UserlandError::NotAUserland { .. })));
        let userland = Userland {
            system32: "wine/system32".into(),
            syswow64: None,
            nls: "wine/nls".into(),
            zlib1: None,
            version: Some("10.0".to_owned()),
        };
        Manifest::of(&userland, Source::Packages).write(&path).unwrap();
        assert!(matches!(Userland::at(&root.0), Err(UserlandError::Broken { .. })));
        root.file("wine/system32/ntdll.dll");
        root.file("wine/nls/locale.nls");
        let found = Userland::at(&root.0).unwrap();
        assert_eq!(found.system32, root.0.join("wine/system32"));
        assert_eq!(found.version.as_deref(), Some("10.0"));
    }
}
