//! Volumes as programs see them: services on a scratch folder.

use abi::io::*;
use abi::ob::{DELETE, GENERIC_READ, GENERIC_WRITE, SYNCHRONIZE};
use abi::status_table::*;
use ntos::host::files::VolumeSpec;
use ntos::svc::Handle;
use ntos::ustr::UnicodeString;

use super::ChangeKind;
use crate::testing::{BUFFER, Machine, ROOM, STATUS, Scratch};
use ntos::testing::DATA;

const SYNC_READ: u32 = GENERIC_READ | SYNCHRONIZE;
const SYNC_WRITE: u32 = GENERIC_WRITE | SYNCHRONIZE;

fn setup() -> (Scratch, Machine) {
    let scratch = Scratch::new();
    let machine = Machine::new(&scratch);
    (scratch, machine)
}

#[test]
fn dispositions_say_what_happened() {
    let (scratch, m) = setup();
    let open = |disposition| {
        let (handle, information) = m.create("a.txt", SYNC_WRITE, 7, disposition, 0)?;
        m.close(handle);
        Ok(information)
    };
    assert_eq!(open(FILE_OPEN), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(open(FILE_OVERWRITE), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(open(FILE_OPEN_IF), Ok(FILE_CREATED));
    assert_eq!(open(FILE_OPEN_IF), Ok(FILE_OPENED));
    assert_eq!(open(FILE_CREATE), Err(STATUS_OBJECT_NAME_COLLISION));
    scratch.file("a.txt", "content");
    assert_eq!(open(FILE_OPEN), Ok(FILE_OPENED));
    assert_eq!(scratch.content("a.txt"), "content");
    assert_eq!(open(FILE_OVERWRITE_IF), Ok(FILE_OVERWRITTEN));
    assert_eq!(scratch.content("a.txt"), "");
    assert_eq!(open(FILE_SUPERSEDE), Ok(FILE_SUPERSEDED));
    let missing = m.create("none\\a.txt", SYNC_READ, 7, FILE_OPEN, 0);
    assert_eq!(missing, Err(STATUS_OBJECT_PATH_NOT_FOUND));
    let below_file = m.create("a.txt\\b", SYNC_READ, 7, FILE_OPEN, 0);
    assert_eq!(below_file, Err(STATUS_OBJECT_PATH_NOT_FOUND));
}

#[test]
fn names_ignore_case_and_keep_their_spelling() {
    let (scratch, m) = setup();
    scratch.file("Program Files/Straße.TXT", "x");
    let handle = m.open("PROGRAM files\\sTRAßE.txt").unwrap();
    let name = m.query(handle, 9, ROOM).unwrap();
    let expected: Vec<u8> =
        "\\Program Files\\Straße.TXT".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(name[4..], expected);
    assert_eq!(m.read(handle, None, 10).unwrap(), b"x");
    // A name made by the host is seen at once, in any case.
    assert!(m.open("new.txt").is_err());
    scratch.file("NEW.txt", "");
    m.open("new.TXT").unwrap();
    std::fs::remove_file(scratch.0.join("NEW.txt")).unwrap();
    assert_eq!(m.open("nEw.TXT"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn illegal_names_and_kinds_are_refused() {
    let (scratch, m) = setup();
    scratch.file("f", "");
    let open = |name: &str, options| m.create(name, SYNC_READ, 7, FILE_OPEN, options).map(|_| ());
    for name in ["a*", "a/b", "f\\", ".", "..\\x", "a\\\\b", "f:stream", "q?"] {
        assert_eq!(open(name, 0), Err(STATUS_OBJECT_NAME_INVALID), "{name}");
    }
    open("f::$DATA", 0).unwrap();
    assert_eq!(open("f", FILE_DIRECTORY_FILE), Err(STATUS_NOT_A_DIRECTORY));
    assert_eq!(open("", FILE_NON_DIRECTORY_FILE), Err(STATUS_FILE_IS_A_DIRECTORY));
    open("", FILE_DIRECTORY_FILE).unwrap();
}

#[test]
fn links_that_leave_the_volume_are_refused() {
    let (scratch, m) = setup();
    scratch.file("inside/f", "in");
    std::os::unix::fs::symlink("inside/f", scratch.0.join("good")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scratch.0.join("bad")).unwrap();
    assert_eq!(m.read(m.open("good").unwrap(), None, 9).unwrap(), b"in");
    assert_eq!(m.open("bad"), Err(STATUS_ACCESS_DENIED));
    let root = m.directory("").unwrap();
    assert_eq!(m.list(root, "", false).unwrap(), ["bad", "good", "inside"]);
}

#[test]
fn links_are_reparse_points_to_those_who_ask() {
    let (scratch, m) = setup();
    scratch.file("inside/f", "in");
    std::os::unix::fs::symlink("inside", scratch.0.join("dir")).unwrap();
    std::os::unix::fs::symlink("inside/f", scratch.0.join("file")).unwrap();
    let access = DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE;
    let open = |name| m.create(name, access, 7, FILE_OPEN, FILE_OPEN_REPARSE_POINT).unwrap().0;
    let attributes = |handle| {
        let bytes = m.query(handle, 35, 8).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (word(0), word(4))
    };
    let (dir, file) = (open("dir"), open("FILE"));
    let reparse = FILE_ATTRIBUTE_REPARSE_POINT;
    assert_eq!(attributes(dir), (reparse | FILE_ATTRIBUTE_DIRECTORY, IO_REPARSE_TAG_SYMLINK));
    assert_eq!(attributes(file), (reparse | FILE_ATTRIBUTE_ARCHIVE, IO_REPARSE_TAG_SYMLINK));
    let code = u64::from(FSCTL_GET_REPARSE_POINT);
    let control = [file.0, 0, 0, 0, DATA + STATUS, code, 0, 0, DATA + BUFFER, 0x100];
    m.call("NtFsControlFile", &control).unwrap();
    let target: Vec<u8> = "inside\\f".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(m.bytes(20 + target.len())[20..], target);
    // Opened as what it leads to, the same name is the target.
    let followed = m.open("file").unwrap();
    assert_eq!(attributes(followed), (FILE_ATTRIBUTE_ARCHIVE, 0));
    assert_eq!(m.read(followed, None, 9).unwrap(), b"in");
    m.close(followed);
    // The link goes, not what is behind it, though that is not empty.
    m.set(dir, 13, &[1]).unwrap();
    m.close(dir);
    assert!(!scratch.0.join("dir").exists());
    assert_eq!(scratch.content("inside/f"), "in");
    m.set(file, 10, &m.rename_request("moved", 0)).unwrap();
    assert!(scratch.0.join("moved").is_symlink());
}

#[test]
fn positions_offsets_and_the_end() {
    let (scratch, m) = setup();
    m.make("f", b"0123456789").unwrap();
    let handle = m.open("f").unwrap();
    assert_eq!(m.read(handle, None, 4).unwrap(), b"0123");
    assert_eq!(m.read(handle, None, 4).unwrap(), b"4567");
    assert_eq!(m.read(handle, Some(2), 3).unwrap(), b"234");
    assert_eq!(m.read(handle, Some(FILE_USE_FILE_POINTER_POSITION), 1).unwrap(), b"5");
    assert_eq!(m.read(handle, Some(8), 100).unwrap(), b"89");
    assert_eq!(m.read(handle, None, 1), Err(STATUS_END_OF_FILE));
    assert_eq!(m.read(handle, None, 0).unwrap(), b"");
    m.set(handle, 14, &3u64.to_le_bytes()).unwrap();
    assert_eq!(m.query(handle, 14, 8).unwrap(), 3u64.to_le_bytes());
    m.write(handle, None, b"xy").unwrap();
    m.write(handle, Some(FILE_WRITE_TO_END_OF_FILE), b"end").unwrap();
    assert_eq!(m.query(handle, 14, 8).unwrap(), 13u64.to_le_bytes());
    assert_eq!(scratch.content("f"), "012xy56789end");
    m.set(handle, 20, &5u64.to_le_bytes()).unwrap();
    assert_eq!(scratch.content("f"), "012xy");
    let append = FILE_APPEND_DATA | SYNCHRONIZE;
    let (handle, _) = m.create("f", append, 7, FILE_OPEN, 0).unwrap();
    m.write(handle, Some(0), b"!").unwrap();
    assert_eq!(scratch.content("f"), "012xy!");
}

#[test]
fn share_modes_hold_between_opens() {
    let (_scratch, m) = setup();
    m.make("f", b"").unwrap();
    let open = |access, share| m.create("f", access, share, FILE_OPEN, 0).map(|(handle, _)| handle);
    let reader = open(SYNC_READ, FILE_SHARE_READ).unwrap();
    assert_eq!(open(SYNC_WRITE, 7), Err(STATUS_SHARING_VIOLATION));
    assert_eq!(open(DELETE, 7), Err(STATUS_SHARING_VIOLATION));
    open(FILE_READ_ATTRIBUTES, 0).unwrap();
    m.close(reader);
    let writer = open(SYNC_WRITE, 0).unwrap();
    assert_eq!(open(SYNC_READ, 7), Err(STATUS_SHARING_VIOLATION));
    m.close(writer);
    open(SYNC_READ, 7).unwrap();
}

#[test]
fn deletion_waits_for_the_last_handle() {
    let (scratch, m) = setup();
    m.make("f", b"x").unwrap();
    let first = m.open("f").unwrap();
    let second = m.open("F").unwrap();
    m.set(first, 13, &[1]).unwrap();
    assert_eq!(m.query(second, 5, 24).unwrap()[0x14], 1);
    m.close(first);
    assert_eq!(m.open("f"), Err(STATUS_DELETE_PENDING));
    assert!(scratch.0.join("f").exists());
    assert_eq!(m.read(second, None, 1).unwrap(), b"x");
    m.close(second);
    assert!(!scratch.0.join("f").exists());
    assert_eq!(m.open("f"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn posix_deletion_frees_the_name_at_once() {
    let (_scratch, m) = setup();
    m.make("f", b"old").unwrap();
    let first = m.open("f").unwrap();
    let second = m.open("f").unwrap();
    let flags = FILE_DISPOSITION_DELETE | FILE_DISPOSITION_POSIX_SEMANTICS;
    m.read(second, Some(0), 1).unwrap();
    m.set(first, 64, &flags.to_le_bytes()).unwrap();
    m.close(first);
    m.make("f", b"new").unwrap();
    assert_eq!(m.read(second, Some(0), 9).unwrap(), b"old");
    m.close(second);
    assert_eq!(m.read(m.open("f").unwrap(), None, 9).unwrap(), b"new");
}

#[test]
fn delete_on_close_and_what_cannot_be_deleted() {
    let (scratch, m) = setup();
    let access = DELETE | SYNCHRONIZE;
    let (handle, _) = m.create("t", access, 7, FILE_CREATE, FILE_DELETE_ON_CLOSE).unwrap();
    m.close(handle);
    assert!(!scratch.0.join("t").exists());
    scratch.file("d/f", "");
    let (directory, _) = m.create("d", access, 7, FILE_OPEN, FILE_DIRECTORY_FILE).unwrap();
    assert_eq!(m.set(directory, 13, &[1]), Err(STATUS_DIRECTORY_NOT_EMPTY));
    m.make("r", b"").unwrap();
    let handle = m.open("r").unwrap();
    let mut basic = [0u8; 40];
    basic[32] = FILE_ATTRIBUTE_READONLY as u8;
    m.set(handle, 4, &basic).unwrap();
    assert_eq!(m.set(handle, 13, &[1]), Err(STATUS_CANNOT_DELETE));
    m.close(handle);
    assert_eq!(m.open("r"), Err(STATUS_ACCESS_DENIED));
    let refused = m.create("r", access, 7, FILE_OPEN, FILE_DELETE_ON_CLOSE);
    assert_eq!(refused, Err(STATUS_CANNOT_DELETE));
}

#[test]
fn renaming_follows_ntfs() {
    let (scratch, m) = setup();
    for name in ["a", "b"] {
        m.make(name, name.as_bytes()).unwrap();
    }
    scratch.file("d/x", "");
    let a = m.open("a").unwrap();
    let rename = |handle, target: &str, flags| m.set(handle, 65, &m.rename_request(target, flags));
    assert_eq!(rename(a, "b", 0), Err(STATUS_OBJECT_NAME_COLLISION));
    let b = m.open("b").unwrap();
    assert_eq!(rename(a, "b", 1), Err(STATUS_ACCESS_DENIED));
    m.close(b);
    rename(a, "b", 1).unwrap();
    assert_eq!(scratch.content("b"), "a");
    rename(a, "B", 0).unwrap();
    assert_eq!(scratch.content("B"), "a");
    assert_eq!(rename(a, "none\\b", 0), Err(STATUS_OBJECT_NAME_INVALID));
    assert_eq!(rename(a, "\\??\\C:\\none\\b", 0), Err(STATUS_OBJECT_PATH_NOT_FOUND));
    rename(a, "\\??\\C:\\D\\moved", 0).unwrap();
    assert_eq!(scratch.content("d/moved"), "a");
    assert_eq!(m.read(a, Some(0), 9).unwrap(), b"a");
    let access = DELETE | SYNCHRONIZE;
    let (d, _) = m.create("d", access, 7, FILE_OPEN, FILE_DIRECTORY_FILE).unwrap();
    assert_eq!(rename(d, "e", 0), Err(STATUS_ACCESS_DENIED));
    m.close(a);
    assert_eq!(rename(d, "\\??\\C:\\d\\e", 0), Err(STATUS_INVALID_PARAMETER));
    rename(d, "e", 0).unwrap();
    assert_eq!(scratch.content("e/moved"), "a");
    m.open("e\\moved").unwrap();
    assert_eq!(m.open("d\\moved"), Err(STATUS_OBJECT_PATH_NOT_FOUND));
}

#[test]
fn hard_links_share_content() {
    let (scratch, m) = setup();
    m.make("a", b"1").unwrap();
    let a = m.open("a").unwrap();
    m.set(a, 11, &m.rename_request("b", 0)).unwrap();
    m.write(a, Some(0), b"2").unwrap();
    assert_eq!(scratch.content("b"), "2");
    assert_eq!(m.query(a, 5, 24).unwrap()[16], 2);
    let taken = m.set(a, 11, &m.rename_request("b", 0));
    assert_eq!(taken, Err(STATUS_OBJECT_NAME_COLLISION));
}

#[test]
fn times_and_attributes_are_kept() {
    let (_scratch, m) = setup();
    m.make("f", b"12345").unwrap();
    let f = m.open("f").unwrap();
    let mut basic = Vec::new();
    for time in [130_000_000_000_000_000i64, 0, 131_000_000_000_000_000, 0] {
        basic.extend(time.to_le_bytes());
    }
    basic.extend((FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_ARCHIVE).to_le_bytes());
    basic.extend([0; 4]);
    m.set(f, 4, &basic).unwrap();
    m.close(f);
    let f = m.open("f").unwrap();
    let stored = m.query(f, 4, 40).unwrap();
    assert_eq!(stored[16..24], basic[16..24]);
    // The host may have no extended attributes; then what they hold is refused, not lost.
    assert_eq!(stored[..8], basic[..8]);
    assert_eq!(stored[32..36], basic[32..36]);
    let standard = m.query(f, 5, 24).unwrap();
    assert_eq!(standard[8..16], 5u64.to_le_bytes());
    assert_eq!(standard[..8], 4096u64.to_le_bytes());
    assert_eq!(m.query(f, 4, 39), Err(STATUS_INFO_LENGTH_MISMATCH));
    assert_eq!(m.query(f, 200, 40), Err(STATUS_INVALID_INFO_CLASS));
    let attributes = m.attributes(Handle(0), "\\??\\C:\\F");
    m.call("NtQueryFullAttributesFile", &[attributes, DATA + BUFFER]).unwrap();
    assert_eq!(m.bytes(0x38)[0x28..0x30], 5u64.to_le_bytes());
}

#[test]
fn directories_are_listed_in_order() {
    let (scratch, m) = setup();
    for name in ["d/b.TXT", "d/A.txt", "d/c", "d/sub/x", "d/a:b"] {
        scratch.file(name, "");
    }
    let d = m.directory("D").unwrap();
    let all = m.list(d, "", false).unwrap();
    assert_eq!(all, [".", "..", "A.txt", "a\u{F03A}b", "b.TXT", "c", "sub"]);
    assert_eq!(m.list(d, "", false), Err(STATUS_NO_MORE_FILES));
    assert_eq!(m.list(d, "", true).unwrap().len(), 7);
    assert_eq!(m.list(d, "*.txt", true).unwrap(), ["A.txt", "b.TXT"]);
    // Without a restart the first pattern stays.
    assert_eq!(m.list(d, "c", false), Err(STATUS_NO_MORE_FILES));
    assert_eq!(m.list(d, "none", true), Err(STATUS_NO_SUCH_FILE));
    assert_eq!(m.list(d, "C", true).unwrap(), ["c"]);
    let root = m.directory("").unwrap();
    assert_eq!(m.list(root, "", false).unwrap(), ["d"]);
    let f = m.open("d\\c").unwrap();
    assert_eq!(m.list(f, "", false), Err(STATUS_INVALID_PARAMETER));
}

#[test]
fn files_are_opened_relative_to_a_directory() {
    let (scratch, m) = setup();
    scratch.file("d/e/f", "deep");
    let d = m.directory("d").unwrap();
    let (f, _) = m.create_at(d, "E\\f", SYNC_READ, 7, FILE_OPEN, 0).unwrap();
    assert_eq!(m.read(f, None, 9).unwrap(), b"deep");
    let (same, _) = m.create_at(d, "", SYNC_READ, 7, FILE_OPEN, 0).unwrap();
    assert_eq!(m.list(same, "", false).unwrap(), [".", "..", "e"]);
}

#[test]
fn byte_ranges_are_locked() {
    let (_scratch, m) = setup();
    m.make("f", b"0123456789").unwrap();
    let (a, b) = (m.open("f").unwrap(), m.open("f").unwrap());
    let range = |offset: u64, length: u64| {
        m.machine.put(0x380, &offset);
        m.machine.put(0x388, &length);
        [DATA + 0x380, DATA + 0x388]
    };
    let lock = |handle: Handle, offset, length, now: u64| {
        let [offset, length] = range(offset, length);
        let arguments = [handle.0, 0, 0, 0, DATA + STATUS, offset, length, 0, now, 1];
        m.start(&m.machine.thread, "NtLockFile", &arguments)
    };
    assert_eq!(lock(a, 2, 3, 1).status, Some(STATUS_SUCCESS));
    assert_eq!(lock(b, 4, 1, 1).status, Some(STATUS_LOCK_NOT_GRANTED));
    assert_eq!(m.read(b, Some(0), 3), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(m.write(b, Some(2), b"x"), Err(STATUS_FILE_LOCK_CONFLICT));
    assert_eq!(m.read(a, Some(0), 3).unwrap(), b"012");
    let mut waiting = lock(b, 4, 1, 0);
    assert_eq!(waiting.status, None);
    let [offset, length] = range(2, 3);
    m.call("NtUnlockFile", &[a.0, DATA + STATUS, offset, length, 0]).unwrap();
    assert_eq!(waiting.step(), Some(STATUS_SUCCESS));
    assert_eq!(m.read(a, Some(4), 1), Err(STATUS_FILE_LOCK_CONFLICT));
    m.close(b);
    assert_eq!(m.read(a, Some(4), 1).unwrap(), b"4");
}

#[test]
fn a_read_only_volume_is_not_written() {
    let scratch = Scratch::new();
    scratch.file("f", "x");
    let m = Machine::with(&VolumeSpec::folder('C', scratch.folder(), false));
    let open = |name: &str, access, disposition| m.create(name, access, 7, disposition, 0);
    open("f", SYNC_READ, FILE_OPEN).unwrap();
    let refused = Err(STATUS_MEDIA_WRITE_PROTECTED);
    assert_eq!(open("f", SYNC_WRITE, FILE_OPEN), refused);
    assert_eq!(open("f", DELETE, FILE_OPEN), refused);
    assert_eq!(open("g", SYNC_WRITE, FILE_CREATE), refused);
    assert_eq!(open("f", SYNC_WRITE, FILE_OVERWRITE_IF), refused);
    open("f", abi::ob::MAXIMUM_ALLOWED, FILE_OPEN).unwrap();
}

#[test]
fn copy_on_write_leaves_the_folder_alone() {
    let (folder, changes) = (Scratch::new(), Scratch::new());
    folder.file("keep", "1");
    folder.file("Change", "22");
    folder.file("gone", "3");
    folder.file("dir/a", "a");
    folder.file("dir/b", "b");
    let spec = VolumeSpec::copy_on_write('C', folder.folder(), changes.folder());
    let m = Machine::with(&spec);
    let handle = m.open("change").unwrap();
    assert_eq!(m.read(handle, None, 9).unwrap(), b"22");
    m.write(handle, Some(1), b"!").unwrap();
    assert_eq!(m.read(handle, Some(0), 9).unwrap(), b"2!");
    let gone = m.open("GONE").unwrap();
    m.set(gone, 13, &[1]).unwrap();
    m.close(gone);
    m.make("dir\\new", b"n").unwrap();
    let (dir, _) =
        m.create("dir", DELETE | SYNCHRONIZE, 7, FILE_OPEN, FILE_DIRECTORY_FILE).unwrap();
    m.set(dir, 10, &m.rename_request("moved", 0)).unwrap();
    m.close(dir);
    let root = m.directory("").unwrap();
    let list = m.list(root, "", false).unwrap();
    assert_eq!(list, ["Change", "keep", "moved"]);
    assert_eq!(m.list(m.directory("moved").unwrap(), "?", false).unwrap(), [".", "a", "b"]);
    assert_eq!(m.open("gone"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(m.open("dir\\a"), Err(STATUS_OBJECT_PATH_NOT_FOUND));
    let described: Vec<(ChangeKind, String)> = m
        .volume
        .tree
        .changes()
        .unwrap()
        .into_iter()
        .map(|change| (change.kind, change.name.to_string()))
        .collect();
    let expected = [
        (ChangeKind::Modified, "\\Change"),
        (ChangeKind::Deleted, "\\dir"),
        (ChangeKind::Deleted, "\\gone"),
        (ChangeKind::Added, "\\moved"),
        (ChangeKind::Added, "\\moved\\a"),
        (ChangeKind::Added, "\\moved\\b"),
        (ChangeKind::Added, "\\moved\\new"),
    ];
    assert_eq!(described, expected.map(|(kind, name)| (kind, name.to_owned())));
    assert_eq!(folder.content("Change"), "22");
    assert_eq!((folder.content("gone"), folder.content("dir/a")), ("3".into(), "a".into()));
    // What was deleted stays deleted in the next machine.
    let again = Machine::with(&spec);
    assert_eq!(again.open("gone"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    again.make("gone", b"new").unwrap();
    assert_eq!(again.read(again.open("gone").unwrap(), None, 9).unwrap(), b"new");
}

#[test]
fn layers_show_up_in_place() {
    let (own, userland) = (Scratch::new(), Scratch::new());
    own.file("users/me/x", "");
    userland.file("ntdll.dll", "dll");
    let spec = VolumeSpec::folder('C', own.folder(), true)
        .with_lower("\\windows\\system32", userland.folder());
    let m = Machine::with(&spec);
    let dll = m.create("Windows\\System32\\NTDLL.DLL", SYNC_READ, 7, FILE_OPEN, 0).unwrap().0;
    assert_eq!(m.read(dll, None, 9).unwrap(), b"dll");
    let root = m.directory("").unwrap();
    assert_eq!(m.list(root, "", false).unwrap(), ["users", "windows"]);
    let windows = m.directory("windows").unwrap();
    assert_eq!(m.list(windows, "", false).unwrap(), [".", "..", "system32"]);
    m.make("windows\\system32\\drivers.txt", b"own").unwrap();
    assert_eq!(own.content("windows/system32/drivers.txt"), "own");
    let system = m.directory("windows\\system32").unwrap();
    let list = m.list(system, "*.*", false).unwrap();
    assert_eq!(list, [".", "..", "drivers.txt", "ntdll.dll"]);
    let none = m.create("windows\\none", SYNC_READ, 7, FILE_OPEN, 0);
    assert_eq!(none, Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn watchers_hear_of_changes() {
    let (_scratch, m) = setup();
    m.make("a", b"").unwrap();
    let root = m.create("", FILE_LIST_DIRECTORY, 7, FILE_OPEN, FILE_DIRECTORY_FILE).unwrap().0;
    let filter = 0x1F;
    let notify = || {
        let room = 0x100;
        let arguments = [root.0, 0, 0, 0, DATA + STATUS, DATA + BUFFER + 0x800, room, filter, 1];
        m.call("NtNotifyChangeDirectoryFile", &arguments)
    };
    assert_eq!(notify(), Ok(STATUS_PENDING));
    m.make("new", b"").unwrap();
    let record: [u8; 18] = m.machine.get(BUFFER + 0x800);
    assert_eq!(record[4..12], [1, 0, 0, 0, 6, 0, 0, 0]);
    assert_eq!(record[12..], [b'n', 0, b'e', 0, b'w', 0]);
    let a = m.open("a").unwrap();
    m.set(a, 13, &[1]).unwrap();
    m.close(a);
    // What happened between two requests is told by the second one at once.
    assert_eq!(notify(), Ok(STATUS_SUCCESS));
    assert_eq!(notify(), Ok(STATUS_PENDING));
    m.call("NtCancelIoFile", &[root.0, DATA + STATUS]).unwrap();
    assert_eq!(notify(), Ok(STATUS_PENDING));
    m.close(root);
}

#[test]
fn volume_information_is_that_of_a_disk() {
    let (_scratch, m) = setup();
    m.make("f", b"").unwrap();
    let file = m.open("f").unwrap();
    let query = |class: u64, room: u64| {
        let arguments = [file.0, DATA + STATUS, DATA + BUFFER, room, class];
        m.call("NtQueryVolumeInformationFile", &arguments)?;
        Ok(m.bytes(m.information() as usize))
    };
    assert_eq!(query(4, 8).unwrap()[..4], FILE_DEVICE_DISK.to_le_bytes());
    let attribute = query(5, 0x40).unwrap();
    let name = UnicodeString(
        attribute[12..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
    );
    assert_eq!(name.to_string(), "NTFS");
    assert_eq!(query(5, 0x10), Err(STATUS_BUFFER_OVERFLOW));
    assert!(query(3, 0x18).unwrap()[..8] != [0; 8]);
    assert_eq!(query(3, 0x17), Err(STATUS_INFO_LENGTH_MISMATCH));
    assert_eq!(query(99, 0x17), Err(STATUS_INVALID_INFO_CLASS));
}
