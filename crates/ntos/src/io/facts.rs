//! What drivers say of files and volumes, and the information classes made of it.
//!
//! Key types: [`FileFacts`], [`VolumeFacts`], [`Packed`]. Layouts are [MS-FSCC]'s.

use abi::io::*;
use abi::status_table::*;
use abi::{NtResult, NtStatus};
use zerocopy::IntoBytes;

use crate::ustr::UnicodeString;

/// Facts about a file. Times are 100 ns since 1601, UTC.
#[derive(Clone, Debug, Default)]
pub struct FileFacts {
    /// Creation.
    pub created: i64,
    /// Last access.
    pub accessed: i64,
    /// Last change of content.
    pub modified: i64,
    /// Last change of content or attributes.
    pub changed: i64,
    /// Bytes in it.
    pub size: u64,
    /// Bytes it takes.
    pub allocated: u64,
    /// `FILE_ATTRIBUTE_…`, never 0 for a file that exists.
    pub attributes: u32,
    /// The reparse tag, or 0.
    pub reparse_tag: u32,
    /// Names it has.
    pub links: u32,
    /// True once it is to be deleted.
    pub delete_pending: bool,
    /// True for a directory.
    pub directory: bool,
    /// Identifies the file on its volume.
    pub id: u64,
    /// Serial number of the volume.
    pub volume_serial: u64,
}

/// Facts about a volume.
#[derive(Clone, Debug, Default)]
pub struct VolumeFacts {
    /// When it was made.
    pub created: i64,
    /// Serial number.
    pub serial: u32,
    /// Label.
    pub label: UnicodeString,
    /// Name of the file system.
    pub file_system: UnicodeString,
    /// `FILE_…` file system attributes.
    pub attributes: u32,
    /// Longest name component.
    pub max_component: i32,
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Bytes free for this user.
    pub available: u64,
}

/// Bytes of an answer and how they went in.
#[derive(Debug)]
pub struct Packed {
    /// What is written.
    pub bytes: Vec<u8>,
    /// `STATUS_SUCCESS`, or `STATUS_BUFFER_OVERFLOW` when a name was cut.
    pub status: NtStatus,
}

/// Sectors per cluster and bytes per sector that volumes show.
pub const SECTORS_PER_UNIT: u32 = 8;
/// Bytes per sector.
pub const BYTES_PER_SECTOR: u32 = 512;
const UNIT: u64 = (SECTORS_PER_UNIT * BYTES_PER_SECTOR) as u64;

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl FileFacts {
    /// `FILE_BASIC_INFORMATION`.
    pub fn basic(&self) -> FILE_BASIC_INFORMATION {
        FILE_BASIC_INFORMATION {
            CreationTime: self.created,
            LastAccessTime: self.accessed,
            LastWriteTime: self.modified,
            ChangeTime: self.changed,
            FileAttributes: self.attributes,
            _pad: 0,
        }
    }

    /// `FILE_STANDARD_INFORMATION`.
    pub fn standard(&self) -> FILE_STANDARD_INFORMATION {
        FILE_STANDARD_INFORMATION {
            AllocationSize: signed(self.allocated),
            EndOfFile: signed(self.size),
            // A file whose deletion is pending has lost that name already, as NTFS counts.
            NumberOfLinks: self.links.saturating_sub(u32::from(self.delete_pending)),
            DeletePending: self.delete_pending.into(),
            Directory: self.directory.into(),
            _pad: 0,
        }
    }

    /// `FILE_NETWORK_OPEN_INFORMATION`.
    pub fn network_open(&self) -> FILE_NETWORK_OPEN_INFORMATION {
        FILE_NETWORK_OPEN_INFORMATION {
            CreationTime: self.created,
            LastAccessTime: self.accessed,
            LastWriteTime: self.modified,
            ChangeTime: self.changed,
            AllocationSize: signed(self.allocated),
            EndOfFile: signed(self.size),
            FileAttributes: self.attributes,
            _pad: 0,
        }
    }

    /// `FILE_STAT_INFORMATION`.
    pub fn stat(&self, access: u32) -> FILE_STAT_INFORMATION {
        FILE_STAT_INFORMATION {
            FileId: self.id as i64,
            CreationTime: self.created,
            LastAccessTime: self.accessed,
            LastWriteTime: self.modified,
            ChangeTime: self.changed,
            AllocationSize: signed(self.allocated),
            EndOfFile: signed(self.size),
            FileAttributes: self.attributes,
            ReparseTag: self.reparse_tag,
            NumberOfLinks: self.links,
            EffectiveAccess: access,
        }
    }
}

/// A structure that must fit as a whole.
pub fn fixed<T: IntoBytes + zerocopy::Immutable>(value: &T, room: usize) -> NtResult<Packed> {
    let bytes = value.as_bytes();
    if room < bytes.len() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    Ok(Packed { bytes: bytes.to_vec(), status: STATUS_SUCCESS })
}

