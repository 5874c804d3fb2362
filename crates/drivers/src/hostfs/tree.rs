//! The tree of a volume: host folders laid over each other, names found without regard to case.
//!
//! Key types: [`Tree`], [`Node`], [`Path`]. A name is looked for in each layer from the top: first as it is written,
//! then by its upper case in a cached list of the folder, which the folder's change time validates. Changes go to the
//! writable layer ([`super::change`]); names deleted from lower layers are hidden ([`super::hidden`]).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;

use abi::NtResult;
use abi::status_table::*;
use ntos::guarded::Guarded;
use ntos::host::files::{HostFolder, HostKind, HostMetadata, Layer, status_of};
use ntos::ustr::{UnicodeString, eq_ignore_case, fold};

use super::hidden::{Hidden, MARKER};
use super::names;

/// Components of a name on the volume; none is the root.
pub type Path = Vec<UnicodeString>;

/// Folder lists kept.
const MAX_LISTS: usize = 512;

/// A layer with its place in components.
pub(super) struct TreeLayer {
    pub(super) at: Path,
    pub(super) folder: Arc<dyn HostFolder>,
    pub(super) writable: bool,
}

/// What a name stands for.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The name in its own case.
    pub path: Path,
    /// The layer it is in; `None` for a folder that exists only because layers are shown beneath it.
    pub layer: Option<usize>,
    /// The name in that layer.
    pub host: Vec<u8>,
    /// Facts.
    pub metadata: HostMetadata,
}

impl Node {
    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.metadata.kind == HostKind::Folder
    }
}

/// The names of one host folder, by upper case.
struct List {
    stamp: u128,
    inode: u64,
    /// The stamp cannot be trusted: it was too new when the list was made.
    recent: bool,
    names: HashMap<UnicodeString, Vec<u8>>,
}

/// The tree of a volume.
pub struct Tree {
    pub(super) layers: Vec<TreeLayer>,
    pub(super) hidden: Guarded<Hidden>,
    lists: Guarded<HashMap<(usize, Vec<u8>), List>>,
}

/// `a\b` as components.
pub fn components(path: &str) -> Path {
    path.split('\\').filter(|part| !part.is_empty()).map(UnicodeString::from).collect()
}

/// Components as a name with a leading backslash.
pub fn join(path: &[UnicodeString]) -> UnicodeString {
    let backslash = u16::from(b'\\');
    if path.is_empty() {
        return UnicodeString(vec![backslash]);
    }
    let mut name = Vec::new();
    for part in path {
        name.push(backslash);
        name.extend_from_slice(part);
    }
    UnicodeString(name)
}

/// True if `path` is `prefix` or beneath it.
pub fn starts_with(path: &[UnicodeString], prefix: &[UnicodeString]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| eq_ignore_case(a, b))
}

/// A host path with one more component.
pub(super) fn host_join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, name].join(&b'/')
}

/// A name found in one layer.
struct Found {
    host: Vec<u8>,
    /// The components beneath the layer, in their own case.
    rest: Path,
    metadata: HostMetadata,
}

/// What becomes of a symbolic link in last place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Links {
    /// The result is what it leads to.
    Follow,
    /// The result is the link.
    Stop,
}

/// How looking for a name in one layer ended.
enum Walk {
    Found(Found),
    Missing {
        /// The folder that would hold it exists.
        in_folder: bool,
    },
}

impl Tree {
    /// Lays folders over each other, top first.
    pub fn new(layers: &[Layer]) -> Self {
        let layers: Vec<TreeLayer> = layers
            .iter()
            .map(|layer| TreeLayer {
                at: components(&layer.at),
                folder: layer.folder.clone(),
                writable: layer.writable,
            })
            .collect();
        let hidden = match (layers.iter().find(|l| l.writable), layers.iter().any(|l| !l.writable))
        {
            (Some(upper), true) => Hidden::load(&*upper.folder),
            _ => Hidden::default(),
        };
        Tree { layers, hidden: Guarded::new(hidden), lists: Guarded::default() }
    }

