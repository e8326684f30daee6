//! What a file of weights or a graph holds, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use partita_model::files::{Array, TensorInfo, Value, WeightFile};
use serde_json::{Map, Number, json};

use crate::onnx::{OnnxFile, OnnxTensor, Port};
use crate::side::is_graph;

/// Elements of a long array that are shown.
const FEW: usize = 8;
/// Characters of a long string that are shown.
const SHORT: usize = 120;
/// Characters of a table's cell that are shown.
const WIDEST: usize = 200;

/// A file's content, whatever its format.
#[derive(Debug)]
pub struct Listing {
    path: PathBuf,
    format: String,
    metadata: BTreeMap<String, Value>,
    aliases: BTreeMap<String, String>,
    tensors: Vec<Listed>,
    /// Tensors of types that are only listed.
    undecodable: usize,
    graph: Option<Graph>,
}

/// What only graphs have.
#[derive(Debug)]
struct Graph {
    /// What it takes and gives.
    ports: [Vec<Port>; 2],
    /// How often each operator occurs.
    operators: BTreeMap<String, u64>,
}

/// A tensor.
#[derive(Debug)]
struct Listed {
    name: String,
    kind: String,
    shape: Vec<u64>,
    offset: Option<u64>,
    bytes: u64,
}

/// Totals of some tensors.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    tensors: u64,
    parameters: u64,
    bytes: u64,
}

