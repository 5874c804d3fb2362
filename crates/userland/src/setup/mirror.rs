//! Which package mirror to use and which keys to trust: what the machine's own apt configuration says.
//!
//! nten knows no address of its own. [`candidates`] asks apt for the machine's index targets and keeps those that can
//! be a mirror of the Debian main archive; [`keyring`] finds the distribution's keys.
//! Source: the manual pages sources.list(5) and apt-get(8), "indextargets".

use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite the userland's packages come from.
pub const SUITE: &str = "trixie";

/// Code names and suite names by which a main archive of Debian is recognised.
const DEBIAN_SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// Where the distribution keeps its archive keys, newest name first.
const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// The mirrors of a Debian main archive that this machine's apt uses, the most likely first.
pub fn candidates() -> Vec<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
        .output();
    match output {
        Ok(output) if output.status.success() => select(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

/// Keeps the addresses that can hold [`SUITE`]: one target a line, `ADDRESS RELEASE COMPONENT`.
fn select(targets: &str) -> Vec<String> {
    let mut found: Vec<(bool, String)> = Vec::new();
    for line in targets.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(release), Some("main")) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // Updates live in the main archive too; security updates and backports of other vendors do not.
        let base = release.strip_suffix("-updates").unwrap_or(release);
        let address = address.trim_end_matches('/');
        if !DEBIAN_SUITES.contains(&base) || found.iter().any(|(_, known)| known == address) {
            continue;
        }
        found.push((address.ends_with("/debian"), address.to_owned()));
    }
    found.sort_by_key(|(named_debian, _)| !named_debian);
    found.into_iter().map(|(_, address)| address).collect()
}

/// The distribution's archive keyring; `None` leaves the choice to apt's own trusted keys.
pub fn keyring() -> Option<PathBuf> {
    KEYRINGS.iter().map(Path::new).find(|path| path.is_file()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_main_archive_once() {
        let targets = "http://m.example/debian-security/ bookworm-security main\n\
                       https://m.example/cached bookworm main\n\
                       http://m.example/debian/ bookworm main\n\
                       http://m.example/debian/ bookworm-updates main\n\
                       http://m.example/debian/ bookworm contrib\n";
        assert_eq!(select(targets), ["http://m.example/debian", "https://m.example/cached"]);
    }

    #[test]
    fn other_distributions_and_vendors_are_not_mirrors() {
        let targets = "http://m.example/ubuntu/ noble main\n\
                       http://m.example/ubuntu/ noble-updates main\n\
                       https://v.example/ nodistro main\n\nnonsense\n";
        assert!(select(targets).is_empty());
    }
}