    /// The folder of a node's layer.
    pub(super) fn folder(&self, layer: usize) -> NtResult<&Arc<dyn HostFolder>> {
        Ok(&self.layers.get(layer).ok_or(STATUS_INTERNAL_ERROR)?.folder)
    }

    /// True if the guest's changes can be kept in that place.
    pub fn is_writable(&self, path: &[UnicodeString]) -> bool {
        self.layers.iter().any(|layer| layer.writable && starts_with(path, &layer.at))
    }

    /// Finds what a name stands for.
    ///
    /// `STATUS_OBJECT_NAME_NOT_FOUND` if its folder exists, `STATUS_OBJECT_PATH_NOT_FOUND` if not even that.
    pub fn find(&self, path: &[UnicodeString]) -> NtResult<Node> {
        self.find_by(path, Links::Follow)
    }

    /// [`Tree::find`] that stops at a symbolic link in last place.
    pub fn find_link(&self, path: &[UnicodeString]) -> NtResult<Node> {
        self.find_by(path, Links::Stop)
    }

    fn find_by(&self, path: &[UnicodeString], links: Links) -> NtResult<Node> {
        let mut first_error = None;
        let mut in_folder = false;
        for index in 0..self.layers.len() {
            match self.find_in(index, path, links) {
                Ok(Walk::Found(found)) => return Ok(self.node(index, path, found)),
                Ok(Walk::Missing { in_folder: folder }) => in_folder |= folder,
                Err(status) => first_error = first_error.or(Some(status)),
            }
        }
        if let Some(status) = first_error {
            return Err(status);
        }
        // A folder that a layer is shown beneath exists even if no host folder stands for it.
        if let Some(layer) = self.layer_beneath(path) {
            let kind = HostKind::Folder;
            let metadata = HostMetadata { kind, links: 1, ..HostMetadata::default() };
            let path = layer.at.iter().take(path.len()).cloned().collect();
            return Ok(Node { path, layer: None, host: Vec::new(), metadata });
        }
        let parent = path.split_last().map(|(_, parent)| parent).unwrap_or_default();
        if in_folder || self.layer_beneath(parent).is_some() {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        Err(STATUS_OBJECT_PATH_NOT_FOUND)
    }

    /// A layer that is shown somewhere beneath a name.
    fn layer_beneath(&self, path: &[UnicodeString]) -> Option<&TreeLayer> {
        let beneath = |l: &&TreeLayer| l.at.len() > path.len() && starts_with(&l.at, path);
        self.layers.iter().find(beneath)
    }

    fn node(&self, index: usize, path: &[UnicodeString], found: Found) -> Node {
        let at = self.layers.get(index).map(|layer| layer.at.as_slice()).unwrap_or_default();
        debug_assert!(starts_with(path, at));
        let path = at.iter().cloned().chain(found.rest).collect();
        Node { path, layer: Some(index), host: found.host, metadata: found.metadata }
    }

    /// Where a folder is in each layer that has it.
    pub(super) fn folders(&self, path: &[UnicodeString]) -> Vec<(usize, Vec<u8>)> {
        let mut folders = Vec::new();
        for index in 0..self.layers.len() {
            if let Ok(Walk::Found(found)) = self.find_in(index, path, Links::Follow)
                && found.metadata.kind == HostKind::Folder
            {
                folders.push((index, found.host));
            }
        }
        folders
    }

    /// True if a layer that cannot be written has the name.
    pub(super) fn is_in_lower(&self, path: &[UnicodeString]) -> bool {
        let lower = |index: &usize| self.layers.get(*index).is_some_and(|layer| !layer.writable);
        let mut indices = (0..self.layers.len()).filter(lower);
        indices.any(|index| matches!(self.find_in(index, path, Links::Stop), Ok(Walk::Found(_))))
    }

    /// The name in one layer: its host path and facts.
    pub(super) fn host_path(
        &self,
        index: usize,
        path: &[UnicodeString],
    ) -> NtResult<Option<(Vec<u8>, HostMetadata)>> {
        match self.find_in(index, path, Links::Follow)? {
            Walk::Found(found) => Ok(Some((found.host, found.metadata))),
            Walk::Missing { .. } => Ok(None),
        }
    }

    fn find_in(&self, index: usize, path: &[UnicodeString], links: Links) -> NtResult<Walk> {
        let nowhere = Walk::Missing { in_folder: false };
        let Some(layer) = self.layers.get(index) else { return Ok(nowhere) };
        if !starts_with(path, &layer.at) || (!layer.writable && self.hidden.open().hides(path)) {
            return Ok(nowhere);
        }
        let rest = path.get(layer.at.len()..).unwrap_or_default();
        self.walk(index, &*layer.folder, rest, links)
    }

    /// The name as it is written, else its last component by upper case in the folder that holds it.
    fn walk(
        &self,
        index: usize,
        folder: &dyn HostFolder,
        rest: &[UnicodeString],
        links: Links,
    ) -> NtResult<Walk> {
        let look = |host: &[u8]| match links {
            Links::Follow => folder.metadata(host),
            Links::Stop => folder.link_metadata(host),
        };
        let (nowhere, no_name) =
            (Walk::Missing { in_folder: false }, Walk::Missing { in_folder: true });
        let mut host = Vec::new();
        for part in rest {
            let Some(name) = names::to_host(part) else { return Ok(nowhere) };
            host = host_join(&host, &name);
        }
        if host == MARKER {
            return Ok(no_name);
        }
        match look(&host) {
            Ok(metadata) => return Ok(Walk::Found(Found { host, rest: rest.to_vec(), metadata })),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => {}
                // A link that leads out of the volume, or in a circle.
                ErrorKind::CrossesDevices => return Err(STATUS_ACCESS_DENIED),
                _ => return Err(status_of(&error)),
            },
        }
        let Some((last, parents)) = rest.split_last() else { return Ok(nowhere) };
        let Walk::Found(parent) = self.walk(index, folder, parents, Links::Follow)? else {
            return Ok(nowhere);
        };
        if parent.metadata.kind != HostKind::Folder {
            return Ok(nowhere);
        }
        let Some(name) = self.name_in(index, folder, &parent, &fold(last)) else {
            return Ok(no_name);
        };
        let host = host_join(&parent.host, &name);
        if host == MARKER {
            return Ok(no_name);
        }
        match look(&host) {
            Ok(metadata) => {
                let mut rest = parent.rest;
                rest.push(UnicodeString(names::from_host(&name)));
                Ok(Walk::Found(Found { host, rest, metadata }))
            }
            Err(_) => Ok(no_name),
        }
    }

