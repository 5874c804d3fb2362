//! Whether a file is a program a machine can start, and if not, exactly why.
//!
//! [`inspect`] looks at a file before a machine boots, so that "this is a Linux program" or "the file ends in the
//! middle of .text" is said at once and in words. The image loader of the executive checks again for itself: this is
//! for people, not for safety. Source: the PE format as Microsoft documents it (PE Format, "Microsoft Portable
//! Executable and Common Object File Format Specification").

use std::fs;
use std::io;
use std::path::Path;

/// A program a machine can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An x64 console program.
    Console,
    /// An x64 program of the graphical subsystem.
    Windows,
}

/// Why a file cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// The host refused to read it.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is a folder.
    #[error("it is a folder")]
    Folder,
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is a program, but not a PE image.
    #[error("it is {0}, not a Windows program")]
    Foreign(&'static str),
    /// Its first bytes belong to no known kind of program.
    #[error("it is not a Windows program: it does not begin with MZ")]
    NotAnImage,
    /// It ends before something its headers announce.
    #[error("it is cut short: {what} needs {needed} bytes, the file has {size}")]
    Truncated {
        /// What does not fit.
        what: String,
        /// Where that would end.
        needed: u64,
        /// Where the file ends.
        size: u64,
    },
    /// Its headers contradict themselves.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is for another processor.
    #[error("it is for {name} (machine {machine:#06x}); nten runs x64 programs")]
    WrongMachine {
        /// The number in the header.
        machine: u16,
        /// The processor's name.
        name: &'static str,
    },
    /// It is a 32-bit x86 program.
    #[error("it is a 32-bit program (machine 0x014c); nten does not run 32-bit programs yet")]
    ThirtyTwoBit,
    /// It is a DLL.
    #[error("it is a DLL, not a program")]
    Dll,
    /// Its subsystem is none that `run` starts.
    #[error("it is {name} (subsystem {subsystem}), not a console program")]
    WrongSubsystem {
        /// The number in the header.
        subsystem: u16,
        /// What that is.
        name: &'static str,
    },
}

impl ImageError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Truncated { .. } => Some("download or copy the file again"),
            Self::Foreign("a batch file") => Some("run it with `nten run cmd.exe /c FILE`"),
            Self::WrongMachine { .. } | Self::ThirtyTwoBit => {
                Some("get the x64 build of the program")
            }
            _ => None,
        }
    }
}

/// Says whether a file is a program a machine can start.
pub fn inspect(path: &Path) -> Result<ImageKind, ImageError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ImageError::NotFound,
        _ => ImageError::Unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(ImageError::Folder);
    }
    let data = fs::read(path).map_err(ImageError::Unreadable)?;
    let kind = inspect_bytes(&data);
    // Batch files are known by their name only.
    if let Err(ImageError::NotAnImage) = kind
        && path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("bat") || extension.eq_ignore_ascii_case("cmd")
        })
    {
        return Err(ImageError::Foreign("a batch file"));
    }
    kind
}

const MACHINE_I386: u16 = 0x014c;
const MACHINE_AMD64: u16 = 0x8664;
const FILE_EXECUTABLE_IMAGE: u16 = 0x0002;
const FILE_DLL: u16 = 0x2000;
const MAGIC_PE32: u16 = 0x010b;
const MAGIC_PE32_PLUS: u16 = 0x020b;
const SUBSYSTEM_WINDOWS: u16 = 2;
const SUBSYSTEM_CONSOLE: u16 = 3;

/// The fixed part of the 64-bit optional header, up to the data directories.
const OPTIONAL_HEADER_SIZE: u64 = 112;
const SECTION_HEADER_SIZE: u64 = 40;

