//! The global atom table: numbers for strings, counted.
//!
//! Key types: [`AtomTable`], [`AtomName`]. Numbers from 0xC000 up stand for strings; those below are integer atoms, which
//! stand for themselves, are written `#123`, and need no table. Names are compared without regard to case.

use std::collections::BTreeMap;

use abi::NtResult;
use abi::status_table::*;

use crate::ustr::UnicodeString;

/// The first number of a string.
pub const FIRST_STRING_ATOM: u16 = 0xC000;

/// Longest name, in code units.
pub const MAXIMUM_NAME: usize = 255;

/// What an atom is named by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AtomName {
    /// An integer atom.
    Integer(u16),
    /// A string.
    Text(UnicodeString),
}

impl AtomName {
    /// The integer atom of a number; `STATUS_INVALID_PARAMETER` outside 1 to 0xBFFF.
    pub fn from_number(number: u64) -> NtResult<Self> {
        match u16::try_from(number) {
            Ok(number) if number != 0 && number < FIRST_STRING_ATOM => {
                Ok(AtomName::Integer(number))
            }
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }

    /// The atom name that a text spells: `#` and digits is an integer atom.
    pub fn from_text(text: UnicodeString) -> NtResult<Self> {
        if text.is_empty() {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        if text.len() > MAXIMUM_NAME {
            return Err(STATUS_INVALID_PARAMETER);
        }
        match text.split_first() {
            Some((first, digits)) if *first == u16::from(b'#') && is_number(digits) => {
                let value = digits.iter().fold(0u64, |value, digit| {
                    value.saturating_mul(10).saturating_add(u64::from(*digit) - u64::from(b'0'))
                });
                Self::from_number(value)
            }
            _ => Ok(AtomName::Text(text)),
        }
    }
}

fn is_number(units: &[u16]) -> bool {
    !units.is_empty() && units.iter().all(|unit| (0x30..=0x39).contains(unit))
}

struct Atom {
    name: UnicodeString,
    uses: u16,
}

/// The strings that have a number.
#[derive(Default)]
pub struct AtomTable {
    atoms: BTreeMap<u16, Atom>,
    numbers: BTreeMap<UnicodeString, u16>,
}

/// What a query shows of an atom.
pub struct AtomFacts {
    /// The name.
    pub name: UnicodeString,
    /// How often it was added; 1 for an integer atom.
    pub uses: u16,
    /// It cannot go away: an integer atom, or one that was added too often to count.
    pub pinned: bool,
}

impl AtomTable {
    /// The number of a name, which is added or counted once more.
    pub fn add(&mut self, name: &AtomName) -> NtResult<u16> {
        let text = match name {
            AtomName::Integer(number) => return Ok(*number),
            AtomName::Text(text) => text,
        };
        let folded = text.folded();
        if let Some(number) = self.numbers.get(&folded) {
            if let Some(atom) = self.atoms.get_mut(number) {
                atom.uses = atom.uses.saturating_add(1);
            }
            return Ok(*number);
        }
        let number = (FIRST_STRING_ATOM..=u16::MAX)
            .find(|number| !self.atoms.contains_key(number))
            .ok_or(STATUS_NO_MEMORY)?;
        self.atoms.insert(number, Atom { name: text.clone(), uses: 1 });
        self.numbers.insert(folded, number);
        Ok(number)
    }

    /// The number of a name.
    pub fn find(&self, name: &AtomName) -> NtResult<u16> {
        match name {
            AtomName::Integer(number) => Ok(*number),
            AtomName::Text(text) => {
                self.numbers.get(&text.folded()).copied().ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
            }
        }
    }

    /// Takes back one addition; the last one frees the number. Integer atoms have nothing to take back.
    pub fn delete(&mut self, number: u16) -> NtResult<()> {
        if (1..FIRST_STRING_ATOM).contains(&number) {
            return Ok(());
        }
        let atom = self.atoms.get_mut(&number).ok_or(STATUS_INVALID_HANDLE)?;
        match atom.uses {
            u16::MAX => {}
            1 => {
                let folded = atom.name.folded();
                self.numbers.remove(&folded);
                self.atoms.remove(&number);
            }
            _ => atom.uses -= 1,
        }
        Ok(())
    }

    /// Name and use count of an atom.
    pub fn query(&self, number: u16) -> NtResult<AtomFacts> {
        if (1..FIRST_STRING_ATOM).contains(&number) {
            let name = UnicodeString::from(format!("#{number}").as_str());
            return Ok(AtomFacts { name, uses: 1, pinned: true });
        }
        let atom = self.atoms.get(&number).ok_or(STATUS_INVALID_HANDLE)?;
        Ok(AtomFacts { name: atom.name.clone(), uses: atom.uses, pinned: atom.uses == u16::MAX })
    }

    /// The numbers in use.
    pub fn numbers(&self) -> impl ExactSizeIterator<Item = u16> {
        self.atoms.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NtResult<AtomName> {
        AtomName::from_text(text.into())
    }

    #[test]
    fn integer_atoms_are_spelled_with_a_number_sign() {
        assert_eq!(name("#123"), Ok(AtomName::Integer(123)));
        assert_eq!(name("#0049151"), Ok(AtomName::Integer(0xBFFF)));
        for bad in ["#0", "#49152", "#99999999999999999999999"] {
            assert_eq!(name(bad), Err(STATUS_INVALID_PARAMETER));
        }
        for text in ["#", "#1a", "1"] {
            assert_eq!(name(text), Ok(AtomName::Text(text.into())));
        }
        assert_eq!(name(""), Err(STATUS_OBJECT_NAME_INVALID));
        assert_eq!(name(&"a".repeat(256)), Err(STATUS_INVALID_PARAMETER));
    }

    #[test]
    fn names_are_counted_and_folded() {
        let mut table = AtomTable::default();
        let (first, other) = (name("Poodle").unwrap(), name("Cat").unwrap());
        assert_eq!(table.add(&first), Ok(0xC000));
        assert_eq!(table.add(&other), Ok(0xC001));
        assert_eq!(table.add(&name("POODLE").unwrap()), Ok(0xC000));
        let facts = table.query(0xC000).unwrap();
        assert_eq!((facts.name.to_string().as_str(), facts.uses), ("Poodle", 2));
        table.delete(0xC000).unwrap();
        assert_eq!(table.find(&first), Ok(0xC000));
        table.delete(0xC000).unwrap();
        assert_eq!(table.find(&first), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(table.delete(0xC000), Err(STATUS_INVALID_HANDLE));
        assert_eq!(table.add(&name("New").unwrap()), Ok(0xC000));
        assert_eq!(table.query(77).unwrap().name.to_string(), "#77");
        assert_eq!(table.delete(77), Ok(()));
    }
}
