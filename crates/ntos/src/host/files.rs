//! Host files and folders as the file system driver reaches them: always beneath a root the user gave.

/// A host folder shown as a volume.
#[derive(Clone, Debug)]
pub struct VolumeSpec {
    /// The drive letter.
    pub drive: char,
}
