//! What differs between two files of weights or graphs: names, types, shapes, and by how much values do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use partita_model::files::{Array, Value};
use rayon::prelude::*;
use serde::Serialize;

use crate::inspect::{escaped, grouped, table, value_text};
use crate::side::{Entry, Side};

/// Elements of each file that are decoded at a time, at least a row.
const AT_ONCE: usize = 1 << 18;
/// Rows of a list that are shown unless all are wanted.
const FEW: usize = 20;

/// What differs, the first file's side before the second's.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The files.
    pub files: [String; 2],
    /// Keys that one has alone.
    pub keys_only_in: [Vec<String>; 2],
    /// Keys that both have with other values.
    pub keys: Vec<Key>,
    /// Tensors that one has alone.
    pub tensors_only_in: [Vec<String>; 2],
    /// Tensors that both have.
    pub tensors: Vec<Compared>,
}

/// A key with two values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its values as text, long ones cut.
    pub values: [String; 2],
}

/// A tensor that both files have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// In PyTorch order.
    pub shapes: [Vec<usize>; 2],
    /// As they are stored.
    pub types: [String; 2],
    /// Whether shape, type and bytes are the same.
    pub same: bool,
    /// How far values are apart; absent for other shapes, and for types that are only listed.
    pub gap: Option<Gap>,
}

/// How far the values of two tensors are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gap {
    /// The largest difference.
    pub most: f64,
    /// The difference's root mean square over that of the first tensor.
    pub relative: f64,
    /// Cosine of the angle between the tensors as vectors.
    pub cosine: f64,
}

impl Difference {
    /// Compares two files. Values are decoded a few rows at a time, so memory does not grow with
    /// the files.
    ///
    /// # Errors
    /// When a file contradicts itself.
    pub fn of(first: &dyn Side, second: &dyn Side) -> Result<Self> {
        let files = [first, second].map(|file| file.path().display().to_string());
        let mut found = Self { files, ..Self::default() };
        for (name, value) in first.metadata() {
            match second.metadata().get(name) {
                None => found.keys_only_in[0].push(name.clone()),
                Some(other) if !is_same(value, other) => {
                    let values = [value, other].map(value_text);
                    found.keys.push(Key { name: name.clone(), values });
                }
                Some(_) => {}
            }
        }
        let is_new = |name: &&String| !first.metadata().contains_key(*name);
        found.keys_only_in[1].extend(second.metadata().keys().filter(is_new).cloned());
        let entries = [first.entries(), second.entries()];
        let named = |entry: &'_ Entry| entry.name.clone();
        let [ours, theirs] = entries.each_ref().map(|entries| {
            entries.iter().map(|entry| (entry.name.as_str(), entry)).collect::<BTreeMap<_, _>>()
        });
        for tensor in &entries[0] {
            match theirs.get(tensor.name.as_str()) {
                Some(other) => found.tensors.push(compared([first, second], [tensor, other])),
                None => found.tensors_only_in[0].push(named(tensor)),
            }
        }
        let new = entries[1].iter().filter(|tensor| !ours.contains_key(tensor.name.as_str()));
        found.tensors_only_in[1].extend(new.map(named));
        Ok(found)
    }

    /// Whether nothing differs. The files' names, formats and the order of tensors do not count.
    pub fn is_empty(&self) -> bool {
        let [first, second] = &self.keys_only_in;
        let [third, fourth] = &self.tensors_only_in;
        [first, second, third, fourth].iter().all(|names| names.is_empty())
            && self.keys.is_empty()
            && self.tensors.iter().all(|tensor| tensor.same)
    }

    /// The report for people: nothing for files that are the same, unless `all` tensors are wanted.
    /// Long lists are cut unless they are.
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        for (sign, file) in ["-", "+"].iter().zip(&self.files) {
            let _ = writeln!(out, "{sign} {}", escaped(file));
        }
        let only = |[first, second]: &[Vec<String>; 2]| -> Vec<Vec<String>> {
            let row = |sign: &str, name: &String| vec![sign.to_owned(), escaped(name)];
            let first = first.iter().map(|name| row("-", name));
            first.chain(second.iter().map(|name| row("+", name))).collect()
        };
        let mut list = |title: &str, heads: &[&str], sides: &[&str], mut rows: Vec<Vec<String>>| {
            if rows.is_empty() {
                return;
            }
            let more = if all { 0 } else { rows.len().saturating_sub(FEW) };
            rows.truncate(rows.len() - more);
            table(&mut out, title, heads, sides, rows);
            if more > 0 {
                let _ = writeln!(out, "    … and {more} more (--all shows them)");
            }
        };
        list("Keys of one file alone", &[], &["", ""], only(&self.keys_only_in));
        let key = |key: &Key| {
            let [first, second] = key.values.clone();
            vec![escaped(&key.name), first, second]
        };
        let keys = self.keys.iter().map(key).collect();
        list("Other values", &["key", "-", "+"], &["", "", ""], keys);
        list("Tensors of one file alone", &[], &["", ""], only(&self.tensors_only_in));
        let (alike, reshaped): (Vec<&Compared>, Vec<&Compared>) =
            self.tensors.iter().partition(|tensor| tensor.shapes[0] == tensor.shapes[1]);
        let row = |tensor: &&Compared| {
            let [first, second] = tensor.shapes.each_ref().map(|shape| format!("{shape:?}"));
            vec![escaped(&tensor.name), first, second]
        };
        let rows = reshaped.iter().map(row).collect();
        list("Other shapes", &["tensor", "-", "+"], &["", "", ""], rows);
        let mut alike: Vec<_> = alike.into_iter().filter(|tensor| all || !tensor.same).collect();
        let relative = |tensor: &Compared| tensor.gap.map_or(f64::INFINITY, |gap| gap.relative);
        if !all {
            alike.sort_by(|a, b| relative(b).total_cmp(&relative(a)));
        }
        let rows = alike.into_iter().map(values_row).collect();
        let heads = ["tensor", "types", "largest", "relative", "cosine"];
        list("Values", &heads, &["", "", ">", ">", ">"], rows);
        let same = self.tensors.iter().filter(|tensor| tensor.same).count();
        let _ = match self.is_empty() {
            true => writeln!(out, "\n  the same: {} tensors", grouped(same as u64)),
            false => writeln!(
                out,
                "\n  {} of {} common tensors are the same",
                grouped(same as u64),
                grouped(self.tensors.len() as u64)
            ),
        };
        out
    }
}

