//! The tables that all threads share: stacks as a tree, frames, functions, source files, libraries, strings.

use std::borrow::Cow;

use hashbrown::HashMap;
use serde::Serialize;

use crate::profile::frames;
use crate::profile::ids::{FunctionId, LocationId, MappingId};
use crate::profile::model::Profile;

/// An object file, by the mapping it stands for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lib<'a> {
    name: &'a str,
    path: &'a str,
    debug_name: &'a str,
    debug_path: &'a str,
    breakpad_id: String,
    code_id: Option<&'a str>,
    arch: Option<&'a str>,
}

/// Distinct files among the mappings.
pub(super) struct Libs<'a> {
    pub(super) list: Vec<Lib<'a>>,
    /// By mapping.
    of_mapping: Vec<Option<u32>>,
}

impl<'a> Libs<'a> {
    pub(super) fn of(profile: &'a Profile) -> Self {
        let mut seen = HashMap::new();
        let mut list = Vec::new();
        let of_mapping = profile.mappings().iter().map(|m| {
            let (path, build_id) = (profile.str(m.file), profile.str(m.build_id));
            if path.is_empty() {
                return None;
            }
            Some(*seen.entry((path, build_id)).or_insert_with(|| {
                let name = path.rsplit('/').next().unwrap_or(path);
                list.push(Lib {
                    name,
                    path,
                    debug_name: name,
                    debug_path: path,
                    breakpad_id: breakpad_id(build_id).unwrap_or_default(),
                    code_id: Some(build_id).filter(|id| !id.is_empty()),
                    arch: None,
                });
                list.len() as u32 - 1
            }))
        });
        let of_mapping = of_mapping.collect();
        Self { list, of_mapping }
    }
}

