//! What a weight file holds, for people and for programs.

use std::fmt::Write as _;

use partita_model::files::{Array, KindTotal, TensorInfo, Value, WeightFile};
use serde_json::{Map, Number, json};

/// Elements of a long array that are shown.
const FEW: usize = 8;
/// Characters of a long string that are shown.
const SHORT: usize = 120;

/// The report for people: format, metadata, sizes by type and, if wanted, all tensors.
/// Control characters are escaped, so that a hostile file cannot drive the terminal.
pub fn text(file: &WeightFile, tensors: bool) -> String {
    let mut out = String::new();
    let total = file.summary().total;
    let line = |out: &mut String, name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<13}{value}");
    };
    let _ = writeln!(out, "{}", escaped(&file.path().display().to_string()));
    line(&mut out, "format", &file.format().to_string());
    line(&mut out, "tensors", &grouped(total.tensors));
    line(&mut out, "parameters", &grouped(total.parameters));
    line(&mut out, "bytes", &format!("{} ({})", grouped(total.bytes), rounded(total.bytes)));
    if file.undecodable() > 0 {
        let text = format!("{} tensors, of types that are only listed", file.undecodable());
        line(&mut out, "undecodable", &text);
    }

    if !file.metadata().is_empty() {
        let rows = file.metadata().iter().map(|(key, value)| vec![escaped(key), value_text(value)]);
        table(&mut out, "Metadata", &[], &["", ""], rows.collect());
    }
    if !file.aliases().is_empty() {
        let rows = file.aliases().iter().map(|(name, of)| vec![escaped(name), escaped(of)]);
        table(&mut out, "Aliases", &["name", "tensor"], &["", ""], rows.collect());
    }
    if total.tensors > 0 {
        let heads = ["type", "tensors", "parameters", "bytes", "bits each", "of all"];
        let sides = ["", ">", ">", ">", ">", ">"];
        let row = |name: String, t: &KindTotal| {
            let bits = t.bytes as f64 * 8. / t.parameters.max(1) as f64;
            let share = t.bytes as f64 * 100. / total.bytes.max(1) as f64;
            let counts = [t.tensors, t.parameters, t.bytes].map(grouped);
            let [tensors, parameters, bytes] = counts;
            vec![name, tensors, parameters, bytes, format!("{bits:.2}"), format!("{share:.1} %")]
        };
        let summary = file.summary();
        let mut rows: Vec<_> = summary.by_kind.iter().collect();
        rows.sort_by_key(|(_, total)| std::cmp::Reverse(total.bytes));
        let mut rows: Vec<_> = rows.iter().map(|(kind, t)| row(kind.to_string(), t)).collect();
        rows.push(row("total".to_owned(), &total));
        table(&mut out, "Sizes by type", &heads, &sides, rows);
    }
    if tensors {
        let row = |tensor: &TensorInfo| {
            let (name, kind) = (escaped(&tensor.name), tensor.kind.to_string());
            vec![name, kind, format!("{:?}", tensor.shape), grouped(tensor.bytes)]
        };
        let rows = file.tensors().iter().map(row).collect();
        table(&mut out, "Tensors", &["name", "type", "shape", "bytes"], &["", "", "", ">"], rows);
    }
    out
}

/// The same as one JSON object: `file`, `format`, `metadata` (long arrays as
/// `{"type", "length", "first"}`), `aliases`, `summary` (`total` and `by_type` of `tensors`,
/// `parameters`, `bytes`), `undecodable` and, if wanted, `tensors` (`name`, `type`, `shape`,
/// `offset`, `bytes`).
pub fn json(file: &WeightFile, tensors: bool) -> serde_json::Value {
    let total =
        |t: &KindTotal| json!({"tensors": t.tensors, "parameters": t.parameters, "bytes": t.bytes});
    let summary = file.summary();
    let by_type: Map<_, _> =
        summary.by_kind.iter().map(|(kind, t)| (kind.to_string(), total(t))).collect();
    let metadata: Map<_, _> =
        file.metadata().iter().map(|(key, value)| (key.clone(), value_json(value))).collect();
    let mut object = json!({
        "file": file.path().to_string_lossy(),
        "format": file.format().to_string(),
        "metadata": metadata,
        "aliases": file.aliases(),
        "summary": {"total": total(&summary.total), "by_type": by_type},
        "undecodable": file.undecodable(),
    });
    if tensors && let Some(object) = object.as_object_mut() {
        let one = |t: &TensorInfo| {
            json!({
                "name": t.name,
                "type": t.kind.to_string(),
                "shape": t.shape,
                "offset": t.offset,
                "bytes": t.bytes,
            })
        };
        object.insert("tensors".to_owned(), file.tensors().iter().map(one).collect());
    }
    object
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
    let rows: Vec<_> = heads.into_iter().chain(rows).collect();
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
