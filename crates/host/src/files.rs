//! Host folders and files for file system drivers.
//!
//! Key types: [`LinuxFolder`], which opens everything beneath its root ([`crate::beneath`]), and [`LinuxFile`].

use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ntos::host::files::{
    HostAccess, HostEntry, HostFile, HostFolder, HostKind, HostMetadata, HostSpace, HostTimes,
};
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Statx, StatxFlags, Timespec,
    Timestamps, UTIME_OMIT, XattrFlags,
};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::clock::{from_nt, now, to_nt};

/// Kernel clock ticks are at most 10 ms apart; file times go by them.
const RECENT: i64 = 300_000;

/// A folder that nothing leaves.
pub struct LinuxFolder {
    root: Root,
    place: PathBuf,
}

impl LinuxFolder {
    /// Opens a folder.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let place = std::fs::canonicalize(path)?;
        Ok(Arc::new(LinuxFolder { root: Root::new(folder), place }))
    }

    /// Opens a folder, which is made first if it does not exist.
    pub fn create(path: &Path) -> Result<Arc<Self>> {
        std::fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// The facts of a link, with the kind of what it leads to.
    fn as_link(&self, path: &[u8], metadata: HostMetadata) -> HostMetadata {
        if metadata.kind != HostKind::Link {
            return metadata;
        }
        let target = self.at(path, OFlags::PATH).and_then(metadata_at);
        let kind = match target.map(|target| target.kind) {
            Ok(HostKind::Folder) => HostKind::Folder,
            _ => HostKind::File,
        };
        HostMetadata { kind, link: true, ..metadata }
    }

    fn at(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.root.open(path, flags, Mode::empty())
    }
}

fn kind_of(kind: FileType) -> HostKind {
    match kind {
        FileType::RegularFile => HostKind::File,
        FileType::Directory => HostKind::Folder,
        FileType::Symlink => HostKind::Link,
        _ => HostKind::Other,
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn metadata_of(stat: &Statx) -> HostMetadata {
    let time = |at: &rustix::fs::StatxTimestamp| to_nt(at.tv_sec, i64::from(at.tv_nsec));
    let modified = time(&stat.stx_mtime);
    let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let birth = if has_birth { time(&stat.stx_btime) } else { modified };
    let changed = time(&stat.stx_ctime);
    HostMetadata {
        kind: kind_of(FileType::from_raw_mode(stat.stx_mode.into())),
        size: stat.stx_size,
        allocated: stat.stx_blocks.saturating_mul(512),
        device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
        inode: stat.stx_ino,
        links: stat.stx_nlink,
        writable: stat.stx_mode & 0o200 != 0,
        created: birth,
        accessed: time(&stat.stx_atime),
        modified,
        changed,
        link: false,
        recent: now().saturating_sub(changed) < RECENT,
        change_stamp: (stat.stx_ctime.tv_sec as u128) << 32 | u128::from(stat.stx_ctime.tv_nsec),
    }
}

fn metadata_at(fd: impl AsFd) -> rustix::io::Result<HostMetadata> {
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, wanted())?;
    Ok(metadata_of(&stat))
}

fn timestamps(times: HostTimes) -> Timestamps {
    let spec = |time: Option<i64>| match time {
        Some(time) => {
            let (tv_sec, tv_nsec) = from_nt(time);
            Timespec { tv_sec, tv_nsec }
        }
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    };
    Timestamps { last_access: spec(times.accessed), last_modification: spec(times.modified) }
}

/// The path by which the calls that take no descriptor reach an open file.
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn set_mode(fd: &OwnedFd, writable: bool) -> Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let write = Mode::WUSR | Mode::WGRP | Mode::WOTH;
    // Group and others get back no more than the process's own umask would have given a new file: nothing.
    let mode = if writable { mode | Mode::WUSR } else { mode - write };
    rustix::fs::chmod(proc_path(fd), mode)?;
    Ok(())
}

impl HostFolder for LinuxFolder {
    fn place(&self) -> String {
        self.place.display().to_string()
    }

    fn metadata(&self, path: &[u8]) -> Result<HostMetadata> {
        // One name in the root itself, if it is no link, needs no walk: this is where programs and DLLs lie.
        if !path.contains(&b'/') {
            let metadata = self.root.stat(path, wanted()).map(|stat| metadata_of(&stat))?;
            if metadata.kind != HostKind::Link {
                return Ok(metadata);
            }
        }
        Ok(metadata_at(self.at(path, OFlags::PATH)?)?)
    }