fn values_row(tensor: &Compared) -> Vec<String> {
    let types = match &tensor.types {
        [first, second] if first == second => first.clone(),
        [first, second] => format!("{first} → {second}"),
    };
    let numbers = match (tensor.same, tensor.gap) {
        (true, _) => ["same", "", ""].map(str::to_owned),
        (false, None) => ["not decoded", "", ""].map(str::to_owned),
        (false, Some(gap)) => [
            format!("{:.3e}", gap.most),
            format!("{:.3e}", gap.relative),
            format!("{:.7}", gap.cosine),
        ],
    };
    [escaped(&tensor.name), types].into_iter().chain(numbers).collect()
}

/// Whether two values are the same to the bit: a number that is none equals itself here.
fn is_same(first: &Value, second: &Value) -> bool {
    fn bits32(values: &[f32]) -> impl Iterator<Item = u32> {
        values.iter().map(|value| value.to_bits())
    }
    fn bits64(values: &[f64]) -> impl Iterator<Item = u64> {
        values.iter().map(|value| value.to_bits())
    }
    match (first, second) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(Array::F32(a)), Value::Array(Array::F32(b))) => bits32(a).eq(bits32(b)),
        (Value::Array(Array::F64(a)), Value::Array(Array::F64(b))) => bits64(a).eq(bits64(b)),
        (first, second) => first == second,
    }
}

fn compared(files: [&dyn Side; 2], tensors: [&Entry; 2]) -> Compared {
    let [first, second] = tensors;
    let name = first.name.as_str();
    let same_shape = first.shape == second.shape;
    let bytes = files.map(|file| file.bytes(name));
    // Where bytes cannot be had, numbers are unknown, and not the same.
    let same =
        same_shape && first.kind == second.kind && bytes[0].is_some() && bytes[0] == bytes[1];
    let gap = match same_shape && !same {
        true => gap(files, name, &first.shape),
        false => None,
    };
    Compared {
        name: name.to_owned(),
        shapes: tensors.map(|tensor| tensor.shape.clone()),
        types: tensors.map(|tensor| tensor.kind.clone()),
        same,
        gap: if same { Some(Gap { most: 0.0, relative: 0.0, cosine: 1.0 }) } else { gap },
    }
}

/// Sums over pairs of values.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    first: f64,
    second: f64,
    both: f64,
    apart: f64,
    most: f64,
}

impl Sums {
    fn of([first, second]: [Vec<f32>; 2]) -> Self {
        let mut sums = Self::default();
        for (a, b) in first.into_iter().zip(second) {
            let apart = match (a.is_nan(), b.is_nan()) {
                (true, true) => 0.0,
                (false, false) if a == b => 0.0,
                (false, false) => (f64::from(a) - f64::from(b)).abs(),
                _ => f64::INFINITY,
            };
            let (a, b) = (f64::from(a), f64::from(b));
            sums.first += a * a;
            sums.second += b * b;
            sums.both += a * b;
            sums.apart += apart * apart;
            sums.most = sums.most.max(apart);
        }
        sums
    }

    fn add(self, other: Self) -> Self {
        Self {
            first: self.first + other.first,
            second: self.second + other.second,
            both: self.both + other.both,
            apart: self.apart + other.apart,
            most: self.most.max(other.most),
        }
    }

    fn gap(self) -> Gap {
        let relative = match self.first > 0.0 {
            true => (self.apart / self.first).sqrt(),
            false if self.apart > 0.0 => f64::INFINITY,
            false => 0.0,
        };
        let lengths = (self.first * self.second).sqrt();
        let cosine = match lengths > 0.0 {
            true => self.both / lengths,
            false if self.first == self.second => 1.0,
            false => 0.0,
        };
        Gap { most: self.most, relative, cosine }
    }
}

/// `None` where a type cannot be decoded.
fn gap(files: [&dyn Side; 2], name: &str, shape: &[usize]) -> Option<Gap> {
    let [first, second] = files;
    let &[rows, width] = shape else {
        let values = [first.floats(name, None)?, second.floats(name, None)?];
        return Some(Sums::of(values).gap());
    };
    let at_once = (AT_ONCE / width.max(1)).max(1);
    let part = |begin: usize| {
        let part = Some(begin..rows.min(begin + at_once));
        Some(Sums::of([first.floats(name, part.clone())?, second.floats(name, part)?]))
    };
    let starts: Vec<usize> = (0..rows).step_by(at_once).collect();
    // Parts are added in order, so that threads change nothing.
    let parts: Option<Vec<Sums>> = starts.into_par_iter().map(part).collect();
    Some(parts?.into_iter().fold(Sums::default(), Sums::add).gap())
}