impl Listing {
    /// Looks into a file, or a folder of weights; formats are told apart by content.
    ///
    /// # Errors
    /// When it cannot be read, is of no known format, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self> {
        match is_graph(path) {
            true => Ok(Self::of_graph(path, OnnxFile::open(path)?)),
            false => Ok(Self::of_weights(&WeightFile::open(path)?)),
        }
    }

    fn of_weights(file: &WeightFile) -> Self {
        let listed = |tensor: &TensorInfo| Listed {
            name: tensor.name.clone(),
            kind: tensor.kind.to_string(),
            shape: tensor.shape.iter().map(|&dim| dim as u64).collect(),
            offset: Some(tensor.offset),
            bytes: tensor.bytes,
        };
        Self {
            path: file.path().to_owned(),
            format: file.format().to_string(),
            metadata: file.metadata().clone(),
            aliases: file.aliases().clone(),
            tensors: file.tensors().iter().map(listed).collect(),
            undecodable: file.undecodable(),
            graph: None,
        }
    }

    fn of_graph(path: &Path, file: OnnxFile) -> Self {
        let metadata = file.metadata();
        let listed = |tensor: OnnxTensor| {
            let OnnxTensor { name, kind, shape, offset, bytes, .. } = tensor;
            Listed { name, kind, shape, offset, bytes }
        };
        Self {
            path: path.to_owned(),
            format: format!("ONNX, IR version {}", file.ir_version),
            metadata,
            aliases: BTreeMap::new(),
            tensors: file.tensors.into_iter().map(listed).collect(),
            undecodable: 0,
            graph: Some(Graph { ports: [file.inputs, file.outputs], operators: file.operators }),
        }
    }

    /// Over all tensors, and by type.
    fn totals(&self) -> (Total, BTreeMap<&str, Total>) {
        let (mut all, mut by_kind) = (Total::default(), BTreeMap::<&str, Total>::new());
        for tensor in &self.tensors {
            for total in [&mut all, by_kind.entry(&tensor.kind).or_default()] {
                total.tensors += 1;
                let elements = tensor.shape.iter().fold(1u64, |all, &dim| all.saturating_mul(dim));
                total.parameters = total.parameters.saturating_add(elements);
                total.bytes = total.bytes.saturating_add(tensor.bytes);
            }
        }
        (all, by_kind)
    }

    /// The report for people: format, metadata, sizes by type, what a graph takes and gives and,
    /// if wanted, all tensors. Control characters are escaped, so that a hostile file cannot drive
    /// the terminal.
    pub fn text(&self, tensors: bool) -> String {
        let mut out = String::new();
        let (total, by_kind) = self.totals();
        let line = |out: &mut String, name: &str, value: &str| {
            let _ = writeln!(out, "  {name:<13}{value}");
        };
        let _ = writeln!(out, "{}", escaped(&self.path.display().to_string()));
        line(&mut out, "format", &self.format);
        line(&mut out, "tensors", &grouped(total.tensors));
        line(&mut out, "parameters", &grouped(total.parameters));
        line(&mut out, "bytes", &format!("{} ({})", grouped(total.bytes), rounded(total.bytes)));
        if self.undecodable > 0 {
            let text = format!("{} tensors, of types that are only listed", self.undecodable);
            line(&mut out, "undecodable", &text);
        }
        if !self.metadata.is_empty() {
            let rows = self.metadata.iter().map(|(key, v)| vec![escaped(key), value_text(v)]);
            table(&mut out, "Metadata", &[], &["", ""], rows.collect());
        }
        if !self.aliases.is_empty() {
            let rows = self.aliases.iter().map(|(name, of)| vec![escaped(name), escaped(of)]);
            table(&mut out, "Aliases", &["name", "tensor"], &["", ""], rows.collect());
        }
        if let Some(Graph { ports, operators }) = &self.graph {
            for (title, ports) in ["Inputs", "Outputs"].into_iter().zip(ports) {
                let row = |port: &Port| [&port.name, &port.kind, &port.shape].map(|t| escaped(t));
                let rows = ports.iter().map(|port| row(port).to_vec()).collect();
                table(&mut out, title, &["name", "type", "shape"], &["", "", ""], rows);
            }
            let mut rows: Vec<_> = operators.iter().collect();
            rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let rows = rows.into_iter().map(|(name, &count)| vec![escaped(name), grouped(count)]);
            table(&mut out, "Operators", &["name", "nodes"], &["", ">"], rows.collect());
        }
        if total.tensors > 0 {
            let heads = ["type", "tensors", "parameters", "bytes", "bits each", "of all"];
            let sides = ["", ">", ">", ">", ">", ">"];
            let row = |name: &str, t: &Total| {
                let bits = t.bytes as f64 * 8. / t.parameters.max(1) as f64;
                let share = t.bytes as f64 * 100. / total.bytes.max(1) as f64;
                let [count, parameters, bytes] = [t.tensors, t.parameters, t.bytes].map(grouped);
                let (bits, share) = (format!("{bits:.2}"), format!("{share:.1} %"));
                vec![name.to_owned(), count, parameters, bytes, bits, share]
            };
            let mut rows: Vec<_> = by_kind.iter().collect();
            rows.sort_by_key(|(_, total)| std::cmp::Reverse(total.bytes));
            let mut rows: Vec<_> = rows.iter().map(|(kind, t)| row(kind, t)).collect();
            rows.push(row("total", &total));
            table(&mut out, "Sizes by type", &heads, &sides, rows);
        }
        if tensors {
            let row = |tensor: &Listed| {
                let (name, kind) = (escaped(&tensor.name), tensor.kind.clone());
                vec![name, kind, format!("{:?}", tensor.shape), grouped(tensor.bytes)]
            };
            let rows = self.tensors.iter().map(row).collect();
            let heads = ["name", "type", "shape", "bytes"];
            table(&mut out, "Tensors", &heads, &["", "", "", ">"], rows);
        }
        out
    }

    /// The same as one JSON object: `file`, `format`, `metadata` (long arrays as
    /// `{"type", "length", "first"}`), `aliases`, `summary` (`total` and `by_type` of `tensors`,
    /// `parameters`, `bytes`), `undecodable`; of a graph `inputs` and `outputs` (`name`, `type`,
    /// `shape`) and `operators`; and, if wanted, `tensors` (`name`, `type`, `shape`, `offset`,
    /// `bytes`).
    pub fn json(&self, tensors: bool) -> serde_json::Value {
        let total =
            |t: &Total| json!({"tensors": t.tensors, "parameters": t.parameters, "bytes": t.bytes});
        let (all, by_kind) = self.totals();
        let by_type: Map<_, _> =
            by_kind.iter().map(|(kind, t)| ((*kind).to_owned(), total(t))).collect();
        let metadata: Map<_, _> =
            self.metadata.iter().map(|(key, value)| (key.clone(), value_json(value))).collect();
        let mut object = json!({
            "file": self.path.to_string_lossy(),
            "format": self.format,
            "metadata": metadata,
            "aliases": self.aliases,
            "summary": {"total": total(&all), "by_type": by_type},
            "undecodable": self.undecodable,
        });
        let Some(fields) = object.as_object_mut() else { return object };
        if let Some(Graph { ports, operators }) = &self.graph {
            for (name, ports) in ["inputs", "outputs"].into_iter().zip(ports) {
                let one = |port: &Port| json!({"name": port.name, "type": port.kind, "shape": port.shape});
                fields.insert(name.to_owned(), ports.iter().map(one).collect());
            }
            fields.insert("operators".to_owned(), json!(operators));
        }
        if tensors {
            let one = |t: &Listed| {
                json!({
                    "name": t.name,
                    "type": t.kind,
                    "shape": t.shape,
                    "offset": t.offset,
                    "bytes": t.bytes,
                })
            };
            fields.insert("tensors".to_owned(), self.tensors.iter().map(one).collect());
        }
        object
    }
}

pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Bool(v) => v.to_string(),
        Value::Array(array) => {
            let items: Vec<_> = (0..array.len().min(FEW)).filter_map(|i| array.get(i)).collect();
            let items: Vec<_> = items.iter().map(value_text).collect();
            let more = if array.len() > FEW { ", …" } else { "" };
            format!("[{} {}] {}{more}", array.len(), array.type_name(), items.join(", "))
        }
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        integer => value_json(integer).to_string(),
    }
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::U8(v) => (*v).into(),
        Value::I8(v) => (*v).into(),
        Value::U16(v) => (*v).into(),
        Value::I16(v) => (*v).into(),
        Value::U32(v) => (*v).into(),
        Value::I32(v) => (*v).into(),
        Value::U64(v) => (*v).into(),
        Value::I64(v) => (*v).into(),
        // By way of its shortest decimal form: 1e-6, not 9.999999974752427e-7.
        Value::F32(v) => v.to_string().parse().ok().and_then(Number::from_f64).into(),
        Value::F64(v) => Number::from_f64(*v).into(),
        Value::Bool(v) => (*v).into(),
        Value::String(v) => v.as_str().into(),
        Value::Array(array) => array_json(array),
    }
}

fn array_json(array: &Array) -> serde_json::Value {
    let first = |count| -> serde_json::Value {
        (0..count).filter_map(|i| array.get(i)).map(|value| value_json(&value)).collect()
    };
    if array.len() > FEW {
        json!({"type": array.type_name(), "length": array.len(), "first": first(FEW)})
    } else {
        first(array.len())
    }
}

/// Control characters escaped, everything else as it is.
pub(crate) fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

fn quoted(text: &str) -> String {
    let start: String = text.chars().take(SHORT).collect();
    if start.len() == text.len() {
        return format!("\"{}\"", escaped(text));
    }
    format!("\"{}…\" ({} bytes)", escaped(&start), grouped(text.len() as u64))
}

/// 253113024 as `253,113,024`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn rounded(bytes: u64) -> String {
    match bytes as f64 {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} kB", b / 1e3),
    }
}

/// A titled table; a column of side `>` is set flush right. The last column, if flush left, is
/// not padded.
pub(crate) fn table(
    out: &mut String,
    title: &str,
    heads: &[&str],
    sides: &[&str],
    rows: Vec<Vec<String>>,
) {
    let heads: Vec<Vec<String>> = match heads {
        [] => Vec::new(),
        heads => vec![heads.iter().map(|head| (*head).to_owned()).collect()],
    };
    // A column is as wide as its widest cell: a name without end must not widen every row.
    let cut = |cell: String| match cell.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell,
    };
    let rows = rows.into_iter().map(|row| row.into_iter().map(cut).collect());
    let rows: Vec<Vec<String>> = heads.into_iter().chain(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..sides.len()).map(|column| width(column).unwrap_or(0)).collect();
    let _ = writeln!(out, "\n  {title}");
    for row in &rows {
        let mut line = String::from("  ");
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            let _ = match *side {
                ">" => write!(line, "  {cell:>width$}"),
                _ => write!(line, "  {cell:<width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
