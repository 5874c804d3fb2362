//! The descriptor of a new object: what its maker says, what its container passes on, what the token defaults to.
//!
//! Key types: [`Creator`]. Rules: [MS-DTYP] 2.5.3.4 (`CreateSecurityDescriptor`, `ComputeACL`).

use crate::acl::*;
use crate::{Acl, GenericMapping, SecurityDescriptor, Sid, control, well_known};

/// What of the creating token matters for the descriptor of a new object.
#[derive(Clone, Copy, Debug)]
pub struct Creator<'a> {
    /// The token's default owner.
    pub owner: Sid,
    /// The token's primary group.
    pub group: Sid,
    /// The token's default DACL.
    pub default_dacl: Option<&'a Acl>,
    /// The token's integrity level.
    pub integrity: u32,
}

/// Whether the new object can have children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It can: a key, a directory.
    Container,
    /// It cannot.
    Object,
}

const GENERIC: u32 = 0xF000_0000;

/// Makes the descriptor of a new object.
///
/// `explicit` is what the maker asks for, `parent` the container's descriptor. Entries that come from the parent are
/// marked as inherited when `auto_inherit` says so, which keys and files do and unnamed objects do not.
pub fn assign(
    parent: Option<&SecurityDescriptor>,
    explicit: Option<&SecurityDescriptor>,
    kind: Kind,
    creator: &Creator<'_>,
    mapping: &GenericMapping,
    auto_inherit: bool,
) -> SecurityDescriptor {
    let owner = explicit.and_then(|sd| sd.owner).unwrap_or(creator.owner);
    let group = explicit.and_then(|sd| sd.group).unwrap_or(creator.group);
    let substitute = Substitute { owner, group, mapping };
    let mut sd =
        SecurityDescriptor { owner: Some(owner), group: Some(group), ..Default::default() };

    let inherited = |list: Option<&Acl>| -> Vec<Ace> {
        let aces = list.into_iter().flat_map(|list| &list.aces);
        aces.flat_map(|ace| inherit(ace, kind, &substitute, auto_inherit)).collect()
    };
    let from_parent = inherited(parent.and_then(SecurityDescriptor::effective_dacl));
    let said = explicit.filter(|sd| sd.dacl_present());
    let insists = said.filter(|sd| sd.control & control::DACL_DEFAULTED == 0);
    sd.control |= control::DACL_PRESENT;
    if let Some(said) = insists {
        sd.control |= said.control & control::DACL_PROTECTED;
        sd.dacl = said.dacl.as_ref().map(|list| substitute.list(list, kind));
        let merges = auto_inherit
            && said.control & control::DACL_AUTO_INHERIT_REQ != 0
            && said.control & control::DACL_PROTECTED == 0;
        if let Some(dacl) = sd.dacl.as_mut().filter(|_| merges) {
            dacl.aces.extend(from_parent);
            sd.control |= control::DACL_AUTO_INHERITED;
        }
    } else if !from_parent.is_empty() {
        sd.dacl = Some(from_parent.into_iter().collect());
        if auto_inherit {
            sd.control |= control::DACL_AUTO_INHERITED;
        }
    } else if let Some(said) = said {
        sd.dacl = said.dacl.as_ref().map(|list| substitute.list(list, kind));
        sd.control |= control::DACL_DEFAULTED;
    } else {
        match creator.default_dacl {
            Some(list) => {
                sd.dacl = Some(substitute.list(list, kind));
                sd.control |= control::DACL_DEFAULTED;
            }
            None => sd.control &= !control::DACL_PRESENT,
        }
    }

    let mut audit: Vec<Ace> = match explicit.and_then(SecurityDescriptor::effective_sacl) {
        Some(list) => substitute.list(list, kind).aces,
        None => inherited(parent.and_then(SecurityDescriptor::effective_sacl)),
    };
    let labelled =
        audit.iter().any(|ace| ace.kind == MANDATORY_LABEL && ace.flags & INHERIT_ONLY == 0);
    // Below medium the maker's level would otherwise lose access to what it makes.
    if !labelled && creator.integrity < 0x2000 {
        let sid = well_known::label(creator.integrity);
        audit.insert(0, Ace::new(MANDATORY_LABEL, 0, NO_WRITE_UP, sid));
    }
    if !audit.is_empty() {
        sd.control |= control::SACL_PRESENT;
        sd.sacl = Some(audit.into_iter().collect());
    }
    sd
}

/// What replaces the CREATOR SIDs and the generic rights in entries that take effect.
struct Substitute<'a> {
    owner: Sid,
    group: Sid,
    mapping: &'a GenericMapping,
}

