//! What a section needs of the file behind it.

/// A file as sections see it. Calls are synchronous; the host's page cache stands behind them.
pub trait FileBacking: Send + Sync {
    /// Equal for all opens of one file, different for different files: device and inode on the host.
    fn identity(&self) -> (u64, u64);

    /// Bytes in the file.
    fn size(&self) -> std::io::Result<u64>;

    /// Time of the last change, for recognizing that a cached image is stale (100 ns since 1601).
    fn modified(&self) -> std::io::Result<i64>;

    /// Reads at an offset; fewer bytes than asked for only at the end.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize>;

    /// Writes at an offset.
    fn write_at(&self, offset: u64, from: &[u8]) -> std::io::Result<()>;

    /// Grows or cuts the file.
    fn set_size(&self, size: u64) -> std::io::Result<()>;

    /// The NT path, for `MemoryMappedFilenameInformation` and messages: `\Device\HarddiskVolume1\a.dll`.
    fn path(&self) -> crate::ustr::UnicodeString;
}
