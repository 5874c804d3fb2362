//! What is written is read back the same, and no input makes the reader panic.

use std::sync::Arc;

use proptest::prelude::*;
use regf::{Error, Hive, Key, Value};

fn value() -> impl Strategy<Value = Value> {
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        proptest::collection::vec(any::<u8>(), 0..300),
        (16340usize..16350, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        (32680usize..32700, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    (proptest::collection::vec(any::<u16>(), 0..8), any::<u32>(), data)
        .prop_map(|(name, kind, data)| Value { name, kind, data })
}

/// A name that is unlike its siblings'.
fn name(index: usize, is_wide: bool) -> Vec<u16> {
    let mut name: Vec<u16> = format!("KEY {index:04}").encode_utf16().collect();
    if is_wide {
        name.push(0x4E00);
    }
    name
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = (
        proptest::collection::vec(value(), 0..4),
        proptest::collection::vec(any::<u16>(), 0..5),
        any::<i64>(),
        any::<bool>(),
        (0u8..16, 0u8..16),
        0u8..3,
    )
        .prop_map(|(values, class, last_write, is_link, flags, security)| Key {
            values,
            class,
            last_write,
            is_link,
            user_flags: flags.0,
            control_flags: flags.1,
            security: Arc::from(vec![security; 7 * usize::from(security)]),
            ..Key::default()
        });
    leaf.prop_recursive(4, 40, 6, |inner| {
        (inner.clone(), proptest::collection::vec((inner, any::<bool>()), 0..6)).prop_map(
            |(mut key, subkeys)| {
                key.subkeys = subkeys
                    .into_iter()
                    .enumerate()
                    .map(|(index, (key, is_wide))| Key { name: name(index, is_wide), ..key })
                    .collect();
                key
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn written_hives_read_back_the_same(root in key(), sequence: u32, written: i64) {
        let file_name = r"\SystemRoot\System32\Config\SOFT".to_owned();
        let mut hive = Hive { sequence, written, file_name, ..Hive::new(root) };
        let bytes = hive.to_bytes().unwrap();
        let back = Hive::parse(&bytes).unwrap();
        // 31 units of the name fit.
        hive.file_name = hive.file_name.chars().skip(1).collect();
        prop_assert_eq!(back, hive);
    }

    #[test]
    fn damaged_hives_never_panic(
        root in key(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = Hive::new(root).to_bytes().unwrap();
        for (at, byte) in damage {
            // The base block is behind a checksum; what comes after it is what must be robust.
            let at = 4096 + at.index(bytes.len() - 4096);
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // What is read in spite of the damage can be written, and is the same then.
        if let Ok(hive) = Hive::parse(&bytes) {
            let back = Hive::parse(&hive.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(back.root.subkeys.len(), hive.root.subkeys.len());
            prop_assert_eq!(back.root.values, hive.root.values);
        }
    }

    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(Hive::parse(&bytes).is_err());
    }
}

fn bytes_of(root: Key) -> Vec<u8> {
    Hive::new(root).to_bytes().unwrap()
}

/// The place of a cell's signature in a file.
fn find(bytes: &[u8], signature: &[u8; 2]) -> usize {
    bytes.chunks(4).position(|chunk| chunk.starts_with(signature)).unwrap() * 4
}

#[test]
fn many_subkeys_are_spread_over_lists() {
    let subkeys = (0..2000).map(|index| Key { name: name(index, false), ..Key::default() });
    let root = Key { subkeys: subkeys.collect(), ..Key::new("root") };
    assert_eq!(Hive::parse(&bytes_of(root.clone())).unwrap().root, root);
}

#[test]
fn errors_name_the_cell() {
    let mut root = Key::new("root");
    root.ensure(&["child".encode_utf16().collect()], 0);
    let mut bytes = bytes_of(root);
    let first = find(&bytes, b"nk");
    let second = first + 4 + find(&bytes[first + 4..], b"nk");
    bytes[second] = b'x';
    let cell = (second - 4 - 4096) as u32;
    let what = "does not begin with `nk`".to_owned();
    let expected = Error::Cell { cell, kind: "key", what };
    assert_eq!(Hive::parse(&bytes).unwrap_err(), expected);
    assert_eq!(expected.to_string(), format!("the key cell {cell:#x} does not begin with `nk`"));
}

#[test]
fn a_cycle_is_an_error() {
    let mut root = Key::new("root");
    root.ensure(&["child".encode_utf16().collect()], 0);
    let mut bytes = bytes_of(root);
    let list = find(&bytes, b"lh");
    let root_cell = bytes[36..40].to_vec();
    bytes[list + 4..list + 8].copy_from_slice(&root_cell);
    let error = Hive::parse(&bytes).unwrap_err();
    assert!(matches!(&error, Error::Cell { what, .. } if what == "is used twice"), "{error}");
}

#[test]
fn a_torn_write_is_told() {
    let mut bytes = bytes_of(Key::new("root"));
    bytes[4] = 7;
    assert!(matches!(Hive::parse(&bytes), Err(Error::Base(what)) if what.contains("checksum")));
    let sum = bytes[..508]
        .chunks(4)
        .fold(0, |sum, word| sum ^ u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    bytes[508..512].copy_from_slice(&sum.to_le_bytes());
    assert!(Hive::parse(&bytes).unwrap().torn);
}

#[test]
fn the_depth_is_limited_in_both_ways() {
    let path = |len: usize| vec![vec![u16::from(b'k')]; len];
    let mut root = Key::new("root");
    root.ensure(&path(511), 0);
    let bytes = bytes_of(root.clone());
    assert!(Hive::parse(&bytes).unwrap().root.find(&path(511)).is_some());
    root.ensure(&path(512), 0);
    assert!(matches!(Hive::new(root).to_bytes(), Err(Error::Tree { .. })));
}