/// The first sixteen bytes of a build id as a GUID, whose first three parts are little-endian, and the age 0.
fn breakpad_id(build_id: &str) -> Option<String> {
    let byte = |i: usize| u8::from_str_radix(build_id.get(2 * i..2 * i + 2)?, 16).ok();
    let mut id = String::new();
    for i in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] {
        id.push_str(&format!("{:02X}", byte(i)?));
    }
    Some(id + "0")
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct StackTable {
    length: usize,
    frame: Vec<u32>,
    prefix: Vec<Option<u32>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FrameTable {
    length: usize,
    address: Vec<i64>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    func: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<u32>,
    line: Vec<Option<i64>>,
    column: Vec<Option<i64>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FuncTable {
    length: usize,
    name: Vec<u32>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    /// -1 for none.
    resource: Vec<i64>,
    source: Vec<Option<u32>>,
    line_number: Vec<Option<i64>>,
    column_number: Vec<Option<i64>>,
}

#[derive(Serialize, Default)]
struct Sources {
    length: usize,
    uuid: Vec<Option<u32>>,
    filename: Vec<u32>,
}

#[derive(Serialize, Default)]
struct ResourceTable {
    length: usize,
    lib: Vec<u32>,
    name: Vec<u32>,
    host: Vec<Option<u32>>,
    r#type: Vec<u32>,
}

/// The type of a resource that is a library.
const LIBRARY: u32 = 1;

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: usize,
    lib_index: Vec<u32>,
    address: Vec<i64>,
    name: Vec<u32>,
    function_size: Vec<Option<u32>>,
}

#[derive(PartialEq, Eq, Hash)]
enum FuncKey {
    Function(FunctionId, Option<u32>),
    Address(LocationId),
}

/// The tables while they are filled, and as they are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shared<'a> {
    stack_table: StackTable,
    frame_table: FrameTable,
    func_table: FuncTable,
    sources: Sources,
    resource_table: ResourceTable,
    native_symbols: NativeSymbols,
    string_array: Vec<Cow<'a, str>>,
    #[serde(skip)]
    profile: &'a Profile,
    #[serde(skip)]
    libs: Vec<Option<u32>>,
    #[serde(skip)]
    strings: HashMap<&'a str, u32>,
    #[serde(skip)]
    files: HashMap<&'a str, u32>,
    #[serde(skip)]
    funcs: HashMap<FuncKey, u32>,
    /// By function, line and depth.
    #[serde(skip)]
    frames: HashMap<(u32, i64, u32), u32>,
    /// By prefix and frame.
    #[serde(skip)]
    stacks: HashMap<(Option<u32>, u32), u32>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(profile: &'a Profile, libs: &Libs<'a>) -> Self {
        let mut shared = Self {
            stack_table: StackTable::default(),
            frame_table: FrameTable::default(),
            func_table: FuncTable::default(),
            sources: Sources::default(),
            resource_table: ResourceTable::default(),
            native_symbols: NativeSymbols::default(),
            string_array: Vec::new(),
            profile,
            libs: libs.of_mapping.clone(),
            strings: HashMap::new(),
            files: HashMap::new(),
            funcs: HashMap::new(),
            frames: HashMap::new(),
            stacks: HashMap::new(),
        };
        for (lib, index) in libs.list.iter().zip(0..) {
            let name = shared.string(lib.name);
            let table = &mut shared.resource_table;
            table.lib.push(index);
            table.name.push(name);
            table.host.push(None);
            table.r#type.push(LIBRARY);
        }
        shared
    }

    /// The node of a stack; `None` for the empty one.
    pub(super) fn stack(&mut self, leaf_first: &[LocationId]) -> Option<u32> {
        let mut node = None;
        for &id in leaf_first.iter().rev() {
            let location = self.profile.location(id);
            if location.lines.is_empty() {
                let func = self.func(FuncKey::Address(id), location.mapping);
                node = Some(self.node(node, func, 0, 0));
            }
            for (line, depth) in location.lines.iter().rev().zip(0..) {
                let lib = self.lib(location.mapping);
                let func = self.func(FuncKey::Function(line.function, lib), location.mapping);
                node = Some(self.node(node, func, line.line, depth));
            }
        }
        node
    }

    fn node(&mut self, prefix: Option<u32>, func: u32, line: i64, depth: u32) -> u32 {
        let table = &mut self.frame_table;
        let frame = *self.frames.entry((func, line, depth)).or_insert_with(|| {
            table.address.push(-1);
            table.inline_depth.push(depth);
            table.category.push(0);
            table.subcategory.push(0);
            table.func.push(func);
            table.native_symbol.push(None);
            table.inner_window_id.push(0);
            table.line.push(Some(line).filter(|&l| l > 0));
            table.column.push(None);
            table.func.len() as u32 - 1
        });
        let table = &mut self.stack_table;
        *self.stacks.entry((prefix, frame)).or_insert_with(|| {
            table.frame.push(frame);
            table.prefix.push(prefix);
            table.frame.len() as u32 - 1
        })
    }

    fn lib(&self, mapping: Option<MappingId>) -> Option<u32> {
        self.libs.get(mapping?.index()).copied().flatten()
    }

    fn func(&mut self, key: FuncKey, mapping: Option<MappingId>) -> u32 {
        if let Some(&func) = self.funcs.get(&key) {
            return func;
        }
        let profile = self.profile;
        let (name, source, start_line) = match key {
            FuncKey::Function(id, _) => {
                let function = profile.function(id);
                let file = profile.str(function.file);
                (self.string(profile.str(function.name)), self.source(file), function.start_line)
            }
            FuncKey::Address(id) => {
                self.string_array.push(frames::address_name(profile, id).into());
                (self.string_array.len() as u32 - 1, None, 0)
            }
        };
        let resource = self.lib(mapping).map_or(-1, i64::from);
        let table = &mut self.func_table;
        table.name.push(name);
        table.is_js.push(false);
        table.relevant_for_js.push(false);
        table.resource.push(resource);
        table.source.push(source);
        table.line_number.push(Some(start_line).filter(|&l| l > 0));
        table.column_number.push(None);
        let func = table.name.len() as u32 - 1;
        self.funcs.insert(key, func);
        func
    }

    fn source(&mut self, file: &'a str) -> Option<u32> {
        if file.is_empty() {
            return None;
        }
        if let Some(&source) = self.files.get(file) {
            return Some(source);
        }
        let name = self.string(file);
        self.sources.uuid.push(None);
        self.sources.filename.push(name);
        let source = self.sources.filename.len() as u32 - 1;
        self.files.insert(file, source);
        Some(source)
    }

    fn string(&mut self, text: &'a str) -> u32 {
        let array = &mut self.string_array;
        *self.strings.entry(text).or_insert_with(|| {
            array.push(text.into());
            array.len() as u32 - 1
        })
    }

    /// For each node its place when the tree is walked from the root, children in the order of their making.
    pub(super) fn depth_first_order(&self) -> Vec<u32> {
        let prefix = &self.stack_table.prefix;
        // A node is made after its prefix: sizes add up from the end, places from the start.
        let mut size = vec![1u32; prefix.len()];
        for (node, prefix) in prefix.iter().enumerate().rev() {
            let own = size.get(node).copied().unwrap_or(0);
            if let Some(parent) = prefix.and_then(|p| size.get_mut(p as usize)) {
                *parent += own;
            }
        }
        // Where the next child of a node goes.
        let mut free = vec![0u32; prefix.len()];
        let mut next_root = 0;
        let mut order = Vec::with_capacity(prefix.len());
        for (prefix, own) in prefix.iter().zip(&size) {
            let slot = prefix.and_then(|p| free.get_mut(p as usize)).unwrap_or(&mut next_root);
            let place = *slot;
            *slot += own;
            if let Some(free) = free.get_mut(order.len()) {
                *free = place + 1;
            }
            order.push(place);
        }
        order
    }

    /// Ready to be written.
    pub(super) fn finish(mut self) -> Self {
        self.stack_table.length = self.stack_table.frame.len();
        self.frame_table.length = self.frame_table.func.len();
        self.func_table.length = self.func_table.name.len();
        self.sources.length = self.sources.filename.len();
        self.resource_table.length = self.resource_table.name.len();
        self.native_symbols.length = self.native_symbols.name.len();
        self
    }
}