/// Says whether the bytes of a file are a program a machine can start.
pub fn inspect_bytes(data: &[u8]) -> Result<ImageKind, ImageError> {
    let file = Bytes(data);
    if data.is_empty() {
        return Err(ImageError::Empty);
    }
    if !data.starts_with(b"MZ") {
        return Err(foreign(data));
    }
    let pe = u64::from(file.u32(0x3c, "the MZ header")?);
    if pe < 4 {
        return Err(ImageError::Foreign("a DOS program"));
    }
    match file.at(pe, 4) {
        Some(b"PE\0\0") => {}
        Some([b'N', b'E', ..]) => {
            return Err(ImageError::Foreign("a 16-bit Windows or OS/2 program"));
        }
        Some([b'L', b'E' | b'X', ..]) => return Err(ImageError::Foreign("an OS/2 or VxD program")),
        Some(_) => return Err(ImageError::Foreign("a DOS program")),
        // A DOS program has anything in that field; a PE header that starts inside the stub's usual size was one.
        None if looks_like_pe(data) => {
            return Err(file.truncated("the PE header", pe.saturating_add(4)));
        }
        None => return Err(ImageError::Foreign("a DOS program")),
    }

    let coff = pe.saturating_add(4);
    let machine = file.u16(coff, "the file header")?;
    let section_count = file.u16(coff + 2, "the file header")?;
    let optional_size = u64::from(file.u16(coff + 16, "the file header")?);
    let characteristics = file.u16(coff + 18, "the file header")?;
    let optional = coff + 20;
    match machine {
        MACHINE_AMD64 => {}
        MACHINE_I386 => return Err(ImageError::ThirtyTwoBit),
        _ => return Err(ImageError::WrongMachine { machine, name: machine_name(machine) }),
    }
    match file.u16(optional, "the optional header")? {
        MAGIC_PE32_PLUS => {}
        MAGIC_PE32 => {
            return Err(ImageError::Damaged(
                "an x64 image with a 32-bit optional header".to_owned(),
            ));
        }
        magic => {
            return Err(ImageError::Damaged(format!("the optional header has type {magic:#06x}")));
        }
    }
    if optional_size < OPTIONAL_HEADER_SIZE {
        return Err(ImageError::Damaged(format!(
            "the optional header has {optional_size} bytes, at least {OPTIONAL_HEADER_SIZE} are needed"
        )));
    }
    if characteristics & FILE_EXECUTABLE_IMAGE == 0 {
        return Err(ImageError::Damaged("the linker marked it as not executable".to_owned()));
    }
    if characteristics & FILE_DLL != 0 {
        return Err(ImageError::Dll);
    }
    let subsystem = file.u16(optional + 68, "the optional header")?;
    let kind = match subsystem {
        SUBSYSTEM_CONSOLE => ImageKind::Console,
        SUBSYSTEM_WINDOWS => ImageKind::Windows,
        _ => {
            return Err(ImageError::WrongSubsystem { subsystem, name: subsystem_name(subsystem) });
        }
    };
    check_layout(&file, optional, optional + optional_size, section_count)?;
    Ok(kind)
}

/// Checks that headers and sections lie in the file and the image as they say.
fn check_layout(
    file: &Bytes<'_>,
    optional: u64,
    sections: u64,
    section_count: u16,
) -> Result<(), ImageError> {
    let field = |offset| file.u32(optional + offset, "the optional header").map(u64::from);
    let (entry, section_alignment, file_alignment) = (field(16)?, field(32)?, field(36)?);
    let (image_size, header_size) = (field(56)?, field(60)?);
    if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
        return Err(ImageError::Damaged(format!(
            "alignments of {section_alignment:#x} and {file_alignment:#x} are not powers of two"
        )));
    }
    if image_size == 0 || header_size > image_size {
        return Err(ImageError::Damaged(format!(
            "an image of {image_size:#x} bytes with headers of {header_size:#x}"
        )));
    }
    if entry >= image_size {
        return Err(ImageError::Damaged(format!(
            "the entry point {entry:#x} lies outside the image of {image_size:#x} bytes"
        )));
    }
    if section_count == 0 {
        return Err(ImageError::Damaged("it has no sections".to_owned()));
    }
    for index in 0..u64::from(section_count) {
        let header = sections + index * SECTION_HEADER_SIZE;
        let Some(name) = file.at(header, SECTION_HEADER_SIZE).and_then(|bytes| bytes.get(..8))
        else {
            return Err(file.truncated("the section table", header + SECTION_HEADER_SIZE));
        };
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').escape_debug().to_string();
        let field = |offset| file.u32(header + offset, "the section table").map(u64::from);
        let (virtual_size, address, raw_size, raw) =
            (field(8)?, field(12)?, field(16)?, field(20)?);
        // Data beyond the virtual size is not loaded and may be missing.
        let loaded = if virtual_size == 0 { raw_size } else { raw_size.min(virtual_size) };
        if raw != 0 && loaded != 0 && raw + loaded > file.size() {
            return Err(file.truncated(&format!("section {name}"), raw + loaded));
        }
        if address + virtual_size > image_size.next_multiple_of(section_alignment) {
            return Err(ImageError::Damaged(format!("section {name} lies outside the image")));
        }
    }
    Ok(())
}

