//! An installed Wine: whether there is one, how old it is, and where its PE files lie.
//!
//! The PE files carry no Wine version, so the `wine` command is asked; `--version` starts nothing else. The folders
//! follow the layout of Wine's own `make install` and of the distributions' packages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::MINIMUM_WINE;
use crate::locate::Userland;

/// Names under which the command is installed.
const COMMANDS: &[&str] = &["wine", "wine64", "wine-stable", "wine-development"];

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// No `wine` command.
    Nothing,
    /// A Wine that cannot be used, and why.
    Unusable(String),
    /// A Wine to use.
    Usable(Userland),
}

/// Looks for an installed Wine.
pub fn find() -> Found {
    let mut result = Found::Nothing;
    for command in COMMANDS.iter().filter_map(|name| in_path(name)) {
        match examine(&command) {
            Found::Usable(userland) => return Found::Usable(userland),
            Found::Unusable(reason) => result = Found::Unusable(reason),
            Found::Nothing => {}
        }
    }
    result
}

/// Asks one `wine` command for its version and looks for its files.
fn examine(command: &Path) -> Found {
    let Ok(output) = Command::new(command).arg("--version").output() else { return Found::Nothing };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((major, version)) = parse_version(&text) else { return Found::Nothing };
    if major < MINIMUM_WINE {
        return Found::Unusable(format!(
            "the installed Wine is {version}, version {MINIMUM_WINE} or later is needed: fetching packages"
        ));
    }
    // A link in /usr/bin may lead to a folder like /opt/wine-stable/bin.
    let real = command.canonicalize().unwrap_or_else(|_| command.to_owned());
    let prefixes = real.ancestors().skip(1).take(4).map(Path::to_owned);
    for prefix in prefixes.chain([PathBuf::from("/usr"), PathBuf::from("/usr/local")]) {
        if let Ok(mut userland) = Userland::at(&prefix) {
            userland.version = Some(version);
            return Found::Usable(userland);
        }
    }
    Found::Unusable(format!(
        "the installed Wine {version} has no x86_64-windows folder: fetching packages"
    ))
}

/// Reads `wine-10.0 (Debian 10.0~repack-6)`: the major version and the version.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.trim().strip_prefix("wine-")?.split_whitespace().next()?;
    let major = version.split(['.', '-']).next()?.parse().ok()?;
    Some((major, version.to_owned()))
}

/// The first file of that name in `$PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let read = |text| parse_version(text).map(|(major, version)| format!("{major} {version}"));
        assert_eq!(read("wine-10.0 (Debian 10.0~repack-6)\n").as_deref(), Some("10 10.0"));
        assert_eq!(read("wine-11.0-rc2\n").as_deref(), Some("11 11.0-rc2"));
        assert_eq!(read("wine-8.0.1 (Staging)").as_deref(), Some("8 8.0.1"));
        assert_eq!(read("wine: command failed"), None);
    }
}
