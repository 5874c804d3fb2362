//! What is written is read again the same, and no bytes or text make the parsers panic.

use proptest::prelude::*;
use sd::{Ace, AceBody, Acl, Group, SecurityDescriptor, Sid, Subject, control, sddl};

fn any_sid() -> impl Strategy<Value = Sid> {
    (0u8..=20, prop::collection::vec(any::<u32>(), 0..=15))
        .prop_map(|(authority, subs)| Sid::new(authority, &subs))
}

fn any_data() -> impl Strategy<Value = Vec<u8>> {
    // Binary entries are padded to four bytes, so only such data comes back as it was.
    prop::collection::vec(any::<[u8; 4]>(), 0..4).prop_map(|words| words.concat())
}

fn any_ace() -> impl Strategy<Value = Ace> {
    let plain = (prop::sample::select(vec![0u8, 1, 2, 3, 9, 10, 0x11, 0x12]), any_data());
    let plain = (plain, any::<u32>(), any_sid())
        .prop_map(|((kind, data), mask, sid)| (kind, AceBody::Plain { mask, sid, data }));
    let guid = prop::option::of(any::<[u8; 16]>());
    let object = (5u8..=8, any::<u32>(), guid.clone(), guid, any_sid(), any_data()).prop_map(
        |(kind, mask, object_type, inherited_type, sid, data)| {
            (kind, AceBody::Object { mask, object_type, inherited_type, sid, data })
        },
    );
    let other = (0x80u8.., any_data()).prop_map(|(kind, data)| (kind, AceBody::Other(data)));
    (prop_oneof![4 => plain, 1 => object, 1 => other], any::<u8>())
        .prop_map(|((kind, body), flags)| Ace { kind, flags, body })
}

fn any_acl() -> impl Strategy<Value = Acl> {
    prop::collection::vec(any_ace(), 0..6).prop_map(|aces| aces.into_iter().collect())
}

fn any_descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let lists = (prop::option::of(any_acl()), prop::option::of(any_acl()));
    (any::<u16>(), prop::option::of(any_sid()), prop::option::of(any_sid()), lists).prop_map(
        |(bits, owner, group, (sacl, dacl))| {
            let present = |list: &Option<Acl>, bit| if list.is_some() { bit } else { 0 };
            SecurityDescriptor {
                control: bits & !control::SELF_RELATIVE
                    | present(&sacl, control::SACL_PRESENT)
                    | present(&dacl, control::DACL_PRESENT),
                resource_manager: 0,
                owner,
                group,
                sacl,
                dacl,
            }
        },
    )
}

proptest! {
    #[test]
    fn sids_survive_text_and_bytes(sid in any_sid()) {
        prop_assert_eq!(sid.to_string().parse::<Sid>(), Ok(sid));
        prop_assert_eq!(Sid::parse(&sid.to_bytes()), Ok(sid));
    }

    #[test]
    fn descriptors_survive_bytes(sd in any_descriptor()) {
        let bytes = sd.to_bytes();
        prop_assert_eq!(bytes.len(), sd.size());
        prop_assert_eq!(SecurityDescriptor::parse(&bytes), Ok(sd));
    }

    #[test]
    fn text_that_can_be_written_means_the_same(sd in any_descriptor()) {
        if let Some(text) = sddl::format(&sd) {
            let again = sddl::parse(&text).unwrap();
            prop_assert_eq!(sddl::format(&again), Some(text));
            prop_assert_eq!(again.dacl, sd.dacl);
            prop_assert_eq!(again.owner, sd.owner);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Sid::parse(&bytes), Acl::parse(&bytes), SecurityDescriptor::parse(&bytes));
    }

    #[test]
    fn damaged_descriptors_do_not_panic(
        sd in any_descriptor(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sd.to_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(again) = SecurityDescriptor::parse(&bytes) {
            let _ = again.to_bytes();
            let _ = sddl::format(&again);
        }
    }

    #[test]
    fn no_text_panics(text in "[OGDS:()A;FKRWCIP0x9é-]{0,40}") {
        let _ = sddl::parse(&text);
    }

    /// The maximum that is granted is exactly the set of rights that are granted one by one.
    #[test]
    fn the_maximum_is_what_single_requests_get(sd in any_descriptor(), user in any_sid()) {
        let owners: Vec<Group> = sd
            .dacl
            .iter()
            .flat_map(|list| &list.aces)
            .filter_map(|ace| Some(Group { sid: *ace.sid()?, attributes: 4 }))
            .take(2)
            .collect();
        let subject = Subject {
            user: Group { sid: user, attributes: 0 },
            groups: &owners,
            restricted: &[],
            write_restricted: false,
            integrity: 0x3000,
            no_write_up: true,
            security_privilege: false,
            take_ownership_privilege: false,
            relabel_privilege: false,
        };
        let mapping =
            sd::GenericMapping { read: 0x2_0019, write: 0x2_0006, execute: 0x2_0019, all: 0xF_003F };
        let ask = |access| sd::access_check(&sd, &subject, access, &mapping).map(|g| g.access);
        let maximum = ask(0x0200_0000).unwrap_or(0);
        for bit in (0..24).map(|bit| 1u32 << bit).filter(|bit| mapping.all & bit != 0) {
            prop_assert_eq!(maximum & bit != 0, ask(bit).is_ok(), "right {:#x}", bit);
        }
    }
}
