//! Fetching packages with the machine's apt, without root and without touching the machine's own apt state.
//!
//! apt runs with a configuration of its own: its own state, cache and package sources in the work folder, the mirror
//! from [`mirror`], signatures checked against the distribution's keys. What the machine's configuration says about
//! proxies and credentials stays in force. Source: apt.conf(5), apt-get(8), sources.list(5).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Progress, mirror};
use crate::locate::{Package, UserlandError};

/// The package that holds the system DLLs.
pub const WINE_PACKAGE: &str = "libwine";

/// The packages to fetch, as apt names them.
const PACKAGES: &[&str] = &["libwine:amd64", "libz-mingw-w64", "libwine:i386"];

/// A package file that was fetched and verified.
#[derive(Debug)]
pub struct Fetched {
    /// What it is.
    pub package: Package,
    /// Where it is.
    pub path: PathBuf,
}

/// Fetches the packages into a folder below `work`.
pub fn fetch(
    work: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Fetched>, UserlandError> {
    for tool in ["apt-get", "dpkg-deb"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(failure(
                "cannot fetch packages on this machine",
                format!("there is no {tool} command"),
            ));
        }
    }
    let mirrors = mirror::candidates();
    if mirrors.is_empty() {
        return Err(failure(
            "cannot fetch packages on this machine",
            "its apt configuration names no mirror of the Debian main archive".to_owned(),
        ));
    }
    let mut last = None;
    for address in mirrors {
        let apt = PrivateApt::create(work, &address)?;
        progress(Progress::Step(format!(
            "reading the package index of {} at {address}",
            mirror::SUITE
        )));
        match apt.run(&["update"], &apt.folder) {
            Ok(_) => return apt.download(progress),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| failure("cannot fetch packages", String::new())))
}

/// Unpacks a package into a folder, as many packages as there are into the same one.
pub fn unpack(package: &Path, folder: &Path) -> Result<(), UserlandError> {
    let output = Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| UserlandError::io("unpack", package, error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failure(&format!("cannot unpack {}", package.display()), said(&output)))
}

/// apt with a state of its own.
struct PrivateApt {
    folder: PathBuf,
    configuration: PathBuf,
}

/// One line of `apt-get download --print-uris`.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    file: String,
    size: u64,
    sha256: Option<String>,
}

impl PrivateApt {
    fn create(work: &Path, address: &str) -> Result<Self, UserlandError> {
        let folder = work.join("apt");
        let fail = |error| UserlandError::io("write", &folder, error);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(fail)?;
        }
        for part in ["state/lists/partial", "cache/archives/partial", "sources", "debs"] {
            fs::create_dir_all(folder.join(part)).map_err(fail)?;
        }
        // An empty dpkg status: nothing is installed, whatever the machine has.
        fs::write(folder.join("state/status"), "").map_err(fail)?;
        fs::write(
            folder.join("sources/nten.sources"),
            sources(address, mirror::keyring().as_deref()),
        )
        .map_err(fail)?;
        let configuration = folder.join("apt.conf");
        fs::write(&configuration, configure(&folder)).map_err(fail)?;
        Ok(Self { folder, configuration })
    }

    /// Runs apt-get to its end.
    fn run(&self, arguments: &[&str], at: &Path) -> Result<Output, UserlandError> {
        let output = self
            .command(arguments, at)
            .output()
            .map_err(|error| failure("cannot run apt-get", error.to_string()))?;
        self.check(arguments, output)
    }

    fn command(&self, arguments: &[&str], at: &Path) -> Command {
        let mut command = Command::new("apt-get");
        command
            .arg("--config-file")
            .arg(&self.configuration)
            .args(["-q", "-o", "APT::Update::Error-Mode=any"])
            .args(arguments)
            .current_dir(at)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    fn check(&self, arguments: &[&str], output: Output) -> Result<Output, UserlandError> {
        if output.status.success() {
            return Ok(output);
        }
        Err(failure(&format!("apt-get {} failed", arguments.join(" ")), said(&output)))
    }

    /// Downloads the packages, showing how far it is, and hashes what arrived.
    fn download(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Fetched>, UserlandError> {
        let debs = self.folder.join("debs");
        let mut query = vec!["download", "--print-uris"];
        query.extend(PACKAGES);
        let listing = self.run(&query, &debs)?;
        let offers: Vec<Offer> =
            String::from_utf8_lossy(&listing.stdout).lines().filter_map(parse_offer).collect();
        let total = offers.iter().map(|offer| offer.size).sum();
        progress(Progress::Step(format!(
            "downloading {} ({} MB)",
            PACKAGES.join(", "),
            total / 1_000_000
        )));
        self.download_all(&debs, total, progress)?;

        let mut fetched = Vec::new();
        for offer in offers {
            let path = debs.join(&offer.file);
            let sha256 = hash(&path).map_err(|error| UserlandError::io("read", &path, error))?;
            // apt has verified the file; this guards the folder between apt and us.
            if offer.sha256.as_ref().is_some_and(|expected| *expected != sha256) {
                return Err(failure("a package is damaged", format!("{} changed", offer.file)));
            }
            let package = package_of(&offer, sha256)
                .ok_or_else(|| failure("a package has an unexpected name", offer.file.clone()))?;
            fetched.push(Fetched { package, path });
        }
        if fetched.len() != PACKAGES.len() {
            let cause = format!("{} of {} were offered", fetched.len(), PACKAGES.len());
            return Err(failure("the mirror does not have all packages", cause));
        }
        Ok(fetched)
    }

    fn download_all(
        &self,
        debs: &Path,
        total: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), UserlandError> {
        let mut arguments = vec!["download"];
        arguments.extend(PACKAGES);
        let log = self.folder.join("download.log");
        let open = || File::create(&log).map_err(|error| UserlandError::io("write", &log, error));
        let mut child = self
            .command(&arguments, debs)
            .stdout(Stdio::null())
            .stderr(open()?)
            .spawn()
            .map_err(|error| failure("cannot run apt-get", error.to_string()))?;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(error) => return Err(failure("cannot wait for apt-get", error.to_string())),
            }
            progress(Progress::Transfer { done: bytes_in(debs), total });
            thread::sleep(Duration::from_millis(200));
        };
        progress(Progress::Transfer { done: bytes_in(debs), total });
        let stderr = fs::read(&log).unwrap_or_default();
        self.check(&arguments, Output { status, stdout: Vec::new(), stderr })?;
        Ok(())
    }
}

