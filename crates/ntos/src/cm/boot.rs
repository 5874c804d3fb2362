//! The registry of a machine at its first boot.
//!
//! Key types: [`BootFacts`] (what differs between machines), [`boot()`]. What is written is data, in [`super::seeds`] and
//! [`super::time_zones`]; this file makes the hives, their descriptors, and puts the data in.

use std::sync::Arc;

use abi::NtResult;
use abi::cm::*;
use abi::status_table::*;
use sd::acl::{CONTAINER_INHERIT, INHERIT_ONLY};
use sd::{Ace, Creator, SecurityDescriptor, Sid, well_known};

use crate::Kernel;
use crate::ob;
use crate::se::token::FIRST_USER;
use crate::ustr::UnicodeString;

use super::hive::{Hive, KeyCell, Storage};
use super::key::{self, ACCESS};
use super::registry::{Found, KeyId, Registry, strip_registry};
use super::seeds::{Data, SEEDS, VOLATILE};
use super::time_zones::TIME_ZONES;

/// What differs between machines.
#[derive(Clone, Debug)]
pub struct BootFacts {
    /// The computer's name.
    pub computer: String,
    /// The user's name.
    pub user: String,
    /// The user's SID.
    pub sid: Sid,
    /// Processors.
    pub processors: u32,
    /// `Intel64 Family 6 Model 158 Stepping 10`, as the processor's key has it.
    pub processor_identifier: String,
    /// `GenuineIntel`.
    pub processor_vendor: String,
    /// The brand text.
    pub processor_name: String,
    /// The family, a number.
    pub processor_level: u32,
    /// Model and stepping, `9e0a`.
    pub processor_revision: String,
    /// The clock rate.
    pub megahertz: u32,
    /// The build number.
    pub build: u32,
    /// `MachineGuid`; made from the host's entropy when it is empty.
    pub machine_guid: String,
}

impl Default for BootFacts {
    /// A machine called NTEN with one processor, which is what CPUID says it is.
    fn default() -> Self {
        let [signature, ..] = cpu::cpuid(1, 0);
        let (family, model, stepping) =
            (signature >> 8 & 0xF, signature >> 4 & 0xF | signature >> 12 & 0xF0, signature & 0xF);
        let [_, ebx, ecx, edx] = cpu::cpuid(0, 0);
        let text = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
        };
        let brand = (0x8000_0002..=0x8000_0004).flat_map(|leaf| cpu::cpuid(leaf, 0));
        BootFacts {
            computer: "NTEN".to_owned(),
            user: "nten".to_owned(),
            sid: FIRST_USER,
            processors: 1,
            processor_identifier: format!(
                "Intel64 Family {family} Model {model} Stepping {stepping}"
            ),
            processor_vendor: text(&[ebx, edx, ecx]),
            processor_name: text(&brand.collect::<Vec<u32>>()),
            processor_level: family,
            processor_revision: format!("{:04x}", model << 8 | stepping),
            megahertz: 1000,
            build: 19043,
            machine_guid: String::new(),
        }
    }
}

impl BootFacts {
    /// Fills the names in braces of a seed in.
    fn fill(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        text.replace("{computer}", &self.computer)
            .replace("{user}", &self.user)
            .replace("{sid}", &self.sid.to_string())
            .replace("{processors}", &self.processors.to_string())
            .replace("{processor_identifier}", &self.processor_identifier)
            .replace("{processor_vendor}", &self.processor_vendor)
            .replace("{processor_level}", &self.processor_level.to_string())
            .replace("{processor_revision}", &self.processor_revision)
            .replace("{build}", &self.build.to_string())
            .replace("{machine_guid}", &self.machine_guid)
    }
}

/// Makes `\REGISTRY` and everything in it.
pub fn boot(k: &mut Kernel, facts: &BootFacts) -> NtResult<()> {
    let mut facts = facts.clone();
    if facts.machine_guid.is_empty() {
        let mut random = [0u8; 16];
        k.host.entropy(&mut random);
        facts.machine_guid = guid_text(random);
    }
    let now = k.system_time();
    build(&mut k.cm.registry, &facts, now)?;
    let root = k.cm.registry.root()?;
    let object = key::open_object(k, root)?;
    object.header.set_permanent(true);
    ob::insert_at(k, "\\REGISTRY", &object)
}

