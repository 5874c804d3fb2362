//! What of the host a guest sees: drives, the program's path, the environment.
//!
//! `C:` is the machine's own, with the userland as its `windows\system32`; `D:` is the folder nten was started in; the
//! program's folder is `P:`, read-only, unless `C:` or `D:` show it already; mounts are what the user says.
//! Key types: [`Drives`], [`OwnFolder`].

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use host::LinuxFolder;
use machine::Program;
use machine::command_line::join;
use ntos::host::files::{HostFolder, Layer, VolumeSpec};
use userland::Userland;

use crate::cli::{Mount, MountAccess};
use crate::kept::KeptMachine;
use crate::report::Report;
use crate::run::RunOptions;

/// The user every program runs as.
const USER: &str = "nten";

/// Folders that are on every machine's `C:`.
const FOLDERS: &[&str] = &[
    "windows/system32/drivers/etc",
    "windows/temp",
    "windows/winsxs/manifests",
    "windows/globalization/sorting",
    "Program Files/Common Files",
    "Program Files (x86)",
    "ProgramData",
    "users/Public",
    "users/nten/AppData/Local/Temp",
    "users/nten/AppData/Roaming",
    "users/nten/Desktop",
    "users/nten/Documents",
];

/// Small files that programs expect.
const FILES: &[(&str, &str)] = &[
    ("windows/system.ini", "[drivers]\r\n"),
    ("windows/win.ini", "[fonts]\r\n"),
    ("windows/system32/drivers/etc/hosts", "127.0.0.1 localhost\r\n::1 localhost\r\n"),
];

/// A folder of the host that belongs to this run and goes with it.
pub struct OwnFolder(PathBuf);