/// The package source: only the index of packages, only the suite.
fn sources(address: &str, keyring: Option<&Path>) -> String {
    let mut text = format!(
        "Types: deb\nURIs: {address}\nSuites: {}\nComponents: main\n\
         Architectures: amd64 i386\nTargets: Packages\n",
        mirror::SUITE
    );
    if let Some(keyring) = keyring {
        text.push_str(&format!("Signed-By: {}\n", keyring.display()));
    }
    text
}

/// apt's configuration. Hooks of the machine's configuration are cleared: they act on the machine's own cache. The
/// unprivileged download user cannot reach a home folder, so root downloads as root here; signatures decide.
fn configure(folder: &Path) -> String {
    let at = |part: &str| folder.join(part).display().to_string().replace('"', "");
    format!(
        "#clear APT::Update;\n#clear DPkg;\n#clear APT::Architectures;\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; \"i386\"; }};\n\
         APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
         Dir::State \"{}\";\nDir::State::status \"{}\";\nDir::Cache \"{}\";\n\
         Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{}\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n",
        at("state"),
        at("state/status"),
        at("cache"),
        at("sources"),
    )
}

/// Reads `'ADDRESS' FILE SIZE SHA256:HASH`.
fn parse_offer(line: &str) -> Option<Offer> {
    let rest = line.strip_prefix('\'')?;
    let (_, rest) = rest.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let file = words.next()?.to_owned();
    let size = words.next()?.parse().ok()?;
    let sha256 = words.next().and_then(|word| word.strip_prefix("SHA256:")).map(str::to_owned);
    Some(Offer { file, size, sha256 })
}

/// Reads `NAME_VERSION_ARCHITECTURE.deb`.
fn package_of(offer: &Offer, sha256: String) -> Option<Package> {
    let mut parts = offer.file.strip_suffix(".deb")?.split('_');
    let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Package {
        name: name.to_owned(),
        architecture: architecture.to_owned(),
        // A colon cannot stand in the file name.
        version: version.replace("%3a", ":"),
        size: offer.size,
        sha256,
    })
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

/// The error lines a tool wrote, or its last line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| line.starts_with("E: ") || line.starts_with("W: "))
        .collect();
    match (errors.is_empty(), lines.last()) {
        (false, _) => errors.join("; "),
        (true, Some(last)) => (*last).to_owned(),
        (true, None) => format!("it ended with {}", output.status),
    }
}

/// A failure with the instructions for doing by hand what could not be done.
fn failure(message: &str, cause: String) -> UserlandError {
    let suite = mirror::SUITE;
    let help = format!(
        "on a machine with a network, get libwine (amd64), libz-mingw-w64 and libwine (i386) of Debian {suite} \
         (`apt-get download` there, or a browser), unpack all three into one folder DIR with \
         `dpkg-deb -x FILE.deb DIR`, copy DIR here, and run `nten setup --userland DIR`. If the mirror lacks {suite} \
         or its keys are unknown, install a newer debian-archive-keyring, or install Wine 10 or later and run \
         `nten setup` again"
    );
    UserlandError::Fetch { message: message.to_owned(), cause, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offers() {
        let line = "'http://m.example/pool/libwine_10.0%7erepack-6_amd64.deb' \
                    libwine_10.0~repack-6_amd64.deb 111365028 SHA256:702c99";
        let offer = parse_offer(line).unwrap();
        assert_eq!(offer.size, 111_365_028);
        let package = package_of(&offer, "702c99".to_owned()).unwrap();
        assert_eq!(package.name, "libwine");
        assert_eq!(package.version, "10.0~repack-6");
        assert_eq!(package.architecture, "amd64");
        assert_eq!(parse_offer("Reading package lists..."), None);
        assert_eq!(parse_offer("'http://m.example/x.deb' x.deb many"), None);
    }

    #[test]
    fn source_names_the_keyring() {
        let text = sources("http://m.example/debian", Some(Path::new("/k.gpg")));
        assert!(text.contains("Signed-By: /k.gpg\n"));
        assert!(!sources("http://m.example/debian", None).contains("Signed-By"));
    }

    #[test]
    fn failures_say_what_to_put_where() {
        let error = failure("cannot fetch", "no network".to_owned());
        let help = error.help().unwrap();
        for word in ["libwine", "libz-mingw-w64", "trixie", "nten setup --userland DIR"] {
            assert!(help.contains(word), "{word}");
        }
        assert_eq!(error.cause().as_deref(), Some("no network"));
    }
}