impl Substitute<'_> {
    fn sid(&self, sid: Sid) -> Sid {
        match sid {
            well_known::CREATOR_OWNER => self.owner,
            well_known::CREATOR_GROUP => self.group,
            other => other,
        }
    }

    /// The entry as it takes effect on the new object itself.
    fn effective(&self, ace: &Ace) -> Ace {
        let mut ace = ace.clone();
        if let Some(mask) = ace.mask_mut() {
            *mask = self.mapping.map(*mask);
        }
        if let Some(sid) = ace.sid_mut() {
            *sid = self.sid(*sid);
        }
        ace
    }

    /// True if the entry says the same to children as to the object.
    fn is_unchanged(&self, ace: &Ace) -> bool {
        ace.mask().is_none_or(|mask| mask & GENERIC == 0)
            && ace.sid().is_none_or(|sid| self.sid(*sid) == *sid)
    }

    /// An explicit list: entries that take effect are substituted, those for children kept as they are.
    fn list(&self, list: &Acl, kind: Kind) -> Acl {
        let aces = list.aces.iter().flat_map(|ace| {
            let passes_on = ace.flags & (OBJECT_INHERIT | CONTAINER_INHERIT) != 0;
            if ace.flags & INHERIT_ONLY != 0 {
                vec![ace.clone()]
            } else if kind == Kind::Container && passes_on && !self.is_unchanged(ace) {
                let own = self.effective(ace);
                let own_flags =
                    own.flags & !(OBJECT_INHERIT | CONTAINER_INHERIT | NO_PROPAGATE_INHERIT);
                let passed_flags = ace.flags | INHERIT_ONLY;
                vec![own.with_flags(own_flags), ace.clone().with_flags(passed_flags)]
            } else {
                vec![self.effective(ace)]
            }
        });
        Acl { revision: list.revision, aces: aces.collect() }
    }
}

/// The entries that a child gets from one entry of its container: none, one or two.
fn inherit(ace: &Ace, kind: Kind, substitute: &Substitute<'_>, auto_inherit: bool) -> Vec<Ace> {
    let mark = if auto_inherit { INHERITED } else { 0 };
    let audit = ace.flags & (SUCCESSFUL_ACCESS | FAILED_ACCESS) | mark;
    let passes = ace.flags & (OBJECT_INHERIT | CONTAINER_INHERIT);
    let stops = ace.flags & NO_PROPAGATE_INHERIT != 0;
    match kind {
        Kind::Object if passes & OBJECT_INHERIT != 0 => {
            vec![substitute.effective(ace).with_flags(audit)]
        }
        Kind::Container if passes & CONTAINER_INHERIT != 0 => {
            if stops {
                vec![substitute.effective(ace).with_flags(audit)]
            } else if substitute.is_unchanged(ace) {
                vec![ace.clone().with_flags(passes | audit)]
            } else {
                let own = substitute.effective(ace).with_flags(audit);
                vec![own, ace.clone().with_flags(passes | INHERIT_ONLY | audit)]
            }
        }
        Kind::Container if passes & OBJECT_INHERIT != 0 && !stops => {
            vec![ace.clone().with_flags(passes | INHERIT_ONLY | audit)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::well_known as wk;

    const MAP: GenericMapping =
        GenericMapping { read: 0x2_0019, write: 0x2_0006, execute: 0x2_0019, all: 0xF_003F };
    const ALICE: Sid = Sid::new(5, &[21, 1, 2, 3, 1000]);

    fn creator(default_dacl: Option<&Acl>) -> Creator<'_> {
        Creator { owner: ALICE, group: wk::USERS, default_dacl, integrity: 0x2000 }
    }

    #[test]
    fn creator_owner_becomes_the_owner_and_goes_on_to_children() {
        let aces = [
            Ace::allow(0x1000_0000, wk::CREATOR_OWNER)
                .with_flags(CONTAINER_INHERIT | OBJECT_INHERIT | INHERIT_ONLY),
            Ace::allow(0x2_0019, wk::USERS).with_flags(CONTAINER_INHERIT),
            Ace::allow(1, wk::GUESTS),
        ];
        let parent = SecurityDescriptor::new(
            wk::ADMINISTRATORS,
            wk::LOCAL_SYSTEM,
            aces.into_iter().collect(),
        );
        let child = assign(Some(&parent), None, Kind::Container, &creator(None), &MAP, true);
        let all = CONTAINER_INHERIT | OBJECT_INHERIT | INHERIT_ONLY | INHERITED;
        assert_eq!(
            child.dacl.unwrap().aces,
            [
                Ace::allow(0xF_003F, ALICE).with_flags(INHERITED),
                Ace::allow(0x1000_0000, wk::CREATOR_OWNER).with_flags(all),
                Ace::allow(0x2_0019, wk::USERS).with_flags(CONTAINER_INHERIT | INHERITED),
            ]
        );
        let leaf = assign(Some(&parent), None, Kind::Object, &creator(None), &MAP, false);
        assert_eq!(leaf.dacl.unwrap().aces, [Ace::allow(0xF_003F, ALICE)]);
    }

    #[test]
    fn an_explicit_list_wins_over_the_parent_and_the_token() {
        let default: Acl = [Ace::allow(0x1000_0000, ALICE)].into_iter().collect();
        let said = SecurityDescriptor {
            control: control::DACL_PRESENT,
            dacl: Some([Ace::allow(0x8000_0000, wk::EVERYONE)].into_iter().collect()),
            ..Default::default()
        };
        let creator = creator(Some(&default));
        let sd = assign(None, Some(&said), Kind::Object, &creator, &MAP, false);
        assert_eq!(sd.dacl.unwrap().aces, [Ace::allow(0x2_0019, wk::EVERYONE)]);
        assert_eq!(sd.owner, Some(ALICE));
        let sd = assign(None, None, Kind::Object, &creator, &MAP, false);
        assert_eq!(sd.dacl.unwrap().aces, [Ace::allow(0xF_003F, ALICE)]);
    }

    #[test]
    fn low_integrity_labels_what_it_makes() {
        let creator = Creator { integrity: 0x1000, ..creator(None) };
        let sd = assign(None, None, Kind::Object, &creator, &MAP, false);
        assert_eq!(sd.mandatory_label(), Some((0x1000, NO_WRITE_UP)));
        assert!(!sd.dacl_present());
    }
}
