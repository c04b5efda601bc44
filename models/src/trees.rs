//! Trees on a file's fields: from numbers to row numbers. FEATURES.md, pe-1; `*.trees.json` in Rust, equal to the trainer's bit for bit.
//!
//! ```text
//! root[t] ─► node: value[field] <= cut ? left : right ─► … ─► a negative number: leaf, row -1 - number      one row a tree
//! ```
//! A node's children stand after it in the list, or are leaves: so no walk can go round, and how deep a tree is is known, and bounded, before it
//! serves. A file is read strictly, each mistake has its byte, node or tree. A walk allocates nothing. Eight trees are walked side by side: the 300 of the
//! shipped model in 5.3 µs, one after the other in 13.2 (x86-64, a busy machine, the least of 200 rounds over the golden vectors).

use crate::error::{Fault, Refusal};
use serde::Deserialize;

/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Fields of a file's headers at most.
pub const FIELDS_MAX: usize = 64;
/// Trees at most: as many rows has a file.
pub const TREES_MAX: usize = 512;
/// Inner nodes of all trees at most.
pub const NODES_MAX: usize = 1 << 16;
/// Comparisons of one walk at most.
pub const DEPTH_MAX: u32 = 64;
/// Bytes of a field's name at most.
pub const NAME_BYTES_MAX: usize = 64;
/// Fields of a Windows program's headers, in the order in which a client sends them: the feature set `pe-1`.
pub const PE_1: [&str; 49] = [
    "e_cblp",
    "e_cp",
    "e_crlc",
    "e_cparhdr",
    "e_minalloc",
    "e_maxalloc",
    "e_ss",
    "e_sp",
    "e_csum",
    "e_ip",
    "e_cs",
    "e_lfarlc",
    "e_ovno",
    "e_oemid",
    "e_oeminfo",
    "e_lfanew",
    "NumberOfSections",
    "PointerToSymbolTable",
    "NumberOfSymbols",
    "SizeOfOptionalHeader",
    "Magic",
    "MajorLinkerVersion",
    "MinorLinkerVersion",
    "SizeOfCode",
    "SizeOfInitializedData",
    "SizeOfUninitializedData",
    "AddressOfEntryPoint",
    "BaseOfCode",
    "ImageBase",
    "SectionAlignment",
    "FileAlignment",
    "MajorOperatingSystemVersion",
    "MinorOperatingSystemVersion",
    "MajorImageVersion",
    "MinorImageVersion",
    "MajorSubsystemVersion",
    "MinorSubsystemVersion",
    "SizeOfHeaders",
    "CheckSum",
    "SizeOfImage",
    "Subsystem",
    "SizeOfStackReserve",
    "SizeOfStackCommit",
    "SizeOfHeapReserve",
    "SizeOfHeapCommit",
    "LoaderFlags",
    "NumberOfRvaAndSizes",
    "Characteristics",
    "DllCharacteristics",
];
/// Trees that are walked side by side.
const AT_ONCE: usize = 8;
/// Any leaf.
const LEAF: i32 = -2;
/// The value of a field that is not known.
pub const UNKNOWN: i64 = -1;

const _: () = assert!(TREES_MAX <= crate::features::ROWS_MAX);

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fields: Vec<String>,
    root: Vec<i32>,
    field: Vec<u8>,
    cut: Vec<i64>,
    left: Vec<i32>,
    right: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    cut: i64,
    /// Where to go from here: right, and left.
    next: [i32; 2],
    /// Below `FIELDS_MAX`.
    field: u32,
}

/// All trees of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    fields: Vec<String>,
    roots: Vec<i32>,
    nodes: Vec<Node>,
    row_max: u32,
    depth: u32,
}