    fn link_metadata(&self, path: &[u8]) -> Result<HostMetadata> {
        let metadata = if path.contains(&b'/') {
            metadata_at(self.at(path, OFlags::PATH | OFlags::NOFOLLOW)?)?
        } else {
            self.root.stat(path, wanted()).map(|stat| metadata_of(&stat))?
        };
        Ok(self.as_link(path, metadata))
    }

    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>> {
        // NONBLOCK and NOCTTY are for what turns out not to be a regular file.
        let base = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match access {
            HostAccess::Read => self.at(path, OFlags::RDONLY | base)?,
            HostAccess::ReadWrite => self.at(path, OFlags::RDWR | base)?,
            HostAccess::CreateNew => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | base;
                self.root.open(path, flags, Mode::from_raw_mode(0o666))?
            }
        };
        match kind_of(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode)) {
            HostKind::File => Ok(Arc::new(LinuxFile { file })),
            HostKind::Folder => Err(Errno::ISDIR.into()),
            _ => Err(Errno::ACCESS.into()),
        }
    }

    fn list(&self, path: &[u8]) -> Result<Vec<HostEntry>> {
        let folder = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(HostEntry { name: name.to_vec(), kind: kind_of(entry.file_type()) });
            }
        }
        Ok(entries)
    }

    fn list_metadata(&self, path: &[u8], names: &[Vec<u8>]) -> Result<Vec<(usize, HostMetadata)>> {
        let folder = self.at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        let mut found = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let name = name.as_slice();
            let stat = rustix::fs::statx(&folder, name, AtFlags::SYMLINK_NOFOLLOW, wanted());
            let Ok(mut metadata) = stat.map(|stat| metadata_of(&stat)) else { continue };
            if metadata.kind == HostKind::Link {
                let full = [path, name].into_iter().filter(|part| !part.is_empty());
                metadata = self.as_link(&full.collect::<Vec<_>>().join(&b'/'), metadata);
            }
            found.push((index, metadata));
        }
        Ok(found)
    }

    fn create_folder(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.root.parent(path)?;
        Ok(rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777))?)
    }

    fn remove_file(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.root.parent(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    fn remove_folder(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.root.parent(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        let (from_parent, from_name) = self.root.parent(from)?;
        let (to_parent, to_name) = self.root.parent(to)?;
        if replace {
            return Ok(rustix::fs::renameat(from_parent, from_name, to_parent, to_name)?);
        }
        let flags = RenameFlags::NOREPLACE;
        let renamed =
            rustix::fs::renameat_with(&from_parent, from_name, &to_parent, to_name, flags);
        match renamed {
            // Some file systems do not know the flag: look first.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if rustix::fs::statat(&to_parent, to_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Err(Errno::EXIST.into());
                }
                Ok(rustix::fs::renameat(from_parent, from_name, to_parent, to_name)?)
            }
            result => Ok(result?),
        }
    }

    fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let (from_parent, from_name) = self.root.parent(from)?;
        let (to_parent, to_name) = self.root.parent(to)?;
        let flags = AtFlags::empty();
        Ok(rustix::fs::linkat(from_parent, from_name, to_parent, to_name, flags)?)
    }

    fn create_link(&self, path: &[u8], target: &[u8]) -> Result<()> {
        let (parent, name) = self.root.parent(path)?;
        Ok(rustix::fs::symlinkat(target, parent, name)?)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>> {
        let (parent, name) = self.root.parent(path)?;
        let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
        Ok(target.into_bytes())
    }

    fn set_times(&self, path: &[u8], times: HostTimes) -> Result<()> {
        let file = self.at(path, OFlags::PATH)?;
        let place = proc_path(&file);
        Ok(rustix::fs::utimensat(rustix::fs::CWD, place, &timestamps(times), AtFlags::empty())?)
    }

    fn set_writable(&self, path: &[u8], writable: bool) -> Result<()> {
        set_mode(&self.at(path, OFlags::PATH)?, writable)
    }

    fn attribute(&self, path: &[u8], name: &str) -> Option<Vec<u8>> {
        let file = self.at(path, OFlags::PATH).ok()?;
        let mut value = vec![0u8; 256];
        let length = rustix::fs::getxattr(proc_path(&file), name, value.as_mut_slice()).ok()?;
        value.truncate(length);
        Some(value)
    }

    fn set_attribute(&self, path: &[u8], name: &str, value: Option<&[u8]>) -> Result<()> {
        let file = self.at(path, OFlags::PATH)?;
        let place = proc_path(&file);
        let done = match value {
            Some(value) => rustix::fs::setxattr(place, name, value, XattrFlags::empty()),
            None => match rustix::fs::removexattr(place, name) {
                Err(Errno::NODATA) => Ok(()),
                done => done,
            },
        };
        Ok(done?)
    }

    fn space(&self) -> Result<HostSpace> {
        let stat = rustix::fs::fstatvfs(self.at(b"", OFlags::PATH)?)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(HostSpace {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bfree),
            available: bytes(stat.f_bavail),
        })
    }
}