/// Whether a file that lacks its PE header was meant to be one: it has a linker's usual DOS stub.
fn looks_like_pe(data: &[u8]) -> bool {
    let head = data.get(..data.len().min(0x100)).unwrap_or_default();
    data.len() < 0x40 || head.windows(15).any(|text| text == b"This program ca")
}

/// Names the kind of a file that has no MZ header.
fn foreign(data: &[u8]) -> ImageError {
    const KINDS: &[(&[u8], &str)] = &[
        (b"\x7fELF", "a Linux program (ELF)"),
        (b"#!", "a script"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\xfe\xed\xfa", "a macOS program (Mach-O)"),
        (b"\xcf\xfa\xed\xfe", "a macOS program (Mach-O)"),
        (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
        (b"\0asm", "a WebAssembly module"),
        (b"!<arch>", "a library of object files"),
        (b"\x64\x86", "an x64 object file"),
        (b"\xd0\xcf\x11\xe0", "an installer package (MSI)"),
        (b"M", "cut short or no program"),
    ];
    match KINDS.iter().find(|(start, _)| data.starts_with(start)) {
        Some((b"M", _)) if data.len() == 1 => Bytes(data).truncated("the MZ header", 0x40),
        Some((b"M", _)) | None => ImageError::NotAnImage,
        Some((_, name)) => ImageError::Foreign(name),
    }
}

fn machine_name(machine: u16) -> &'static str {
    match machine {
        0x01c0 | 0x01c2 | 0x01c4 => "32-bit ARM",
        0xaa64 => "ARM64",
        0xa641 => "ARM64EC",
        0x0200 => "Itanium",
        0x0166 | 0x0169 | 0x0266 | 0x0366 | 0x0466 => "MIPS",
        0x0184 | 0x0284 => "Alpha",
        0x01f0..=0x01f2 => "PowerPC",
        0x5032 => "32-bit RISC-V",
        0x5064 => "64-bit RISC-V",
        0x6264 => "64-bit LoongArch",
        0x0ebc => "EFI byte code",
        0 => "no particular processor",
        _ => "an unknown processor",
    }
}

fn subsystem_name(subsystem: u16) -> &'static str {
    match subsystem {
        0 => "an image of unknown subsystem",
        1 => "a native image, a driver or a system process",
        5 => "an OS/2 program",
        7 => "a POSIX program",
        8 => "a Windows 9x driver",
        9 => "a Windows CE program",
        10..=13 => "an EFI image",
        14 => "an Xbox image",
        16 => "a boot application",
        _ => "an image of a subsystem nobody defined",
    }
}

