//! `nten reg`: reads and changes the registry of a machine that does not run, or a hive file.
//!
//! Key types: [`Place`] (what hive a key's name leads to), [`Open`] (a hive file that is read and written back whole).
//! Values' texts and `.reg` files are in [`text`]. A new key gets the security descriptor of the key above it.

mod text;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use host::LinuxFolder;
use ntos::cm::store::{self, LoadError};
use ntos::host::files::HostFolder;
use ntos::se::token::FIRST_USER;
use regf::{Hive, Key, Value};
use serde_json::json;

use crate::cli::{RegAction, RegArgs, RegPlace};
use crate::kept::KeptMachine;
use crate::report::Report;

/// Names on the way from a hive's root to a key.
type Names = Vec<Vec<u16>>;

/// Does the verb.
pub fn command(arguments: RegArgs) -> Result<ExitCode, Report> {
    match arguments.action {
        RegAction::Query { place, key, value, subkeys, json } => {
            let mut place = Place::open(&place)?;
            query(&mut place, &key, value.as_deref(), subkeys, json)
        }
        RegAction::Add { place, key, value, kind, data } => {
            let value = match value {
                None => None,
                Some(name) => Some(text::value(&name, &kind, &data).map_err(Report::new)?),
            };
            let mut place = Place::open(&place)?;
            place.ensure(&key, value)?;
            place.save()
        }
        RegAction::Delete { place, key, value } => {
            let mut place = Place::open(&place)?;
            if !place.delete(&key, value.as_deref())? {
                return Err(missing(&key, value.as_deref()));
            }
            place.save()
        }
        RegAction::Export { place, key, file } => {
            let mut place = Place::open(&place)?;
            let found = place.find(&key)?.ok_or_else(|| missing(&key, None))?;
            let text = text::export(&text::long_name(&key), found);
            write_out(&file, &text)
        }
        RegAction::Import { place, file } => {
            let name = file.display();
            let failed = |cause: String| Report::new(format!("cannot import {name}")).cause(cause);
            let bytes = fs::read(&file).map_err(|error| failed(error.to_string()))?;
            let changes = text::parse(&bytes).map_err(failed)?;
            let mut place = Place::open(&place)?;
            // Deleting what is not there is no error in a .reg file.
            for change in changes {
                match change {
                    text::Change::Key(key) => place.ensure(&key, None)?,
                    text::Change::Set(key, value) => place.ensure(&key, Some(value))?,
                    text::Change::DeleteKey(key) => {
                        let _ = place.delete(&key, None)?;
                    }
                    text::Change::DeleteValue(key, value) => {
                        let _ = place.delete(&key, Some(&value))?;
                    }
                }
            }
            place.save()
        }
    }
}

fn missing(key: &str, value: Option<&str>) -> Report {
    match value {
        Some(value) => Report::new(format!("there is no value `{value}` in {key}")),
        None => Report::new(format!("there is no key {key}")),
    }
}