fn guid_text(random: [u8; 16]) -> String {
    let mut value = u128::from_be_bytes(random);
    // Version 4, variant 1.
    value = value & !(0xF << 76) | 4 << 76;
    value = value & !(0x3 << 62) | 2 << 62;
    let hex = format!("{value:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Fills an empty registry.
fn build(registry: &mut Registry, facts: &BootFacts, now: i64) -> NtResult<()> {
    let root = registry.root()?;
    let open = descriptor(&[], KEY_READ);
    registry.get_mut(root)?.security = open.clone();
    let mut builder = Builder { registry, now };
    let machine = builder.add(root, "MACHINE", Storage::Volatile)?;
    let user = builder.add(root, "USER", Storage::Volatile)?;
    let system_only = system_descriptor();
    let sid = facts.sid.to_string();
    let own = descriptor(&[facts.sid], 0);
    use Storage::{Stable, Volatile};
    builder.mount(machine, "HARDWARE", Volatile, open)?;
    builder.mount(machine, "SAM", Stable, system_only.clone())?;
    builder.mount(machine, "SECURITY", Stable, system_only)?;
    builder.mount(machine, "SOFTWARE", Stable, machine_descriptor())?;
    builder.mount(machine, "SYSTEM", Stable, machine_descriptor())?;
    builder.mount(user, ".DEFAULT", Stable, machine_descriptor())?;
    builder.mount(user, &sid, Stable, own.clone())?;
    builder.mount(user, &format!("{sid}_Classes"), Stable, own)?;
    let alias = builder.add(user, "S-1-5-18", Volatile)?;
    builder.link(alias, r"\Registry\User\.DEFAULT")?;
    for (path, values) in SEEDS {
        let storage = if VOLATILE.contains(path) { Volatile } else { Stable };
        let key = builder.ensure(&facts.fill(path), storage)?;
        for (name, data) in *values {
            builder.seed(key, name, data, facts)?;
        }
    }
    builder.processors(facts)?;
    builder.time_zones()
}

/// Full control for administrators, the system and `full`; reading for everyone or for users.
fn descriptor(full: &[Sid], everyone: u32) -> Arc<SecurityDescriptor> {
    let inherit = |ace: Ace| ace.with_flags(CONTAINER_INHERIT);
    let mut aces = Vec::new();
    for sid in full {
        aces.push(inherit(Ace::allow(KEY_ALL_ACCESS, *sid)));
    }
    aces.push(inherit(Ace::allow(KEY_ALL_ACCESS, well_known::LOCAL_SYSTEM)));
    aces.push(inherit(Ace::allow(KEY_ALL_ACCESS, well_known::ADMINISTRATORS)));
    if everyone != 0 {
        aces.push(inherit(Ace::allow(everyone, well_known::EVERYONE)));
    }
    aces.push(inherit(Ace::allow(KEY_READ, well_known::RESTRICTED)));
    let list = aces.into_iter().collect();
    Arc::new(SecurityDescriptor::new(well_known::ADMINISTRATORS, well_known::LOCAL_SYSTEM, list))
}

/// `HKLM\SOFTWARE` and `HKLM\SYSTEM`: users read, who makes a key owns it.
fn machine_descriptor() -> Arc<SecurityDescriptor> {
    let aces = [
        Ace::allow(KEY_READ, well_known::USERS).with_flags(CONTAINER_INHERIT),
        Ace::allow(KEY_ALL_ACCESS, well_known::ADMINISTRATORS).with_flags(CONTAINER_INHERIT),
        Ace::allow(KEY_ALL_ACCESS, well_known::LOCAL_SYSTEM).with_flags(CONTAINER_INHERIT),
        Ace::allow(KEY_ALL_ACCESS, well_known::CREATOR_OWNER)
            .with_flags(CONTAINER_INHERIT | INHERIT_ONLY),
        Ace::allow(KEY_READ, well_known::ALL_APPLICATION_PACKAGES).with_flags(CONTAINER_INHERIT),
    ];
    let list = aces.into_iter().collect();
    Arc::new(SecurityDescriptor::new(well_known::ADMINISTRATORS, well_known::LOCAL_SYSTEM, list))
}

/// `HKLM\SAM` and `HKLM\SECURITY`: the system's own.
fn system_descriptor() -> Arc<SecurityDescriptor> {
    let peek = abi::ob::READ_CONTROL | abi::ob::WRITE_DAC;
    let aces = [
        Ace::allow(KEY_ALL_ACCESS, well_known::LOCAL_SYSTEM).with_flags(CONTAINER_INHERIT),
        Ace::allow(peek, well_known::ADMINISTRATORS).with_flags(CONTAINER_INHERIT),
    ];
    let list = aces.into_iter().collect();
    Arc::new(SecurityDescriptor::new(well_known::ADMINISTRATORS, well_known::LOCAL_SYSTEM, list))
}

/// Puts keys and values in, as the system.
struct Builder<'a> {
    registry: &'a mut Registry,
    now: i64,
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Text as a value holds it: UTF-16 with a final NUL.
fn text_data(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

impl Builder<'_> {
    /// The descriptor that a key made by the system inherits; the parent's own where it is the same.
    fn inherited(&self, parent: KeyId) -> NtResult<Arc<SecurityDescriptor>> {
        let above = self.registry.get(parent)?.security.clone();
        let creator = Creator {
            owner: well_known::ADMINISTRATORS,
            group: well_known::LOCAL_SYSTEM,
            default_dacl: None,
            integrity: abi::se::SECURITY_MANDATORY_SYSTEM_RID,
        };
        let kind = sd::inherit::Kind::Container;
        let made = sd::assign(Some(&above), None, kind, &creator, &ACCESS, true);
        Ok(if made == *above { above } else { Arc::new(made) })
    }

    fn add(&mut self, parent: KeyId, name: &str, storage: Storage) -> NtResult<KeyId> {
        // What is in a volatile key is volatile.
        let storage = match self.registry.get(parent)?.storage {
            Storage::Volatile => Storage::Volatile,
            Storage::Stable => storage,
        };
        let security = self.inherited(parent)?;
        self.registry.add(parent, KeyCell::new(&units(name), storage, self.now, security))
    }

    fn mount(
        &mut self,
        parent: KeyId,
        name: &str,
        storage: Storage,
        security: Arc<SecurityDescriptor>,
    ) -> NtResult<()> {
        let at = self.add(parent, name, Storage::Volatile)?;
        let root = KeyCell::new(&units(name), storage, self.now, security);
        self.registry.mount(at, Hive::new(root))?;
        Ok(())
    }

    /// The key of an absolute path, made if it is not there, with all keys above it.
    fn ensure(&mut self, path: &str, storage: Storage) -> NtResult<KeyId> {
        let path = UnicodeString::from(path);
        let rest = strip_registry(&path).ok_or(STATUS_OBJECT_PATH_SYNTAX_BAD)?;
        let mut at = self.registry.root()?;
        let text = String::from_utf16_lossy(rest);
        let mut names = text.split('\\').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let storage = if names.peek().is_none() { storage } else { Storage::Stable };
            at = match self.registry.find(at, &units(name), true)? {
                Found::Key(id) => id,
                Found::Missing { parent, .. } => self.add(parent, name, storage)?,
            };
        }
        Ok(at)
    }

    fn set(&mut self, key: KeyId, name: &str, kind: u32, data: Vec<u8>) -> NtResult<()> {
        self.registry.get_mut(key)?.set_value(&units(name), kind, data);
        Ok(())
    }

    fn link(&mut self, key: KeyId, target: &str) -> NtResult<()> {
        self.registry.get_mut(key)?.is_link = true;
        // The target is the one text that has no final NUL.
        let data = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.set(key, "SymbolicLinkValue", REG_LINK, data)
    }

    fn seed(&mut self, key: KeyId, name: &str, data: &Data, facts: &BootFacts) -> NtResult<()> {
        match data {
            Data::Sz(text) => self.set(key, name, REG_SZ, text_data(&facts.fill(text))),
            Data::Expand(text) => self.set(key, name, REG_EXPAND_SZ, text_data(&facts.fill(text))),
            Data::Multi(texts) => {
                let mut all: Vec<u8> = texts.iter().flat_map(|text| text_data(text)).collect();
                all.extend_from_slice(&[0, 0]);
                self.set(key, name, REG_MULTI_SZ, all)
            }
            Data::Dword(value) => self.set(key, name, REG_DWORD, value.to_le_bytes().to_vec()),
            Data::Link(target) => self.link(key, &facts.fill(target)),
        }
    }

    fn processors(&mut self, facts: &BootFacts) -> NtResult<()> {
        for number in 0..facts.processors {
            let path =
                format!(r"\Registry\Machine\HARDWARE\DESCRIPTION\System\CentralProcessor\{number}");
            let key = self.ensure(&path, Storage::Volatile)?;
            let texts = [
                ("Identifier", &facts.processor_identifier),
                ("ProcessorNameString", &facts.processor_name),
                ("VendorIdentifier", &facts.processor_vendor),
            ];
            for (name, text) in texts {
                self.set(key, name, REG_SZ, text_data(text))?;
            }
            self.set(key, "~MHz", REG_DWORD, facts.megahertz.to_le_bytes().to_vec())?;
        }
        Ok(())
    }

    fn time_zones(&mut self) -> NtResult<()> {
        let path = r"\Registry\Machine\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Time Zones";
        let zones = self.ensure(path, Storage::Stable)?;
        self.set(zones, "TzVersion", REG_DWORD, 0x07E5_0001u32.to_le_bytes().to_vec())?;
        for zone in TIME_ZONES {
            let key = self.add(zones, zone.key, Storage::Stable)?;
            self.set(key, "Display", REG_SZ, text_data(zone.display))?;
            self.set(key, "Dlt", REG_SZ, text_data(zone.daylight_name))?;
            self.set(key, "Std", REG_SZ, text_data(zone.standard_name()))?;
            self.set(key, "TZI", REG_BINARY, zone.tzi())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let mut state = super::super::CmState::default();
        build(&mut state.registry, &BootFacts::default(), 1).unwrap();
        state.registry
    }

    fn find(registry: &Registry, path: &str) -> KeyId {
        let path = UnicodeString::from(path);
        let rest = strip_registry(&path).unwrap();
        match registry.find(registry.root().unwrap(), rest, false).unwrap() {
            Found::Key(id) => id,
            Found::Missing { name, .. } => panic!("{name} is missing in {path}"),
        }
    }

    fn text(registry: &Registry, path: &str, name: &str) -> String {
        let value = registry.get(find(registry, path)).unwrap().value(&units(name)).unwrap();
        let units: Vec<u16> =
            value.data.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn what_programs_read_is_there() {
        let registry = registry();
        let nls = r"\Registry\Machine\System\CurrentControlSet\Control\Nls\CodePage";
        assert_eq!(text(&registry, nls, "acp"), "1252\0");
        let international = r"\Registry\User\S-1-5-21-0-0-0-1000\Control Panel\International";
        assert_eq!(text(&registry, international, "LocaleName"), "en-US\0");
        let temp = text(&registry, r"\Registry\User\S-1-5-18\Environment", "TMP");
        assert_eq!(temp, "%USERPROFILE%\\AppData\\Local\\Temp\0");
        let volatile = r"\Registry\User\S-1-5-21-0-0-0-1000\Volatile Environment";
        assert_eq!(text(&registry, volatile, "USERPROFILE"), "C:\\Users\\nten\0");
        let hardware = r"\Registry\Machine\Hardware\Description\System\CentralProcessor\0";
        assert!(registry.is_volatile(find(&registry, hardware)).unwrap());
    }

    #[test]
    fn no_seed_is_left_unfilled() {
        let registry = registry();
        let mut stack = vec![registry.root().unwrap()];
        let mut keys = 0;
        while let Some(id) = stack.pop() {
            let key = registry.get(id).unwrap();
            keys += 1;
            for value in key.values.iter().filter(|value| value.kind == REG_SZ) {
                let hex: Vec<u8> = value.data.iter().copied().filter(|byte| *byte != 0).collect();
                let text = String::from_utf8(hex).unwrap();
                let braces = text.contains('{') && !text.starts_with("{");
                assert!(!braces, "{}: {text}", registry.path(id).unwrap());
            }
            stack.extend(registry.children(id).unwrap());
        }
        assert!(keys > 200, "{keys}");
    }

    #[test]
    fn the_processor_is_the_emulated_one() {
        let facts = BootFacts::default();
        assert_eq!(facts.processor_vendor, "GenuineIntel");
        assert_eq!(facts.processor_identifier, "Intel64 Family 6 Model 55 Stepping 1");
        assert_eq!(facts.processor_revision, "3701");
        assert!(facts.processor_name.starts_with("nten"));
    }

    #[test]
    fn descriptors_are_shared_down_the_tree() {
        let registry = registry();
        let a = find(&registry, r"\Registry\Machine\Software\Microsoft\Windows NT");
        let b = find(&registry, r"\Registry\Machine\Software\Microsoft\Windows NT\CurrentVersion");
        let (a, b) = (registry.get(a).unwrap(), registry.get(b).unwrap());
        assert!(Arc::ptr_eq(&a.security, &b.security));
    }

    #[test]
    fn machine_guids_have_version_and_variant() {
        assert_eq!(guid_text([0xFF; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