    /// The host's spelling of a name in a folder.
    fn name_in(
        &self,
        index: usize,
        folder: &dyn HostFolder,
        parent: &Found,
        folded: &UnicodeString,
    ) -> Option<Vec<u8>> {
        let key = (index, parent.host.clone());
        let mut lists = self.lists.open();
        if let Some(list) = lists.get(&key)
            && list.stamp == parent.metadata.change_stamp
            && list.inode == parent.metadata.inode
            && !list.recent
        {
            return list.names.get(folded).cloned();
        }
        let entries = folder.list(&parent.host).ok()?;
        let mut names = HashMap::with_capacity(entries.len());
        for entry in entries {
            let name = fold(&names::from_host(&entry.name));
            names.entry(name).or_insert(entry.name);
        }
        let found = names.get(folded).cloned();
        if lists.len() >= MAX_LISTS {
            lists.clear();
        }
        let HostMetadata { change_stamp: stamp, inode, recent, .. } = parent.metadata;
        lists.insert(key, List { stamp, inode, recent, names });
        found
    }

    /// Keeps a folder's cached list right after a change of our own.
    pub(super) fn changed(&self, index: usize, host: &[u8], added: bool) {
        let (folder_path, name) = match host.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (host.get(..slash), host.get(slash + 1..)),
            None => (Some(&b""[..]), Some(host)),
        };
        let (folder_path, name) = (folder_path.unwrap_or_default(), name.unwrap_or_default());
        let key = (index, folder_path.to_vec());
        let mut lists = self.lists.open();
        let Some(list) = lists.get_mut(&key) else { return };
        let metadata = self.layers.get(index).and_then(|l| l.folder.metadata(folder_path).ok());
        let Some(metadata) = metadata else {
            lists.remove(&key);
            return;
        };
        let folded = fold(&names::from_host(name));
        if added {
            list.names.entry(folded).or_insert_with(|| name.to_vec());
        } else if list.names.get(&folded).is_some_and(|known| known == name) {
            // Another name may differ in case alone: the next lookup lists again.
            lists.remove(&key);
            return;
        }
        // What is in the list now is what this change left, so the stamp counts however new it is.
        list.stamp = metadata.change_stamp;
        list.inode = metadata.inode;
        list.recent = false;
    }

    /// Forgets the lists of a folder and of everything beneath it: it was renamed or removed.
    pub(super) fn forget(&self, index: usize, host: &[u8]) {
        let beneath = [host, b"/"].concat();
        self.lists.open().retain(|(layer, path), _| {
            *layer != index || (path != host && !path.starts_with(&beneath))
        });
    }

    /// Facts about a node now.
    pub fn metadata(&self, node: &Node) -> NtResult<HostMetadata> {
        let Some(layer) = node.layer else { return Ok(node.metadata) };
        let folder = self.folder(layer)?;
        let found = match node.metadata.link {
            true => folder.link_metadata(&node.host),
            false => folder.metadata(&node.host),
        };
        found.map_err(|error| status_of(&error))
    }

    /// What a folder holds of the names that `shows` selects, all layers merged; not sorted.
    pub fn list(
        &self,
        path: &[UnicodeString],
        shows: impl Fn(&[u16]) -> bool,
    ) -> NtResult<Vec<Node>> {
        let mut all: Vec<Node> = Vec::new();
        let child = |name: &UnicodeString| -> Path { path.iter().chain([name]).cloned().collect() };
        let mut seen: HashMap<UnicodeString, usize> = HashMap::new();
        let folders = self.folders(path);
        let many = folders.len() > 1;
        for (index, host) in folders {
            let Some(layer) = self.layers.get(index) else { continue };
            let entries = layer.folder.list(&host).map_err(|error| status_of(&error))?;
            let (mut wanted, mut units) = (Vec::new(), Vec::new());
            for entry in entries {
                if entry.kind == HostKind::Other || (host.is_empty() && entry.name == MARKER) {
                    continue;
                }
                let name = UnicodeString(names::from_host(&entry.name));
                if !shows(&name) || self.is_hidden_child(layer, path, &name) {
                    continue;
                }
                if many && seen.get(&name.folded()).is_some_and(|layer| *layer < index) {
                    continue;
                }
                seen.insert(name.folded(), index);
                wanted.push(entry.name);
                units.push(name);
            }
            let metadata = layer.folder.list_metadata(&host, &wanted);
            for (at, metadata) in metadata.map_err(|error| status_of(&error))? {
                if metadata.kind != HostKind::Other
                    && let (Some(name), Some(on_host)) = (units.get(at), wanted.get(at))
                {
                    let host = host_join(&host, on_host);
                    all.push(Node { path: child(name), layer: Some(index), host, metadata });
                }
            }
        }
        for layer in &self.layers {
            let beneath = layer.at.len() > path.len() && starts_with(&layer.at, path);
            let Some(name) = layer.at.get(path.len()).filter(|name| beneath && shows(name)) else {
                continue;
            };
            if seen.insert(name.folded(), usize::MAX).is_none() {
                all.push(self.find(&child(name))?);
            }
        }
        Ok(all)
    }

    fn is_hidden_child(
        &self,
        layer: &TreeLayer,
        path: &[UnicodeString],
        name: &UnicodeString,
    ) -> bool {
        let hidden = self.hidden.open();
        if layer.writable || hidden.is_empty() {
            return false;
        }
        let child: Path = path.iter().chain([name]).cloned().collect();
        hidden.hides(&child)
    }
}