/// A head of `at` bytes and a name behind it that may be cut; `minimum` is the size of NT's structure.
pub fn with_name(
    head: &[u8],
    at: usize,
    minimum: usize,
    name: &[u16],
    room: usize,
) -> NtResult<Packed> {
    if room < minimum {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let mut bytes = head.get(..at).unwrap_or(head).to_vec();
    let fits = (room.saturating_sub(at) / 2).min(name.len());
    bytes.extend(name.iter().take(fits).flat_map(|unit| unit.to_le_bytes()));
    let status = if fits < name.len() { STATUS_BUFFER_OVERFLOW } else { STATUS_SUCCESS };
    Ok(Packed { bytes, status })
}

/// Bytes that must fit as a whole.
pub fn whole(bytes: Vec<u8>, room: usize) -> NtResult<Packed> {
    if room < bytes.len() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    Ok(Packed { bytes, status: STATUS_SUCCESS })
}

/// A length word and a name: classes 9 and 48.
pub fn name_information(name: &[u16], room: usize) -> NtResult<Packed> {
    with_name(&(name.len() as u32 * 2).to_le_bytes(), 4, 8, name, room)
}

/// The file system information classes.
pub fn volume_information(
    facts: &VolumeFacts,
    device_type: u32,
    characteristics: u32,
    class: u32,
    room: usize,
) -> NtResult<Packed> {
    match class {
        1 => {
            let head = FILE_FS_VOLUME_INFORMATION {
                VolumeCreationTime: facts.created,
                VolumeSerialNumber: facts.serial,
                VolumeLabelLength: facts.label.len() as u32 * 2,
                SupportsObjects: 0,
                _pad: [0; 7],
            };
            with_name(head.as_bytes(), FILE_FS_LABEL_AT, 0x18, &facts.label, room)
        }
        3 => fixed(
            &FILE_FS_SIZE_INFORMATION {
                TotalAllocationUnits: signed(facts.total / UNIT),
                AvailableAllocationUnits: signed(facts.available / UNIT),
                SectorsPerAllocationUnit: SECTORS_PER_UNIT,
                BytesPerSector: BYTES_PER_SECTOR,
            },
            room,
        ),
        4 => fixed(
            &FILE_FS_DEVICE_INFORMATION {
                DeviceType: device_type,
                Characteristics: characteristics,
            },
            room,
        ),
        5 => {
            let head = FILE_FS_ATTRIBUTE_INFORMATION {
                FileSystemAttributes: facts.attributes,
                MaximumComponentNameLength: facts.max_component,
                FileSystemNameLength: facts.file_system.len() as u32 * 2,
            };
            with_name(head.as_bytes(), 0xC, 0x10, &facts.file_system, room)
        }
        7 => fixed(
            &FILE_FS_FULL_SIZE_INFORMATION {
                TotalAllocationUnits: signed(facts.total / UNIT),
                CallerAvailableAllocationUnits: signed(facts.available / UNIT),
                ActualAvailableAllocationUnits: signed(facts.free / UNIT),
                SectorsPerAllocationUnit: SECTORS_PER_UNIT,
                BytesPerSector: BYTES_PER_SECTOR,
            },
            room,
        ),
        // A volume without an object id answers success with zeros.
        8 => whole(vec![0; 0x40], room),
        11 => fixed(
            &FILE_FS_SECTOR_SIZE_INFORMATION {
                LogicalBytesPerSector: BYTES_PER_SECTOR,
                PhysicalBytesPerSectorForAtomicity: UNIT as u32,
                PhysicalBytesPerSectorForPerformance: UNIT as u32,
                FileSystemEffectivePhysicalBytesPerSectorForAtomicity: UNIT as u32,
                // Aligned device, partition aligned on device.
                Flags: 3,
                ByteOffsetForSectorAlignment: 0,
                ByteOffsetForPartitionAlignment: 0,
            },
            room,
        ),
        _ => Err(STATUS_INVALID_INFO_CLASS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_with_a_warning_and_short_buffers_refused() {
        let name: Vec<u16> = "\\abc".encode_utf16().collect();
        let all = name_information(&name, 12).unwrap();
        assert_eq!((all.bytes.len(), all.status), (12, STATUS_SUCCESS));
        let cut = name_information(&name, 9).unwrap();
        assert_eq!((cut.bytes.len(), cut.status), (8, STATUS_BUFFER_OVERFLOW));
        assert_eq!(cut.bytes[..4], 8u32.to_le_bytes());
        assert_eq!(name_information(&name, 7).unwrap_err(), STATUS_INFO_LENGTH_MISMATCH);
    }

    #[test]
    fn sizes_are_in_clusters() {
        let facts = VolumeFacts { total: 40960, available: 8191, ..VolumeFacts::default() };
        let packed = volume_information(&facts, 7, 0, 3, 0x18).unwrap();
        assert_eq!(packed.bytes[..8], 10i64.to_le_bytes());
        assert_eq!(packed.bytes[8..16], 1i64.to_le_bytes());
        assert!(volume_information(&facts, 7, 0, 3, 0x17).is_err());
    }
}