impl OwnFolder {
    /// Makes an empty folder that only this user can enter.
    fn make(purpose: &str) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let base = env::temp_dir();
        let pid = std::process::id();
        for attempt in 0..1000 {
            let path = base.join(format!("nten-{pid}-{attempt}-{purpose}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(OwnFolder(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no free name for a folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The drives of a machine, and the folders that live as long as it does.
pub struct Drives {
    /// What the host offers.
    pub volumes: Vec<VolumeSpec>,
    program: String,
    _own: Vec<OwnFolder>,
}

impl Drives {
    /// Opens every folder that the guest will see.
    pub fn open(options: &RunOptions, kept: Option<&KeptMachine>) -> Result<Self, Report> {
        let here = env::current_dir().map_err(|e| cannot("find the current folder", &e))?;
        let mut own = Vec::new();
        let drive = match kept {
            Some(kept) => kept.drive.clone(),
            None => {
                let folder = OwnFolder::make("c");
                let folder = folder.map_err(|e| cannot("make the machine's drive", &e))?;
                let path = folder.path().to_owned();
                own.push(folder);
                path
            }
        };
        furnish(&drive).map_err(|e| cannot("make the machine's drive", &e))?;
        let mut volumes = vec![system_drive(&drive, &options.userland)?];
        let current = open(&here)?;
        volumes.push(if options.isolated {
            let folder = OwnFolder::make("d").map_err(|e| cannot("make a folder", &e))?;
            let volume = VolumeSpec::copy_on_write('D', current, open(folder.path())?);
            own.push(folder);
            volume
        } else {
            VolumeSpec::folder('D', current, true)
        });
        for Mount { host, drive, access } in &options.mounts {
            let writable = *access == MountAccess::ReadWrite;
            volumes.retain(|volume| volume.drive != *drive || *drive == 'C');
            volumes.push(VolumeSpec::folder(*drive, open(host)?, writable));
        }
        let (program, extra) = program_path(options, &here)?;
        volumes.extend(extra);
        Ok(Drives { volumes, program, _own: own })
    }

    /// The program as the machine starts it.
    pub fn program(&self, options: &RunOptions) -> Program {
        let name = options.name.to_string_lossy();
        let arguments: Vec<String> =
            options.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let first = if name.contains('/') { self.program.clone() } else { name.into_owned() };
        let words = std::iter::once(first.as_str()).chain(arguments.iter().map(String::as_str));
        let mut environment = default_environment();
        environment.extend(options.environment.iter().cloned());
        Program {
            path: self.program.clone(),
            command_line: join(words),
            directory: r"D:\".to_owned(),
            environment,
        }
    }
}

fn cannot(what: &str, error: &io::Error) -> Report {
    Report::new(format!("cannot {what}")).cause(error.to_string())
}

fn open(path: &Path) -> Result<Arc<dyn HostFolder>, Report> {
    let folder = LinuxFolder::open(path)
        .map_err(|error| cannot(&format!("open {}", path.display()), &error))?;
    Ok(folder)
}

fn furnish(root: &Path) -> io::Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for (name, text) in FILES {
        // A kept machine has its own by now.
        match fs::File::create_new(root.join(name)) {
            Ok(mut file) => file.write_all(text.as_bytes())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn system_drive(own: &Path, userland: &Userland) -> Result<VolumeSpec, Report> {
    let mut drive = VolumeSpec::folder('C', open(own)?, true);
    let mut lower = |at: &str, folder: Arc<dyn HostFolder>| {
        drive.layers.push(Layer { at: at.to_owned(), folder, writable: false });
    };
    lower(r"\windows\system32", open(&userland.system32)?);
    if let Some(folder) = &userland.syswow64 {
        lower(r"\windows\syswow64", open(folder)?);
    }
    Ok(drive)
}

/// The program's DOS path, and the drive that shows it if no other does.
fn program_path(options: &RunOptions, here: &Path) -> Result<(String, Option<VolumeSpec>), Report> {
    let program = &options.program;
    if let Ok(rest) = program.strip_prefix(canonical(&options.userland.system32)) {
        return Ok((dos_path(r"C:\windows\system32", rest), None));
    }
    if let Ok(rest) = program.strip_prefix(canonical(here)) {
        return Ok((dos_path("D:", rest), None));
    }
    for Mount { host, drive, .. } in &options.mounts {
        if let Ok(rest) = program.strip_prefix(canonical(host)) {
            return Ok((dos_path(&format!("{drive}:"), rest), None));
        }
    }
    let taken = |letter: char| options.mounts.iter().any(|mount| mount.drive == letter);
    let letter = ['P', 'Q', 'R', 'S', 'E', 'F', 'G', 'H'].into_iter().find(|l| !taken(*l));
    let letter = letter.ok_or_else(|| {
        Report::new("no drive letter is free for the program's folder")
            .help("mount fewer folders, or the program's folder itself")
    })?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let name = program.file_name().unwrap_or_default();
    let volume = VolumeSpec::folder(letter, open(folder)?, false);
    Ok((dos_path(&format!("{letter}:"), Path::new(name)), Some(volume)))
}

fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn dos_path(base: &str, rest: &Path) -> String {
    let mut path = base.to_owned();
    for part in rest {
        path.push('\\');
        path.push_str(&part.to_string_lossy());
    }
    path
}

fn default_environment() -> Vec<(String, String)> {
    let home = format!(r"C:\users\{USER}");
    let local = format!(r"{home}\AppData\Local");
    [
        ("ALLUSERSPROFILE", r"C:\ProgramData"),
        ("APPDATA", &format!(r"{home}\AppData\Roaming")),
        ("CommonProgramFiles", r"C:\Program Files\Common Files"),
        ("CommonProgramFiles(x86)", r"C:\Program Files (x86)\Common Files"),
        ("CommonProgramW6432", r"C:\Program Files\Common Files"),
        ("COMPUTERNAME", "NTEN"),
        ("ComSpec", r"C:\windows\system32\cmd.exe"),
        ("HOMEDRIVE", "C:"),
        ("HOMEPATH", &format!(r"\users\{USER}")),
        ("LOCALAPPDATA", &local),
        ("NUMBER_OF_PROCESSORS", "1"),
        ("OS", "Windows_NT"),
        ("PATH", r"C:\windows\system32;C:\windows;C:\windows\system32\wbem"),
        ("PATHEXT", ".COM;.EXE;.BAT;.CMD;.VBS;.JS;.WSF;.MSC"),
        ("PROCESSOR_ARCHITECTURE", "AMD64"),
        ("PROCESSOR_LEVEL", "6"),
        ("PROCESSOR_REVISION", "0000"),
        ("ProgramData", r"C:\ProgramData"),
        ("ProgramFiles", r"C:\Program Files"),
        ("ProgramFiles(x86)", r"C:\Program Files (x86)"),
        ("ProgramW6432", r"C:\Program Files"),
        ("PUBLIC", r"C:\users\Public"),
        ("SystemDrive", "C:"),
        ("SystemRoot", r"C:\windows"),
        ("TEMP", &format!(r"{local}\Temp")),
        ("TMP", &format!(r"{local}\Temp")),
        ("USERDOMAIN", "NTEN"),
        ("USERNAME", USER),
        ("USERPROFILE", &home),
        ("windir", r"C:\windows"),
        // Where the userland's `GetUserName` looks.
        ("WINEUSERNAME", USER),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_folder_goes_with_its_owner() {
        let folder = OwnFolder::make("test").unwrap();
        let path = folder.path().to_owned();
        furnish(&path).unwrap();
        assert!(path.join("windows/system.ini").exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn host_paths_become_dos_paths() {
        assert_eq!(dos_path("D:", Path::new("a b/c.exe")), r"D:\a b\c.exe");
        assert_eq!(dos_path("D:", Path::new("")), "D:");
    }
}
