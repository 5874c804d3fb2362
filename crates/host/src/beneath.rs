//! Opening beneath a folder: no name, link or `..` leads out of it.
//!
//! The kernel does it (`openat2` with `RESOLVE_BENEATH`); where it cannot, each component is opened by itself and links
//! are followed here.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstat, openat, openat2,
    readlinkat, statx,
};
use rustix::io::{Errno, Result};

/// Links followed before a path counts as a loop, as Linux counts.
const MAX_LINKS: usize = 40;

/// A folder that names are opened beneath.
pub(crate) struct Root {
    folder: OwnedFd,
    by_kernel: AtomicBool,
}

impl Root {
    pub(crate) fn new(folder: OwnedFd) -> Self {
        Root { folder, by_kernel: AtomicBool::new(true) }
    }

    /// Opens a path; the empty path is the folder itself. `XDEV` for a link that leads out or in a circle.
    pub(crate) fn open(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        match self.open_any(path, flags, mode) {
            Err(Errno::LOOP) => Err(Errno::XDEV),
            result => result,
        }
    }

    fn open_any(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::CLOEXEC;
        if self.by_kernel.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.folder, path, flags, mode, resolve) {
                Err(Errno::NOSYS | Errno::PERM) => self.by_kernel.store(false, Ordering::Relaxed),
                // A rename raced with the walk: the kernel asks to try again.
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        self.open_by_steps(path, flags, mode)
    }

    /// Facts about one name in the folder, or with the empty name about the folder. A link is not followed.
    pub(crate) fn stat(&self, name: &[u8], wanted: StatxFlags) -> Result<Statx> {
        debug_assert!(!name.contains(&b'/'));
        if name == b".." {
            return Err(Errno::XDEV);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        statx(&self.folder, name, flags, wanted)
    }

    /// The folder that holds the last component of a path, and that component.
    pub(crate) fn parent<'a>(&self, path: &'a [u8]) -> Result<(OwnedFd, &'a [u8])> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash), path.get(slash + 1..)),
            None => (Some(&b""[..]), Some(path)),
        };
        let (parent, name) = (parent.unwrap_or_default(), name.unwrap_or_default());
        if name.is_empty() {
            return Err(Errno::INVAL);
        }
        let folder = self.open(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((folder, name))
    }

    fn open_by_steps(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let mut rest: Vec<Vec<u8>> = components(path);
        let mut folders: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        while let Some(component) = rest.pop() {
            if component == b".." {
                // Beneath the root there is nothing above it.
                folders.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            let at = current(&self.folder, &folders);
            let last = rest.is_empty();
            let found = match openat(at, component.as_slice(), step, Mode::empty()) {
                Err(Errno::NOENT) if last && flags.contains(OFlags::CREATE) => {
                    return openat(at, component.as_slice(), flags | OFlags::NOFOLLOW, mode);
                }
                found => found?,
            };
            let kind = FileType::from_raw_mode(fstat(&found)?.st_mode);
            if kind == FileType::Symlink && !(last && flags.contains(OFlags::NOFOLLOW)) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&found, "", Vec::new())?;
                let target = target.as_bytes();
                if target.first() == Some(&b'/') {
                    return Err(Errno::XDEV);
                }
                rest.extend(components(target));
                continue;
            }
            if last && !flags.contains(OFlags::PATH) {
                return openat(at, component.as_slice(), flags | OFlags::NOFOLLOW, mode);
            }
            if last {
                return Ok(found);
            }
            folders.push(found);
        }
        let at = current(&self.folder, &folders);
        openat(at, ".", flags, mode)
    }
}

fn current<'a>(root: &'a OwnedFd, folders: &'a [OwnedFd]) -> BorrowedFd<'a> {
    folders.last().map_or(root.as_fd(), AsFd::as_fd)
}

/// The components of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    let kept = parts.filter(|part| !part.is_empty() && *part != b".");
    kept.map(<[u8]>::to_vec).rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn roots(at: &std::path::Path) -> [Root; 2] {
        let open = || Root::new(std::fs::File::open(at).unwrap().into());
        let by_steps = open();
        by_steps.by_kernel.store(false, Ordering::Relaxed);
        [open(), by_steps]
    }

    #[test]
    fn links_inside_are_followed_and_links_outside_refused() {
        let at = std::env::temp_dir().join(format!("nten-beneath-{}", std::process::id()));
        let inner = at.join("root/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(at.join("secret"), "s").unwrap();
        std::fs::write(inner.join("file"), "f").unwrap();
        symlink("inner/file", at.join("root/good")).unwrap();
        symlink("../root/inner", inner.join("up")).unwrap();
        symlink("../secret", at.join("root/bad")).unwrap();
        symlink("/etc/passwd", at.join("root/absolute")).unwrap();
        symlink("loop", at.join("root/loop")).unwrap();
        for root in roots(&at.join("root")) {
            let open = |path: &str| root.open(path.as_bytes(), OFlags::RDONLY, Mode::empty());
            open("").unwrap();
            open("good").unwrap();
            open("inner/file").unwrap();
            for refused in ["bad", "absolute", "../secret", "inner/up/file", "loop", "none"] {
                assert!(open(refused).is_err(), "{refused}");
            }
        }
        std::fs::remove_dir_all(&at).unwrap();
    }
}