fn write_out(file: &Path, text: &str) -> Result<ExitCode, Report> {
    let written = if file == Path::new("-") {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        // As Windows writes them: UTF-16 with a mark.
        let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
        fs::write(file, units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
    };
    written.map_err(|error| {
        Report::new(format!("cannot write {}", file.display())).cause(error.to_string())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn now() -> i64 {
    const UNIX_IN_1601: i64 = 116_444_736_000_000_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_IN_1601 + (since.as_nanos() / 100) as i64
}

/// A hive file that was read.
struct Open {
    hive: Hive,
    is_changed: bool,
}

/// What the user works on: a folder with one hive file or those of a machine.
struct Place {
    folder: Arc<dyn HostFolder>,
    /// The one hive, if it is not a machine.
    single: Option<String>,
    open: BTreeMap<String, Open>,
    /// Keeps other ntens out of the machine.
    _machine: Option<KeptMachine>,
}

impl Place {
    fn open(place: &RegPlace) -> Result<Self, Report> {
        if let Some(folder) = &place.machine {
            if !folder.join("hives").is_dir() {
                return Err(Report::new(format!("{} is no machine", folder.display()))
                    .cause("it has no folder `hives`")
                    .help("make one with `nten run --machine DIR PROGRAM`"));
            }
            let machine = KeptMachine::open(folder)?;
            let (folder, open) = (machine.hives.clone(), BTreeMap::new());
            return Ok(Place { folder, single: None, open, _machine: Some(machine) });
        }
        let file = place.hive.as_deref().unwrap_or(Path::new(""));
        let failed = |cause: &str| {
            Report::new(format!("cannot open the hive {}", file.display())).cause(cause)
        };
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| failed("it is not the name of a file"))?.to_owned();
        let parent = match file.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let folder = LinuxFolder::open(parent).map_err(|error| failed(&error.to_string()))?;
        Ok(Place { folder, single: Some(name), open: BTreeMap::new(), _machine: None })
    }

    /// The hive that a key is in, and the names from its root on.
    fn locate(&mut self, key: &str) -> Result<(String, Names), Report> {
        let names: Vec<&str> = key.split('\\').filter(|name| !name.is_empty()).collect();
        let below = |names: &[&str]| names.iter().map(|name| units(name)).collect::<Names>();
        if let Some(single) = &self.single {
            return Ok((single.clone(), below(&names)));
        }
        let upper: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let user = FIRST_USER.to_string();
        let (file, skip) = match upper.as_slice() {
            [
                "HKLM" | "HKEY_LOCAL_MACHINE",
                hive @ ("SAM" | "SECURITY" | "SOFTWARE" | "SYSTEM"),
                ..,
            ] => (*hive, 2),
            ["HKCR" | "HKEY_CLASSES_ROOT", ..] => {
                let path = [vec!["Classes"], names.get(1..).unwrap_or_default().to_vec()].concat();
                return Ok(("SOFTWARE".to_owned(), below(&path)));
            }
            ["HKCU" | "HKEY_CURRENT_USER", "SOFTWARE", "CLASSES", ..] => ("UsrClass.dat", 3),
            ["HKCU" | "HKEY_CURRENT_USER", ..] => ("NTUSER.DAT", 1),
            ["HKU" | "HKEY_USERS", ".DEFAULT" | "S-1-5-18", ..] => ("DEFAULT", 2),
            ["HKU" | "HKEY_USERS", sid, ..] if *sid == format!("{user}_CLASSES") => {
                ("UsrClass.dat", 2)
            }
            ["HKU" | "HKEY_USERS", sid, ..] if *sid == user => ("NTUSER.DAT", 2),
            _ => {
                return Err(Report::new(format!("`{key}` leads to no hive of a machine")).help(
                    "keys begin with HKLM\\SOFTWARE, HKLM\\SYSTEM, HKLM\\SAM, HKLM\\SECURITY, HKCU, HKCR or HKU\\.DEFAULT",
                ));
            }
        };
        let mut path = below(names.get(skip..).unwrap_or_default());
        if file == "SYSTEM" && upper.get(skip) == Some(&"CURRENTCONTROLSET") {
            let set = self.current_control_set()?;
            if let Some(first) = path.first_mut() {
                *first = units(&set);
            }
        }
        Ok((file.to_owned(), path))
    }

    /// What the volatile link `CurrentControlSet` leads to.
    fn current_control_set(&mut self) -> Result<String, Report> {
        let root = &self.hive("SYSTEM")?.hive.root;
        let current = root.subkey(&units("Select")).and_then(|key| key.value(&units("Current")));
        let number = current.and_then(|value| value.data.first_chunk());
        Ok(format!("ControlSet{:03}", number.map_or(1, |bytes| u32::from_le_bytes(*bytes))))
    }

    fn hive(&mut self, file: &str) -> Result<&mut Open, Report> {
        if !self.open.contains_key(file) {
            let place = format!("{}/{file}", self.folder.place());
            let hive = store::load(&*self.folder, file).map_err(|error| match error {
                LoadError::Host(error) => {
                    Report::new(format!("cannot read the hive {place}")).cause(error.to_string())
                }
                LoadError::Format(error) => Report::new(format!("the hive {place} is damaged"))
                    .cause(error.to_string())
                    .help(format!("the one before it may be whole: {place}.bak")),
            })?;
            if hive.torn {
                anstream::eprintln!("nten: a write of {place} did not come to its end");
            }
            self.open.insert(file.to_owned(), Open { hive, is_changed: false });
        }
        self.open.get_mut(file).ok_or_else(|| Report::new("the hive is gone"))
    }

    fn find(&mut self, key: &str) -> Result<Option<&Key>, Report> {
        let (file, path) = self.locate(key)?;
        Ok(self.hive(&file)?.hive.root.find(&path))
    }

    /// Makes a key if it is not there, and sets a value in it.
    fn ensure(&mut self, key: &str, value: Option<Value>) -> Result<(), Report> {
        let (file, path) = self.locate(key)?;
        if path.iter().any(|name| name.len() > 255) || path.len() >= regf::MAX_DEPTH {
            return Err(Report::new(format!("the key {key} is too long"))
                .cause("a name has at most 255 characters, a path at most 512 names"));
        }
        let open = self.hive(&file)?;
        let key = open.hive.root.ensure(&path, now());
        if let Some(value) = value {
            key.set_value(value);
            key.last_write = now();
        }
        open.is_changed = true;
        Ok(())
    }

    /// Deletes a key or a value; false if it is not there.
    fn delete(&mut self, key: &str, value: Option<&str>) -> Result<bool, Report> {
        let (file, path) = self.locate(key)?;
        let open = self.hive(&file)?;
        let root = &mut open.hive.root;
        let (parent, done) = match (value, path.split_last()) {
            (Some(value), _) => {
                let Some(key) = root.find_mut(&path) else { return Ok(false) };
                let done = key.remove_value(&units(value));
                (key, done)
            }
            (None, Some((last, above))) => {
                let Some(key) = root.find_mut(above) else { return Ok(false) };
                let done = key.remove_subkey(last);
                (key, done)
            }
            (None, None) => {
                return Err(
                    Report::new(format!("cannot delete {key}")).cause("it is the root of a hive")
                );
            }
        };
        if done {
            parent.last_write = now();
            open.is_changed = true;
        }
        Ok(done)
    }

    /// Writes the hives that changed.
    fn save(&mut self) -> Result<ExitCode, Report> {
        for (file, open) in self.open.iter_mut().filter(|(_, open)| open.is_changed) {
            open.hive.sequence = open.hive.sequence.wrapping_add(1);
            open.hive.written = now();
            store::save(&*self.folder, file, &open.hive).map_err(|error| {
                let place = self.folder.place();
                Report::new(format!("cannot write the hive {place}/{file}"))
                    .cause(error.to_string())
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn query(
    place: &mut Place,
    key: &str,
    value: Option<&str>,
    subkeys: bool,
    json: bool,
) -> Result<ExitCode, Report> {
    let found = place.find(key)?.ok_or_else(|| missing(key, None))?;
    let mut out = String::new();
    if let Some(name) = value {
        let value = found.value(&units(name)).ok_or_else(|| missing(key, Some(name)))?;
        let only = Key { values: vec![value.clone()], ..Key::new("") };
        print_key(&text::long_name(key), &only, false, json, &mut out);
    } else {
        print_key(&text::long_name(key), found, subkeys, json, &mut out);
    }
    std::io::stdout()
        .write_all(out.as_bytes())
        .map_err(|error| Report::new("cannot write to standard output").cause(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_key(path: &str, key: &Key, subkeys: bool, as_json: bool, out: &mut String) {
    let name_of = |name: &[u16]| String::from_utf16_lossy(name);
    let below = |key: &Key| match path {
        "" => name_of(&key.name),
        _ => format!("{path}\\{}", name_of(&key.name)),
    };
    if as_json {
        let values: Vec<_> = key
            .values
            .iter()
            .map(|value| {
                let (kind, data) = (text::kind_name(value.kind), text::data_text(value));
                json!({"name": name_of(&value.name), "type": kind, "data": data})
            })
            .collect();
        let names: Vec<_> = key.subkeys.iter().map(|key| name_of(&key.name)).collect();
        let line =
            json!({"key": path, "last_write": key.last_write, "values": values, "subkeys": names});
        out.push_str(&format!("{line}\n"));
    } else {
        out.push_str(&format!("{path}\n"));
        for value in &key.values {
            let name = match value.name.as_slice() {
                [] => "(Default)".to_owned(),
                name => name_of(name),
            };
            let kind = text::kind_name(value.kind);
            out.push_str(&format!("    {name}    {kind}    {}\n", text::data_text(value)));
        }
        if !subkeys {
            key.subkeys.iter().for_each(|key| out.push_str(&format!("{}\n", below(key))));
        }
    }
    if subkeys {
        key.subkeys.iter().for_each(|key| print_key(&below(key), key, true, as_json, out));
    }
}
