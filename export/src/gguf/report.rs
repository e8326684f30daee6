//! What an export wrote, and what rounding cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::calibration::Calibration;
use super::content::Plan;
use super::encode::Loss;
use super::quant::Quant;
use super::vocabulary::Proof;

/// An export.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was written, the language model first.
    pub files: Vec<Written>,
    /// What was left out or done otherwise.
    pub notices: Vec<String>,
    /// What became of the vocabulary, where it was cut.
    pub vocabulary: Option<Proof>,
    /// What scales were chosen by, where they were chosen by what matters.
    pub calibration: Option<Calibration>,
    /// Wall time.
    pub seconds: f64,
}

/// One file.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    /// Where it is; of several shards, the first one.
    pub path: PathBuf,
    /// Files that it is cut into.
    pub shards: usize,
    /// The quantization asked for.
    pub quantization: &'static str,
    /// Its length, of all shards.
    pub bytes: u64,
    /// Elements of all tensors.
    pub parameters: u64,
    /// By type.
    pub types: BTreeMap<String, Total>,
    /// By what a tensor is for, over all layers.
    pub classes: BTreeMap<String, Class>,
    /// All tensors, in the file's order.
    pub tensors: Vec<Row>,
}

/// Tensors of one type.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Total {
    /// How many.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Tensors that do the same in different layers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Class {
    /// Their types.
    pub types: Vec<String>,
    /// How many.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Root mean square of what rounding changed, over that of the values that were rounded.
    pub error: f64,
    /// The largest change.
    pub worst: f32,
    /// As `error`, each column counted by how much it matters: as it is, and had scales been chosen
    /// as if all mattered alike.
    pub weighted: Option<[f64; 2]>,
    #[serde(skip)]
    loss: Loss,
}

/// One tensor.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// In PyTorch order.
    pub shape: Vec<usize>,
    /// Its type.
    pub kind: String,
    /// The type that its row length did not allow.
    pub instead_of: Option<String>,
    /// Its bytes.
    pub bytes: u64,
    /// As [`Class::error`].
    pub error: f64,
    /// As [`Class::weighted`].
    pub weighted: Option<[f64; 2]>,
}

impl Written {
    /// Puts together what was planned and what it cost.
    pub fn new(
        (path, shards, bytes): (PathBuf, usize, u64),
        quant: Quant,
        plan: &Plan,
        losses: &[Loss],
    ) -> Self {
        let mut types: BTreeMap<String, Total> = BTreeMap::new();
        let mut classes: BTreeMap<String, Class> = BTreeMap::new();
        let mut tensors = Vec::with_capacity(plan.items.len());
        for (item, loss) in plan.items.iter().zip(losses) {
            let kind = item.choice.kind;
            let own = item.bytes();
            let total = types.entry(kind.name()).or_default();
            *total = Total { tensors: total.tensors + 1, bytes: total.bytes + own };
            let class = classes.entry(class_of(&item.name)).or_default();
            if !class.types.contains(&kind.name()) {
                class.types.push(kind.name());
            }
            class.tensors += 1;
            class.bytes += own;
            class.loss += *loss;
            tensors.push(Row {
                name: item.name.clone(),
                shape: item.shape.clone(),
                kind: kind.name(),
                instead_of: item.choice.instead_of.map(|kind| kind.name()),
                bytes: own,
                error: loss.relative(),
                weighted: loss.weighted.relative(),
            });
        }
        for class in classes.values_mut() {
            (class.error, class.worst) = (class.loss.relative(), class.loss.worst);
            class.weighted = class.loss.weighted.relative();
        }
        let (parameters, quantization) = (plan.parameters(), quant.name());
        Self { path, shards, quantization, bytes, parameters, types, classes, tensors }
    }
}

/// A tensor's name without its layer.
fn class_of(name: &str) -> String {
    let name = name.trim_end_matches(".weight");
    match name.split_once("blk.") {
        Some((before, rest)) => {
            let part = rest.split_once('.').map_or(rest, |(_, part)| part);
            format!("{before}{part}")
        }
        None => name.to_owned(),
    }
}

/// The report for people.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    for file in &report.files {
        let _ = writeln!(
            out,
            "{}{}: {:.1} MB, {:.1} M parameters",
            file.path.display(),
            if file.shards > 1 { format!(" and {} more", file.shards - 1) } else { String::new() },
            megabytes(file.bytes),
            file.parameters as f64 / 1e6
        );
        for (kind, total) in &file.types {
            let (tensors, size) = (total.tensors, megabytes(total.bytes));
            let _ = writeln!(out, "  {kind:<6} {tensors:>4} tensors  {size:>8.1} MB");
        }
        let rounded = file.classes.iter().filter(|(_, class)| class.error > 0.0);
        for (i, (name, class)) in rounded.enumerate() {
            if i == 0 {
                let weighted =
                    if report.calibration.is_some() { "   weighted, without" } else { "" };
                let _ = writeln!(
                    out,
                    "  {:<22} {:<14} {:>9}  {:>9}{weighted}",
                    "rounded", "types", "error", "worst"
                );
            }
            let (types, error) = (class.types.join(", "), 100.0 * class.error);
            let weighted = class.weighted.map_or_else(String::new, |[with, without]| {
                format!("  {:>7.3} %, {:.3} %", 100.0 * with, 100.0 * without)
            });
            let worst = class.worst;
            let _ =
                writeln!(out, "  {name:<22} {types:<14} {error:>7.3} %  {worst:>9.2e}{weighted}");
        }
        let fallen: Vec<&Row> =
            file.tensors.iter().filter(|row| row.instead_of.is_some()).collect();
        if !fallen.is_empty() {
            let count = fallen.len();
            let _ = writeln!(
                out,
                "  {count} tensors have other types than the mixture's: their rows are no whole blocks"
            );
        }
    }
    if let Some(calibration) = &report.calibration {
        let _ = writeln!(
            out,
            "scales chosen by what came into layers for {} clips ({:.0} s): errors weighted by it, and \
             what they would be without",
            calibration.clips, calibration.seconds
        );
    }
    if let Some(proof) = &report.vocabulary {
        out += &proof.to_string();
    }
    for notice in &report.notices {
        let _ = writeln!(out, "note: {notice}");
    }
    let _ = writeln!(out, "{:.1} s", report.seconds);
    out
}