/// The bytes of a file, read with bounds.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn at(&self, offset: u64, size: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = usize::try_from(offset.checked_add(size)?).ok()?;
        self.0.get(start..end)
    }

    fn u16(&self, offset: u64, what: &str) -> Result<u16, ImageError> {
        match self.at(offset, 2) {
            Some(&[a, b]) => Ok(u16::from_le_bytes([a, b])),
            _ => Err(self.truncated(what, offset.saturating_add(2))),
        }
    }

    fn u32(&self, offset: u64, what: &str) -> Result<u32, ImageError> {
        match self.at(offset, 4) {
            Some(&[a, b, c, d]) => Ok(u32::from_le_bytes([a, b, c, d])),
            _ => Err(self.truncated(what, offset.saturating_add(4))),
        }
    }

    fn truncated(&self, what: &str, needed: u64) -> ImageError {
        ImageError::Truncated { what: what.to_owned(), needed, size: self.size() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small x64 console program, built field by field: one section with one `ret`.
    fn program() -> Vec<u8> {
        let mut image = vec![0; 0x400];
        let mut put = |offset: usize, bytes: &[u8]| {
            image[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0, b"MZ");
        put(0x3c, &0x80u32.to_le_bytes());
        put(0x4e, b"This program cannot be run in DOS mode.");
        put(0x80, b"PE\0\0");
        put(0x84, &MACHINE_AMD64.to_le_bytes());
        put(0x86, &1u16.to_le_bytes());
        put(0x94, &240u16.to_le_bytes());
        put(0x96, &0x22u16.to_le_bytes());
        put(0x98, &MAGIC_PE32_PLUS.to_le_bytes());
        put(0x98 + 16, &0x1000u32.to_le_bytes());
        put(0x98 + 24, &0x1_4000_0000u64.to_le_bytes());
        put(0x98 + 32, &0x1000u32.to_le_bytes());
        put(0x98 + 36, &0x200u32.to_le_bytes());
        put(0x98 + 56, &0x2000u32.to_le_bytes());
        put(0x98 + 60, &0x200u32.to_le_bytes());
        put(0x98 + 68, &SUBSYSTEM_CONSOLE.to_le_bytes());
        put(0x98 + 108, &16u32.to_le_bytes());
        let section = 0x98 + 240;
        put(section, b".text");
        put(section + 8, &1u32.to_le_bytes());
        put(section + 12, &0x1000u32.to_le_bytes());
        put(section + 16, &0x200u32.to_le_bytes());
        put(section + 20, &0x200u32.to_le_bytes());
        put(0x200, &[0xc3]);
        image
    }

    fn with(offset: usize, bytes: &[u8]) -> Result<ImageKind, ImageError> {
        let mut image = program();
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
        inspect_bytes(&image)
    }

    fn reason(result: Result<ImageKind, ImageError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn accepts_programs() {
        assert_eq!(inspect_bytes(&program()).unwrap(), ImageKind::Console);
        assert_eq!(with(0x98 + 68, &[2]).unwrap(), ImageKind::Windows);
    }

    #[test]
    fn names_what_is_no_pe_image() {
        assert_eq!(reason(inspect_bytes(b"")), "it is empty");
        let elf = reason(inspect_bytes(b"\x7fELF\x02\x01\x01"));
        assert_eq!(elf, "it is a Linux program (ELF), not a Windows program");
        assert_eq!(reason(inspect_bytes(b"#!/bin/sh\n")), "it is a script, not a Windows program");
        assert!(reason(inspect_bytes(b"hello")).contains("does not begin with MZ"));
        assert!(reason(with(0x80, b"NE")).contains("16-bit Windows"));
        let mut dos = vec![0x90; 0x200];
        dos[..2].copy_from_slice(b"MZ");
        assert!(reason(inspect_bytes(&dos)).contains("a DOS program"));
    }

    #[test]
    fn names_machine_type_and_subsystem() {
        assert!(reason(with(0x84, &0xaa64u16.to_le_bytes())).contains("ARM64"));
        assert!(reason(with(0x84, &MACHINE_I386.to_le_bytes())).contains("32-bit program"));
        assert_eq!(reason(with(0x96, &0x2022u16.to_le_bytes())), "it is a DLL, not a program");
        assert!(reason(with(0x98 + 68, &[1])).contains("a native image"));
        assert!(reason(with(0x98 + 68, &[10])).contains("an EFI image"));
    }

    #[test]
    fn names_what_was_cut_off() {
        let image = program();
        let cut = |size: usize| reason(inspect_bytes(&image[..size]));
        assert!(cut(1).contains("the MZ header"));
        assert!(cut(0x3d).contains("the MZ header"));
        assert!(cut(0x81).contains("the PE header"));
        assert!(cut(0x90).contains("the file header"));
        assert!(cut(0xa0).contains("the optional header"));
        assert!(cut(0x98 + 240 + 8).contains("the section table"));
        assert_eq!(cut(0x200), "it is cut short: section .text needs 513 bytes, the file has 512");
    }

    #[test]
    fn says_how_headers_contradict_themselves() {
        assert!(reason(with(0x98, &MAGIC_PE32.to_le_bytes())).contains("32-bit optional header"));
        assert!(reason(with(0x98 + 16, &[0, 0, 1])).contains("entry point 0x10000"));
        assert!(reason(with(0x86, &[0])).contains("no sections"));
        assert!(reason(with(0x98 + 32, &[3])).contains("powers of two"));
        assert!(reason(with(0x98 + 240 + 12, &[0, 0, 1])).contains("outside the image"));
    }

    #[test]
    fn missing_files_and_folders() {
        assert!(matches!(inspect(Path::new("/nowhere/x.exe")), Err(ImageError::NotFound)));
        assert!(matches!(inspect(Path::new("/")), Err(ImageError::Folder)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(data in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = inspect_bytes(&data);
        }

        #[test]
        fn any_change_of_a_program_is_answered(
            changes in prop::collection::vec((0usize..0x200, any::<u8>()), 1..16),
            size in 0usize..=0x400,
        ) {
            let mut image = program();
            for (offset, byte) in changes {
                image[offset] = byte;
            }
            image.truncate(size);
            let _ = inspect_bytes(&image);
        }
    }
}
