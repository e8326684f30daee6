//! Graphs to files, weight by weight, so that memory holds one weight at a time.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::graph::{Graph, MICROSOFT};
use super::initializer::Initializer;
use super::proto;
use crate::interrupt;
use crate::merged::Weight;
use crate::pending::Pending;

/// Operators of ONNX 1.15, which every runtime of the last years knows.
pub const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;
/// Protobuf's messages end below 2 GiB; some room is left for the nodes.
pub const MOST_INSIDE: u64 = (1 << 31) - (1 << 24);
/// Smaller constants stay in the model's own file.
const LEAST_OUTSIDE: u64 = 1024;
/// ONNX asks that data can be mapped.
const ALIGNMENT: u64 = 4096;

/// Fields of `onnx.proto` that are streamed.
const GRAPH_OF_MODEL: u32 = 7;
const INITIALIZER_OF_GRAPH: u32 = 5;
const RAW_DATA_OF_TENSOR: u32 = 9;

/// Writes `graph` as `name`; where it is larger than `most`, its weights go to a second file beside
/// it, `NAME_data`. Returns whether they did.
///
/// # Errors
/// When a weight cannot be fetched, or the folder cannot be written.
pub fn write(
    pending: &mut Pending,
    name: &str,
    graph: &Graph,
    most: u64,
    fetch: &dyn Fn(&Weight) -> Result<Vec<f32>>,
) -> Result<bool> {
    let total: u64 = graph.initializers().iter().map(Initializer::bytes).sum();
    let outside = total > most;
    let beside = format!("{name}_data");
    let mut tensors: Vec<proto::Tensor> = graph.initializers().iter().map(header).collect();
    let mut inside: Vec<Option<&Initializer>> = graph.initializers().iter().map(Some).collect();
    if outside {
        let path = pending.path(&beside)?;
        let shown = || beside.clone();
        let mut out = BufWriter::new(File::create(&path).with_context(shown)?);
        let location = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut offset = 0;
        for (tensor, place) in tensors.iter_mut().zip(&mut inside) {
            let Some(weight) = place.take_if(|weight| weight.bytes() >= LEAST_OUTSIDE) else {
                continue;
            };
            let filling = u64::next_multiple_of(offset, ALIGNMENT) - offset;
            out.write_all(&vec![0; filling as usize])?;
            offset += filling;
            let entries = [
                ("location", location.clone()),
                ("offset", offset.to_string()),
                ("length", weight.bytes().to_string()),
            ];
            let entry = |(key, value): (&str, String)| proto::Entry { key: key.to_owned(), value };
            tensor.external_data = entries.map(entry).to_vec();
            tensor.data_location = Some(1);
            interrupt::check()?;
            out.write_all(&weight.encode(fetch)?).with_context(shown)?;
            offset += weight.bytes();
        }
        out.flush().with_context(shown)?;
    }
    let shown = || name.to_owned();
    let file = File::create(pending.path(name)?).with_context(shown)?;
    stream(&file, graph, &tensors, &inside, fetch).with_context(shown)?;
    Ok(outside)
}

fn header(initializer: &Initializer) -> proto::Tensor {
    proto::Tensor {
        dims: initializer.shape.iter().map(|&dim| dim as i64).collect(),
        data_type: initializer.element as i32,
        name: initializer.name.clone(),
        ..proto::Tensor::default()
    }
}

/// A message is the sequence of its fields in any order, so a large one can be written piece by
/// piece where the lengths of its parts are known.
fn stream(
    file: &File,
    graph: &Graph,
    tensors: &[proto::Tensor],
    inside: &[Option<&Initializer>],
    fetch: &dyn Fn(&Weight) -> Result<Vec<f32>>,
) -> Result<()> {
    let mut out = BufWriter::new(file);
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "partita-export".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: None,
        opset_import: operator_sets(graph),
        metadata: graph
            .notes()
            .iter()
            .map(|(key, value)| proto::Entry { key: key.clone(), value: value.clone() })
            .collect(),
    };
    out.write_all(&model.encode_to_vec())?;
    let frame = proto::Graph {
        node: graph.nodes().to_vec(),
        name: graph.name().to_owned(),
        initializer: Vec::new(),
        input: graph.inputs().to_vec(),
        output: graph.outputs().to_vec(),
    };
    let length = |tensor: &proto::Tensor, data: &Option<&Initializer>| {
        let head = tensor.encoded_len() as u64;
        data.map_or(head, |data| {
            let raw = data.bytes();
            head + key_len(RAW_DATA_OF_TENSOR) as u64 + encoded_len_varint(raw) as u64 + raw
        })
    };
    let within =
        |tag: u32, length: u64| key_len(tag) as u64 + encoded_len_varint(length) as u64 + length;
    let lengths: Vec<u64> = tensors.iter().zip(inside).map(|(t, data)| length(t, data)).collect();
    let weights: u64 = lengths.iter().map(|&length| within(INITIALIZER_OF_GRAPH, length)).sum();
    begin(&mut out, GRAPH_OF_MODEL, frame.encoded_len() as u64 + weights)?;
    out.write_all(&frame.encode_to_vec())?;
    for ((tensor, data), length) in tensors.iter().zip(inside).zip(lengths) {
        interrupt::check()?;
        begin(&mut out, INITIALIZER_OF_GRAPH, length)?;
        out.write_all(&tensor.encode_to_vec())?;
        if let Some(data) = data {
            begin(&mut out, RAW_DATA_OF_TENSOR, data.bytes())?;
            out.write_all(&data.encode(fetch)?)?;
        }
    }
    Ok(out.flush()?)
}

/// Begins a field of so many bytes.
fn begin(out: &mut impl Write, tag: u32, length: u64) -> Result<()> {
    let mut head = Vec::with_capacity(12);
    encode_key(tag, WireType::LengthDelimited, &mut head);
    encode_varint(length, &mut head);
    Ok(out.write_all(&head)?)
}

/// ONNX's own operators, and others that the graph uses.
fn operator_sets(graph: &Graph) -> Vec<proto::OperatorSet> {
    let set = |domain: &str, version| proto::OperatorSet { domain: domain.to_owned(), version };
    let mut sets = vec![set("", OPSET)];
    if graph.nodes().iter().any(|node| node.domain == MICROSOFT) {
        sets.push(set(MICROSOFT, 1));
    }
    sets
}