/// An open regular file.
pub(crate) struct LinuxFile {
    file: OwnedFd,
}

impl LinuxFile {
    /// Wraps a descriptor of a regular file.
    pub(crate) fn new(file: OwnedFd) -> Self {
        LinuxFile { file }
    }
}

impl HostFile for LinuxFile {
    fn metadata(&self) -> Result<HostMetadata> {
        Ok(metadata_at(&self.file)?)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&self.file, rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.file, rest, offset.saturating_add(done as u64)) {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        Ok(rustix::fs::ftruncate(&self.file, size)?)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
        let size = self.metadata()?.size;
        let (mut at, end) = (offset, offset.saturating_add(len).min(size));
        let zeros = [0u8; 0x1_0000];
        while at < end {
            let piece = (end - at).min(zeros.len() as u64) as usize;
            self.write_at(at, zeros.get(..piece).unwrap_or_default())?;
            at += piece as u64;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(rustix::fs::fsync(&self.file)?)
    }

    fn set_times(&self, times: HostTimes) -> Result<()> {
        Ok(rustix::fs::futimens(&self.file, &timestamps(times))?)
    }

    fn set_writable(&self, writable: bool) -> Result<()> {
        set_mode(&self.file, writable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let at = std::env::temp_dir().join(format!("nten-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&at).unwrap();
            Scratch(at)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_made_written_renamed_and_removed() {
        let scratch = Scratch::new("files");
        let folder = LinuxFolder::open(&scratch.0).unwrap();
        folder.create_folder(b"d").unwrap();
        let file = folder.open(b"d/a", HostAccess::CreateNew).unwrap();
        file.write_at(3, b"xyz").unwrap();
        assert_eq!(file.metadata().unwrap().size, 6);
        assert!(folder.open(b"d/a", HostAccess::CreateNew).is_err());
        let mut bytes = [9u8; 8];
        assert_eq!(file.read_at(2, &mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"\0xyz");
        file.zero(3, 2).unwrap();
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"\0\0\0\0\0z");
        folder.rename(b"d/a", b"b", false).unwrap();
        assert!(folder.metadata(b"d/a").is_err());
        folder.open(b"d/c", HostAccess::CreateNew).unwrap();
        let taken = folder.rename(b"d/c", b"b", false).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
        folder.rename(b"d/c", b"b", true).unwrap();
        assert_eq!(folder.list(b"").unwrap().len(), 2);
        folder.remove_file(b"b").unwrap();
        folder.remove_folder(b"d").unwrap();
        assert!(folder.list(b"").unwrap().is_empty());
    }

    #[test]
    fn times_and_modes_are_stored() {
        let scratch = Scratch::new("times");
        let folder = LinuxFolder::open(&scratch.0).unwrap();
        let file = folder.open(b"f", HostAccess::CreateNew).unwrap();
        let times = HostTimes { accessed: None, modified: Some(to_nt(1_000_000_000, 500)) };
        folder.set_times(b"f", times).unwrap();
        file.set_writable(false).unwrap();
        let metadata = folder.metadata(b"f").unwrap();
        assert_eq!(metadata.modified, to_nt(1_000_000_000, 500));
        assert!(!metadata.writable);
        assert!(folder.attribute(b"f", "user.none").is_none());
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = LinuxFolder::open(Path::new("/dev")).unwrap();
        assert_eq!(folder.metadata(b"null").unwrap().kind, HostKind::Other);
        assert!(folder.open(b"null", HostAccess::Read).is_err());
    }
}
