//! A graph as it is built: one call an operation.

use std::collections::{HashMap, HashSet};

use super::initializer::{Content, Element, Form, Initializer, floats};
use super::proto::{Attribute, Dimension, Extent, Node, Shape, TensorType, Type, ValueInfo};
use crate::merged::Weight;

/// The set of operators that is not ONNX's own.
pub const MICROSOFT: &str = "com.microsoft";

/// A value in a graph, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value(pub String);

/// How long a dimension of an input or output is.
#[derive(Debug, Clone, Copy)]
pub enum Length<'a> {
    /// Always so long.
    Fixed(usize),
    /// As long as every other of this name.
    Named(&'a str),
}

/// A setting of a node.
#[derive(Debug, Clone)]
pub enum Setting {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// A text.
    Text(&'static str),
}

/// Nodes, constants, inputs and outputs in the making.
///
/// ```
/// use partita_export::onnx::{Element, Graph, Length};
///
/// let mut graph = Graph::new("halves");
/// let x = graph.input("x", Element::F32, &[Length::Named("time"), Length::Fixed(4)]);
/// let half = graph.scalar(0.5);
/// let y = graph.op("Mul", &[&x, &half]);
/// graph.output("y", &y, Element::F32, &[Length::Named("time"), Length::Fixed(4)]);
/// assert_eq!(graph.nodes().len(), 2);
/// ```
#[derive(Debug, Default)]
pub struct Graph {
    name: String,
    nodes: Vec<Node>,
    initializers: Vec<Initializer>,
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
    notes: Vec<(String, String)>,
    /// Names of weights that are there already.
    weights: HashSet<String>,
    /// Constants that are there already, by type, shape and bytes.
    constants: HashMap<(Element, Vec<usize>, Vec<u8>), Value>,
    /// Values made once for several users.
    shared: HashMap<String, Vec<Value>>,
}

impl Graph {
    /// A graph of nothing.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Operations, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Constants.
    pub fn initializers(&self) -> &[Initializer] {
        &self.initializers
    }

    /// What it takes.
    pub fn inputs(&self) -> &[ValueInfo] {
        &self.inputs
    }

    /// What it gives.
    pub fn outputs(&self) -> &[ValueInfo] {
        &self.outputs
    }

    /// Keys and values for whoever reads the file.
    pub fn notes(&self) -> &[(String, String)] {
        &self.notes
    }

    /// Adds a key and a value for whoever reads the file.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.notes.push((key.to_owned(), value.into()));
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, element: Element, shape: &[Length]) -> Value {
        self.inputs.push(info(name, element, shape));
        Value(name.to_owned())
    }

    /// Makes a value an output under this name.
    pub fn output(&mut self, name: &str, value: &Value, element: Element, shape: &[Length]) {
        self.outputs.push(info(name, element, shape));
        self.push("Identity", "", &[value], &[], vec![name.to_owned()]);
    }

    /// An operation with one output.
    pub fn op(&mut self, op: &str, inputs: &[&Value]) -> Value {
        self.op_with(op, inputs, &[])
    }

    /// An operation with settings and one output.
    pub fn op_with(&mut self, op: &str, inputs: &[&Value], settings: &[(&str, Setting)]) -> Value {
        self.node(op, "", inputs, settings)
    }

    /// An operation of the set `domain`.
    pub fn node(
        &mut self,
        op: &str,
        domain: &str,
        inputs: &[&Value],
        settings: &[(&str, Setting)],
    ) -> Value {
        let name = self.fresh(op);
        self.push(op, domain, inputs, settings, vec![name.clone()]);
        Value(name)
    }

    /// An operation with several outputs.
    pub fn op_many<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&Value],
        settings: &[(&str, Setting)],
    ) -> [Value; N] {
        let base = self.fresh(op);
        let names: [String; N] = std::array::from_fn(|i| format!("{base}.{i}"));
        self.push(op, "", inputs, settings, names.to_vec());
        names.map(Value)
    }

    /// Values that `make` makes the first time that this key is asked for.
    pub fn once(&mut self, key: &str, make: impl FnOnce(&mut Self) -> Vec<Value>) -> Vec<Value> {
        if let Some(values) = self.shared.get(key) {
            return values.clone();
        }
        let values = make(self);
        self.shared.insert(key.to_owned(), values.clone());
        values
    }

    fn fresh(&self, op: &str) -> String {
        format!("{}.{op}", self.nodes.len())
    }

    fn push(
        &mut self,
        op: &str,
        domain: &str,
        inputs: &[&Value],
        settings: &[(&str, Setting)],
        output: Vec<String>,
    ) {
        let attribute = |(name, setting): &(&str, Setting)| {
            let mut made = Attribute { name: (*name).to_owned(), ..Attribute::default() };
            match setting {
                Setting::Float(value) => (made.f, made.kind) = (Some(*value), 1),
                Setting::Int(value) => (made.i, made.kind) = (Some(*value), 2),
                Setting::Text(value) => (made.s, made.kind) = (Some(value.as_bytes().to_vec()), 3),
                Setting::Ints(values) => (made.ints, made.kind) = (values.clone(), 7),
            }
            made
        };
        self.nodes.push(Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output,
            name: format!("{}/{op}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute: settings.iter().map(attribute).collect(),
            domain: domain.to_owned(),
        });
    }

    /// A weight of the model in some form.
    pub fn weight(&mut self, weight: Weight, form: Form) -> Value {
        let name = match form {
            Form::Plain => weight.name.clone(),
            _ => format!("{}.{form:?}", weight.name),
        };
        if self.weights.insert(name.clone()) {
            let (element, shape) = (form.element(), form.shape(&weight.shape));
            let content = Content::Weight(weight, form);
            self.initializers.push(Initializer { name: name.clone(), element, shape, content });
        }
        Value(name)
    }

    /// A number.
    pub fn scalar(&mut self, value: f32) -> Value {
        self.constant(Element::F32, &[], floats(&[value]))
    }

    /// Numbers `[values]`.
    pub fn floats(&mut self, values: &[f32]) -> Value {
        self.constant(Element::F32, &[values.len()], floats(values))
    }

    /// Whole numbers `[values]`.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Element::I64, &[values.len()], bytes)
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) -> Value {
        self.constant(Element::I64, &[], value.to_le_bytes().to_vec())
    }

    /// A constant; equal ones are stored once.
    pub fn constant(&mut self, element: Element, shape: &[usize], bytes: Vec<u8>) -> Value {
        let key = (element, shape.to_vec(), bytes);
        if let Some(known) = self.constants.get(&key) {
            return known.clone();
        }
        let name = format!("constant.{}", self.constants.len());
        let content = Content::Bytes(key.2.clone());
        let shape = shape.to_vec();
        self.initializers.push(Initializer { name: name.clone(), element, shape, content });
        self.constants.insert(key, Value(name.clone()));
        Value(name)
    }
}

fn info(name: &str, element: Element, shape: &[Length]) -> ValueInfo {
    let extent = |length: &Length| match length {
        Length::Fixed(length) => Extent::Fixed(*length as i64),
        Length::Named(name) => Extent::Named((*name).to_owned()),
    };
    let dim = shape.iter().map(|length| Dimension { extent: Some(extent(length)) }).collect();
    let tensor = TensorType { element: element as i32, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
}