impl Trees {
    /// Reads a file.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > FILE_BYTES_MAX {
            return Err(Refusal::large(FILE_BYTES_MAX, format!("trees of {} bytes, {FILE_BYTES_MAX} at most", json.len())).within("trees"));
        }
        let file: File = serde_json::from_slice(json)
            .map_err(|error| Refusal::malformed(byte_of(json, error.line(), error.column()), what(&error.to_string())).within("trees"))?;
        names(&file.fields)?;
        within("trees", "`root`", file.root.len(), TREES_MAX)?;
        let count = file.field.len();
        if count > NODES_MAX {
            return Err(Refusal::new(Fault::TooLarge, "trees, `field`", format!("{count} inner nodes, {NODES_MAX} at most")));
        }
        for (name, length) in [("`cut`", file.cut.len()), ("`left`", file.left.len()), ("`right`", file.right.len())] {
            if length != count {
                return Err(Refusal::new(
                    Fault::Malformed,
                    format!("trees, {name}"),
                    format!("{length} numbers, where `field` has {count}"),
                ));
            }
        }
        let nodes = (0..count).map(|at| Node { cut: file.cut[at], next: [file.right[at], file.left[at]], field: file.field[at].into() });
        let mut trees = Self { fields: file.fields, roots: file.root, nodes: nodes.collect(), row_max: 0, depth: 0 };
        trees.check()?;
        Ok(trees)
    }

    /// Children stand after their node, leaves have rows, and no walk is longer than it may be.
    fn check(&mut self) -> Result<(), Refusal> {
        let mut depths = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let wrong = |why: String| Refusal::new(Fault::Malformed, format!("trees, node {at}"), why);
            if node.field as usize >= self.fields.len() {
                return Err(wrong(format!("field {} of {}", node.field, self.fields.len())));
            }
            let mut below = 0;
            for (side, next) in [("right", node.next[0]), ("left", node.next[1])] {
                if (0..=at as i64).contains(&next.into()) {
                    return Err(wrong(format!("{side} is node {next}: a child stands after its node")));
                }
                below = below.max(self.below(next, &depths).map_err(|why| wrong(format!("{side} is {next}: {why}")))?);
            }
            depths[at] = below + 1;
        }
        for (tree, &root) in self.roots.iter().enumerate() {
            let wrong = |fault, why| Refusal::new(fault, format!("trees, tree {tree}"), why);
            let depth = self.below(root, &depths).map_err(|why| wrong(Fault::Malformed, format!("root is {root}: {why}")))?;
            if depth > DEPTH_MAX {
                return Err(wrong(Fault::TooLarge, format!("{depth} comparisons deep, {DEPTH_MAX} at most")));
            }
            self.depth = self.depth.max(depth);
        }
        let leaves = self.nodes.iter().flat_map(|node| node.next).chain(self.roots.iter().copied()).filter(|&next| next < 0);
        self.row_max = leaves.map(row).max().unwrap_or(0);
        Ok(())
    }

    /// How many comparisons lie below a child or root; why it is neither.
    fn below(&self, next: i32, depths: &[u32]) -> Result<u32, String> {
        if next >= 0 {
            return depths.get(next as usize).copied().ok_or_else(|| format!("there are {} nodes", depths.len()));
        }
        match row(next) {
            0 => Err("row 0 is padding, leaves are numbered from 1".to_owned()),
            row if row as usize >= crate::native::ROWS_MAX => Err(format!("row {row}, of at most {}", crate::native::ROWS_MAX - 1)),
            _ => Ok(0),
        }
    }

    /// Whether a client that sends the features of this name sends these fields, in this order.
    ///
    /// # Errors
    /// Features that no client sends, or the first field that is another one.
    pub fn are_of(&self, features: &str) -> Result<(), Refusal> {
        if features != "pe-1" {
            return Err(Refusal::unsupported(
                "features",
                format!("`{}` is no feature set that clients send of files: pe-1", features.escape_debug()),
            ));
        }
        let differs = (0..self.fields.len().max(PE_1.len())).find(|&at| self.fields.get(at).map(String::as_str) != PE_1.get(at).copied());
        match differs {
            None => Ok(()),
            Some(at) => {
                let [got, wanted] = [self.fields.get(at).map(String::as_str), PE_1.get(at).copied()].map(|name| name.unwrap_or("none"));
                Err(Refusal::unsupported("features", format!("field {at} of the trees is {got}, of {features} {wanted}")))
            }
        }
    }

    /// Names of the fields, in the order of their values.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// How many trees there are, which is how many rows a file has.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Inner nodes of all trees.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The largest row that a leaf names: the evaluator must have it.
    pub fn row_max(&self) -> u32 {
        self.row_max
    }

    /// Comparisons of the longest walk.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The rows of a file with these values of its fields: one a tree, in their order. Values that are not there are unknown, those past the last
    /// field are not looked at; of `rows` as many are used as there are trees, or as it has.
    #[inline]
    pub fn rows<'r>(&self, values: &[i64], rows: &'r mut [u32]) -> &'r [u32] {
        let mut known = [UNKNOWN; FIELDS_MAX];
        known.iter_mut().zip(values).take(self.fields.len()).for_each(|(known, &value)| *known = value);
        let count = self.roots.len().min(rows.len());
        for (rows, roots) in rows.chunks_mut(AT_ONCE).zip(self.roots.chunks(AT_ONCE)) {
            let mut at = [LEAF; AT_ONCE];
            at[..roots.len()].copy_from_slice(roots);
            self.walk(&known, &mut at);
            rows.iter_mut().zip(at).take(roots.len()).for_each(|(row_of_tree, leaf)| *row_of_tree = row(leaf));
        }
        &rows[..count]
    }

    /// Leads each to its leaf. Several at once: a walk alone waits for memory at each step, and for a branch that cannot be foreseen at its end.
    #[inline]
    fn walk(&self, known: &[i64; FIELDS_MAX], at: &mut [i32; AT_ONCE]) {
        // Ends: a child stands after its node (`check`), and the list does. Who is at a leaf stays there, and looks at the first node for nothing.
        while at.iter().any(|&at| at >= 0) {
            for at in &mut *at {
                let Some(node) = self.nodes.get((*at).max(0) as usize) else { return };
                let next = node.next[usize::from(known[node.field as usize % FIELDS_MAX] <= node.cut)];
                *at = if *at < 0 { *at } else { next };
            }
        }
    }
}

