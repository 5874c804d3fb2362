//! Services of the global atom table. The table is in [`crate::ex::atom`].

use abi::NtResult;
use abi::ex::ATOM_BASIC_INFORMATION;
use abi::status_table::*;
use guest_mem::Va;
use ntos_macros::service;
use zerocopy::IntoBytes;

use crate::ex::atom::{AtomName, MAXIMUM_NAME};
use crate::ustr::UnicodeString;

use super::info::Reply;
use super::{Out, ServiceCx};

crate::enum_arg! {
    /// `ATOM_INFORMATION_CLASS`.
    AtomInformationClass { AtomBasicInformation = 0, AtomTableInformation = 1 }
}

/// Reads an atom's name: a string of so many bytes, or a number in place of its address.
fn read_name(cx: &mut ServiceCx<'_>, at: Va, length: u32) -> NtResult<AtomName> {
    if length as usize > MAXIMUM_NAME * 2 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if at.0 == 0 {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    if at.0 <= u64::from(u16::MAX) {
        return AtomName::from_number(at.0);
    }
    let bytes = cx.read_vec(at, length as usize)?;
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    // A zero ends the name early.
    AtomName::from_text(UnicodeString(units.take_while(|unit| *unit != 0).collect()))
}

fn store(cx: &mut ServiceCx<'_>, out: Option<Out<u16>>, atom: u16) -> NtResult {
    if let Some(out) = out {
        out.write(cx, &atom)?;
    }
    Ok(STATUS_SUCCESS)
}

/// Adds a name to the global atom table, or counts it once more.
#[service]
pub(super) fn nt_add_atom(
    cx: &mut ServiceCx<'_>,
    atom_name: Va,
    length: u32,
    atom: Option<Out<u16>>,
) -> NtResult {
    let name = read_name(cx, atom_name, length)?;
    if let Some(out) = atom {
        out.probe(cx)?;
    }
    let number = cx.k.ex.atoms.add(&name)?;
    store(cx, atom, number)
}

/// Finds the number of a name.
#[service]
pub(super) fn nt_find_atom(
    cx: &mut ServiceCx<'_>,
    atom_name: Va,
    length: u32,
    atom: Option<Out<u16>>,
) -> NtResult {
    let name = read_name(cx, atom_name, length)?;
    let number = cx.k.ex.atoms.find(&name)?;
    store(cx, atom, number)
}

/// Takes back one addition of an atom.
#[service]
pub(super) fn nt_delete_atom(cx: &mut ServiceCx<'_>, atom: u16) -> NtResult {
    cx.k.ex.atoms.delete(atom)?;
    Ok(STATUS_SUCCESS)
}

/// Reports an atom's name and use count, or the numbers of all atoms.
#[service]
pub(super) fn nt_query_information_atom(
    cx: &mut ServiceCx<'_>,
    atom: u16,
    atom_information_class: AtomInformationClass,
    atom_information: Va,
    atom_information_length: u32,
    return_length: Option<Out<u32>>,
) -> NtResult {
    let reply = Reply { buffer: atom_information, length: atom_information_length, return_length };
    match atom_information_class.0 {
        AtomInformationClass::AtomBasicInformation => {
            let facts = cx.k.ex.atoms.query(atom)?;
            let head = ATOM_BASIC_INFORMATION {
                UsageCount: facts.uses,
                Flags: u16::from(facts.pinned),
                NameLength: facts.name.len() as u16 * 2,
            };
            let mut bytes = head.as_bytes().to_vec();
            bytes.extend(facts.name.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
            // The structure has room for one code unit.
            let short = if (atom_information_length as usize) < head.as_bytes().len() + 2 {
                STATUS_INFO_LENGTH_MISMATCH
            } else {
                STATUS_BUFFER_TOO_SMALL
            };
            reply.whole(cx, &bytes, short)
        }
        AtomInformationClass::AtomTableInformation => {
            let numbers = cx.k.ex.atoms.numbers();
            let mut bytes = (numbers.len() as u32).to_le_bytes().to_vec();
            bytes.extend(numbers.flat_map(u16::to_le_bytes));
            reply.whole(cx, &bytes, STATUS_INFO_LENGTH_MISMATCH)
        }
        _ => Err(STATUS_INVALID_INFO_CLASS),
    }
}

crate::service_table! { SERVICES:
    nt_add_atom, nt_find_atom, nt_delete_atom, nt_query_information_atom,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, TestMachine, out};

    #[test]
    fn atoms_are_added_and_queried() {
        let machine = TestMachine::new();
        machine.string(0x100, "Poodle");
        let text = Va(DATA + 0x110);
        assert_eq!(machine.with(|cx| nt_add_atom(cx, text, 12, Some(out(0)))), Ok(STATUS_SUCCESS));
        let atom: u16 = machine.get(0);
        assert_eq!(atom, 0xC000);
        let query = |length| {
            let class = AtomInformationClass(0);
            machine.with(|cx| {
                let at = Va(DATA + 0x200);
                nt_query_information_atom(cx, atom, class, at, length, Some(out(8)))
            })
        };
        assert_eq!(query(7), Err(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(query(8), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!((machine.get::<u32>(8), query(20)), (20, Ok(STATUS_SUCCESS)));
        assert_eq!(machine.get::<[u16; 4]>(0x200), [1, 0, 12, u16::from(b'P')]);
        assert_eq!(machine.with(|cx| nt_add_atom(cx, Va(77), 0, Some(out(0)))), Ok(STATUS_SUCCESS));
        assert_eq!(machine.get::<u16>(0), 77);
        assert_eq!(
            machine.with(|cx| nt_add_atom(cx, Va(0xC000), 0, None)),
            Err(STATUS_INVALID_PARAMETER)
        );
    }
}