/// The row of a leaf.
#[inline(always)]
fn row(leaf: i32) -> u32 {
    (-1 - i64::from(leaf)) as u32
}

fn names(fields: &[String]) -> Result<(), Refusal> {
    within("trees", "`fields`", fields.len(), FIELDS_MAX)?;
    for (at, name) in fields.iter().enumerate() {
        let wrong = |why: String| Err(Refusal::new(Fault::Malformed, format!("trees, field {at}"), why));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong(format!("a name is 1 to {NAME_BYTES_MAX} visible ASCII characters"));
        }
        if fields[..at].contains(name) {
            return wrong(format!("`{name}` is there twice"));
        }
    }
    Ok(())
}

fn within(place: &str, what: &str, got: usize, most: usize) -> Result<(), Refusal> {
    let refuse = |fault| Err(Refusal::new(fault, format!("{place}, {what}"), format!("{got} entries, of 1 to {most}")));
    match got {
        0 => refuse(Fault::Malformed),
        _ if got > most => refuse(Fault::TooLarge),
        _ => Ok(()),
    }
}

/// The reader tells lines and columns, in bytes.
fn byte_of(json: &[u8], line: usize, column: usize) -> usize {
    let begins = json.split_inclusive(|&byte| byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    (begins + column.saturating_sub(1)).min(json.len())
}

/// What the reader says, without the place that we tell in bytes, and not longer than a line.
fn what(said: &str) -> String {
    let text = said.rsplit_once(" at line ").map_or(said, |(text, _)| text);
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two fields; tree 0 asks the first, then the second; tree 1 is a leaf.
    const GOOD: &str = r#"{"fields":["a","b"],"root":[0,-5],"field":[0,1],"cut":[10,-1],"left":[1,-4],"right":[-2,-3]}"#;

    fn rows_of(trees: &Trees, values: &[i64]) -> Vec<u32> {
        let mut rows = [0; TREES_MAX];
        trees.rows(values, &mut rows).to_vec()
    }

    #[test]
    fn a_value_that_is_at_most_the_cut_goes_left() {
        let trees = Trees::read(GOOD.as_bytes()).unwrap();
        assert_eq!((trees.trees(), trees.nodes(), trees.row_max(), trees.depth()), (2, 2, 4, 2));
        assert_eq!(trees.fields(), ["a", "b"]);
        assert_eq!(rows_of(&trees, &[11, 0]), [1, 4]);
        assert_eq!(rows_of(&trees, &[10, 0]), [2, 4]);
        assert_eq!(rows_of(&trees, &[10, -1]), [3, 4]);
        assert_eq!(rows_of(&trees, &[i64::MIN, i64::MAX]), [2, 4]);
        assert_eq!(rows_of(&trees, &[5]), [3, 4], "what is not there is unknown");
        assert_eq!(rows_of(&trees, &[]), [3, 4]);
        assert_eq!(rows_of(&trees, &[10, 0, 99, 99]), [2, 4], "what is past the last field is nothing");
        assert_eq!(trees.rows(&[11, 0], &mut [7; 1]), [1], "no more rows than there is room for");
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let refused = |from: &str, to: &str| {
            assert!(GOOD.contains(from));
            Trees::read(GOOD.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(refused("\"left\":[1,", "\"left\":[0,"), "malformed, trees, node 0: left is node 0: a child stands after its node");
        assert_eq!(refused("-4],", "1],"), "malformed, trees, node 1: left is node 1: a child stands after its node");
        assert_eq!(refused("\"left\":[1,", "\"left\":[2,"), "malformed, trees, node 0: left is 2: there are 2 nodes");
        assert_eq!(refused("[0,-5]", "[2,-5]"), "malformed, trees, tree 0: root is 2: there are 2 nodes");
        assert_eq!(refused("[0,-5]", "[0,-1]"), "malformed, trees, tree 1: root is -1: row 0 is padding, leaves are numbered from 1");
        assert_eq!(refused("-3]", "-262145]"), "malformed, trees, node 1: right is -262145: row 262144, of at most 262143");
        assert_eq!(refused("-3]", "-2147483648]"), "malformed, trees, node 1: right is -2147483648: row 2147483647, of at most 262143");
        assert_eq!(refused("\"field\":[0,", "\"field\":[2,"), "malformed, trees, node 0: field 2 of 2");
        assert_eq!(refused("[10,-1]", "[10]"), "malformed, trees, `cut`: 1 numbers, where `field` has 2");
        assert_eq!(refused("[0,-5]", "[]"), "malformed, trees, `root`: 0 entries, of 1 to 512");
        assert_eq!(refused("\"b\"", "\"a\""), "malformed, trees, field 1: `a` is there twice");
        assert_eq!(refused("\"b\"", "\"\\n\""), "malformed, trees, field 1: a name is 1 to 64 visible ASCII characters");
        assert_eq!(refused("[10,-1]", "[10,1.5]"), "malformed at byte 60, trees: invalid type: floating point `1.5`, expected i64");
        assert_eq!(
            refused("\"cut\"", "\"cat\""),
            "malformed at byte 52, trees: unknown field `cat`, expected one of `fields`, `root`, `field`, `cut`, `left`, `right`"
        );
        assert!(refused("}", "").starts_with("malformed at byte "));
        assert!(refused("}", "} {}").contains("trailing characters"));
        assert!(refused("[10,-1]", "[9223372036854775808,-1]").contains("expected i64"));
    }

    #[test]
    fn fields_are_those_that_clients_send() {
        let trees = |names: &[&str]| {
            let names = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
            Trees::read(format!(r#"{{"fields":[{names}],"root":[-2],"field":[],"cut":[],"left":[],"right":[]}}"#).as_bytes()).unwrap()
        };
        assert_eq!(trees(&PE_1).are_of("pe-1"), Ok(()));
        let refused = |names: &[&str], features: &str| trees(names).are_of(features).unwrap_err().to_string();
        assert_eq!(refused(&PE_1, "pe-2"), "unsupported, features: `pe-2` is no feature set that clients send of files: pe-1");
        assert_eq!(refused(&PE_1[..48], "pe-1"), "unsupported, features: field 48 of the trees is none, of pe-1 DllCharacteristics");
        assert_eq!(refused(&["a"], "pe-1"), "unsupported, features: field 0 of the trees is a, of pe-1 e_cblp");
        assert_eq!(refused(&[&PE_1[..], &["more"]].concat(), "pe-1"), "unsupported, features: field 49 of the trees is more, of pe-1 none");
    }

    #[test]
    fn more_than_a_limit_is_refused() {
        let chain = |nodes: usize| {
            let numbers = |of: &dyn Fn(usize) -> i64| (0..nodes).map(|at| of(at).to_string()).collect::<Vec<_>>().join(",");
            let (zeros, leaves) = (numbers(&|_| 0), numbers(&|_| -2));
            let next = numbers(&|at| if at + 1 < nodes { at as i64 + 1 } else { -2 });
            Trees::read(
                format!(r#"{{"fields":["a"],"root":[0],"field":[{zeros}],"cut":[{zeros}],"left":[{leaves}],"right":[{next}]}}"#).as_bytes(),
            )
        };
        assert_eq!(chain(DEPTH_MAX as usize).unwrap().depth(), DEPTH_MAX);
        assert_eq!(chain(65).unwrap_err().to_string(), "too large, trees, tree 0: 65 comparisons deep, 64 at most");
        assert_eq!(chain(NODES_MAX + 1).unwrap_err().to_string(), "too large, trees, `field`: 65537 inner nodes, 65536 at most");
        let many = |fields: usize, trees: usize| {
            let names = (0..fields).map(|at| format!("\"f{at}\"")).collect::<Vec<_>>().join(",");
            let roots = vec!["-2"; trees].join(",");
            Trees::read(format!(r#"{{"fields":[{names}],"root":[{roots}],"field":[],"cut":[],"left":[],"right":[]}}"#).as_bytes())
        };
        assert!(many(FIELDS_MAX, TREES_MAX).is_ok());
        assert_eq!(many(65, 1).unwrap_err().to_string(), "too large, trees, `fields`: 65 entries, of 1 to 64");
        assert_eq!(many(1, 513).unwrap_err().to_string(), "too large, trees, `root`: 513 entries, of 1 to 512");
        assert!(Trees::read(&vec![b' '; FILE_BYTES_MAX + 1]).unwrap_err().to_string().starts_with("too large at byte 4194304, trees: "));
    }
}
