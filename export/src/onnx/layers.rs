//! Layers in small operators, which every runtime has.
//!
//! Whatever a matrix is stored in, values between layers are 32-bit floats: residuals of Gemma 3
//! leave the range of 16 bits.

use super::graph::{Graph, MICROSOFT, Setting, Value};
use super::initializer::{Element, Form};
use super::quantize::{BLOCK, ZERO};
use super::{Dtype, Length};
use crate::merged::Weight;

/// Matrices that have 8 bits where others have 4. They are those that llama.cpp's Q4_K_M gives more,
/// and the keys, which few heads share. On twelve sentences through Gemma 3 270M they halve what 4 bits
/// cost (0.38 nats a token with none of them, 0.25 with the outputs, 0.16 with all) for a third more
/// bytes.
fn wants_more(name: &str) -> bool {
    ["attn_k.weight", "attn_v.weight", "ffn_down.weight", "output.weight"]
        .iter()
        .any(|end| name.ends_with(end))
        && !name.ends_with("attn_output.weight")
}

/// A graph of layers with matrices of one type.
pub struct Layers {
    /// The graph.
    pub graph: Graph,
    /// The type.
    pub dtype: Dtype,
}

impl Layers {
    /// A graph of nothing.
    pub fn new(name: &str, dtype: Dtype) -> Self {
        Self { graph: Graph::new(name), dtype }
    }

    /// An input of floats.
    pub fn input(&mut self, name: &str, shape: &[Length]) -> Value {
        self.graph.input(name, Element::F32, shape)
    }

    /// A tensor that stays in floats: a norm's gain, a bias, positions.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Value {
        self.graph.weight(Weight::tensor(name, shape), Form::Plain)
    }

    /// `x Wᵀ`, `W` `[outputs, inputs]`.
    pub fn product(&mut self, x: &Value, weight: Weight) -> Value {
        let &[outputs, inputs] = &weight.shape[..] else { return x.clone() };
        match self.dtype {
            Dtype::Fp32 => {
                let weight = self.graph.weight(weight, Form::Transposed);
                self.graph.op("MatMul", &[x, &weight])
            }
            Dtype::Fp16 => {
                let weight = self.graph.weight(weight, Form::TransposedHalf);
                let x = self.cast(x, Element::F16);
                let y = self.graph.op("MatMul", &[&x, &weight]);
                self.cast(&y, Element::F32)
            }
            Dtype::Int8 => self.integer_product(x, weight, outputs),
            Dtype::Q4 => {
                let (bits, numbers, scales) = match wants_more(&weight.name) {
                    true => (8, Form::Bytes, Form::ByteScales),
                    false => (4, Form::Nibbles, Form::NibbleScales),
                };
                let blocks = self.graph.weight(weight.clone(), numbers);
                let scales = self.graph.weight(weight, scales);
                let settings = [
                    ("K", Setting::Int(inputs as i64)),
                    ("N", Setting::Int(outputs as i64)),
                    ("bits", Setting::Int(bits)),
                    ("block_size", Setting::Int(BLOCK as i64)),
                    // Inputs in 8 bits: the fast path of processors.
                    ("accuracy_level", Setting::Int(4)),
                ];
                let inputs = [x, &blocks, &scales];
                self.graph.node("MatMulNBits", MICROSOFT, &inputs, &settings)
            }
        }
    }

    /// Inputs become 8-bit numbers at each pass, with one scale for all of them. Every row is divided
    /// by its largest number before: single positions of Gemma 3, and of Whisper's inner layers, are
    /// a hundred times larger than the others and would leave those a few steps (cosine of Whisper
    /// base's output 0.99 without, 0.999 with it).
    fn integer_product(&mut self, x: &Value, weight: Weight, outputs: usize) -> Value {
        let scales = self.graph.weight(weight.clone(), Form::Int8Scales);
        let weight = self.graph.weight(weight, Form::Int8);
        let quantized = self.graph.once(&format!("quantized {}", x.0), |graph| {
            let sizes = graph.op("Abs", &[x]);
            let last = graph.ints(&[-1]);
            let keep = [("keepdims", Setting::Int(1))];
            let sizes = graph.op_with("ReduceMax", &[&sizes, &last], &keep);
            let least = graph.scalar(f32::MIN_POSITIVE);
            let sizes = graph.op("Max", &[&sizes, &least]);
            let x = graph.op("Div", &[x, &sizes]);
            let [numbers, scale, zero] = graph.op_many("DynamicQuantizeLinear", &[&x], &[]);
            vec![numbers, scale, zero, sizes]
        });
        let [numbers, scale, zero, sizes] = &quantized[..] else { return x.clone() };
        let zeros = self.graph.constant(Element::U8, &[outputs], vec![ZERO; outputs]);
        let y = self.graph.op("MatMulInteger", &[numbers, &weight, zero, &zeros]);
        let y = self.cast(&y, Element::F32);
        let scale = self.graph.op("Mul", &[scale, &scales]);
        let y = self.graph.op("Mul", &[&y, &scale]);
        self.graph.op("Mul", &[&y, sizes])
    }

    /// A linear layer of the name `NAME.weight`, perhaps `NAME.bias`.
    pub fn linear(
        &mut self,
        x: &Value,
        name: &str,
        (outputs, inputs): (usize, usize),
        bias: bool,
    ) -> Value {
        let y = self.product(x, Weight::matrix(name, outputs, inputs));
        if !bias {
            return y;
        }
        let bias = self.tensor(&format!("{name}.bias"), &[outputs]);
        self.graph.op("Add", &[&y, &bias])
    }

    /// Layer normalisation over the last dimension.
    pub fn layer_norm(&mut self, x: &Value, name: &str, width: usize) -> Value {
        let gain = self.tensor(&format!("{name}.weight"), &[width]);
        let bias = self.tensor(&format!("{name}.bias"), &[width]);
        let settings = [("axis", Setting::Int(-1)), ("epsilon", Setting::Float(1e-5))];
        self.graph.op_with("LayerNormalization", &[x, &gain, &bias], &settings)
    }

    /// Root-mean-square normalisation over the last dimension, in the operators that ONNX Runtime
    /// makes one of.
    pub fn rms_norm(&mut self, x: &Value, name: &str, width: usize, epsilon: f64) -> Value {
        let gain = self.tensor(&format!("{name}.weight"), &[width]);
        let two = self.graph.scalar(2.0);
        let squares = self.graph.op("Pow", &[x, &two]);
        let last = self.graph.ints(&[-1]);
        let keep = [("keepdims", Setting::Int(1))];
        let mean = self.graph.op_with("ReduceMean", &[&squares, &last], &keep);
        let epsilon = self.graph.scalar(epsilon as f32);
        let mean = self.graph.op("Add", &[&mean, &epsilon]);
        let size = self.graph.op("Sqrt", &[&mean]);
        let x = self.graph.op("Div", &[x, &size]);
        self.graph.op("Mul", &[&x, &gain])
    }

    /// GELU, exact or by tanh.
    pub fn gelu(&mut self, x: &Value, approximate: bool) -> Value {
        let kind = Setting::Text(if approximate { "tanh" } else { "none" });
        self.graph.op_with("Gelu", &[x], &[("approximate", kind)])
    }

    /// `x · sigmoid(x)`.
    pub fn silu(&mut self, x: &Value) -> Value {
        let gate = self.graph.op("Sigmoid", &[x]);
        self.graph.op("Mul", &[x, &gate])
    }

    /// A convolution of kernel 3 with zeros at the ends, never quantized.
    pub fn convolution(
        &mut self,
        x: &Value,
        name: &str,
        (outputs, inputs): (usize, usize),
        stride: i64,
    ) -> Value {
        let weight = Weight::tensor(format!("{name}.weight"), &[outputs, inputs, 3]);
        let bias = Weight::tensor(format!("{name}.bias"), &[outputs]);
        let settings = [
            ("kernel_shape", Setting::Ints(vec![3])),
            ("pads", Setting::Ints(vec![1, 1])),
            ("strides", Setting::Ints(vec![stride])),
        ];
        if self.dtype != Dtype::Fp16 {
            let weight = self.graph.weight(weight, Form::Plain);
            let bias = self.graph.weight(bias, Form::Plain);
            return self.graph.op_with("Conv", &[x, &weight, &bias], &settings);
        }
        let weight = self.graph.weight(weight, Form::Half);
        let bias = self.graph.weight(bias, Form::Half);
        let x = self.cast(x, Element::F16);
        let y = self.graph.op_with("Conv", &[&x, &weight, &bias], &settings);
        self.cast(&y, Element::F32)
    }

    /// `[…, heads · width]` as `[batch, heads, time, width]`.
    pub fn split_heads(&mut self, x: &Value, heads: usize, width: usize) -> Value {
        let x = self.reshape(x, &[0, 0, heads as i64, width as i64]);
        self.transpose(&x, &[0, 2, 1, 3])
    }

    /// Softmax of `q kᵀ` plus a mask, times `v`, all `[batch, heads, time, width]`; `q` is scaled.
    pub fn attend(&mut self, q: &Value, k: &Value, v: &Value, mask: Option<&Value>) -> Value {
        let keys = self.transpose(k, &[0, 1, 3, 2]);
        let mut scores = self.graph.op("MatMul", &[q, &keys]);
        if let Some(mask) = mask {
            scores = self.graph.op("Add", &[&scores, mask]);
        }
        let shares = self.graph.op_with("Softmax", &[&scores], &[("axis", Setting::Int(-1))]);
        self.graph.op("MatMul", &[&shares, v])
    }

    /// A value in another type.
    pub fn cast(&mut self, x: &Value, to: Element) -> Value {
        self.graph.op_with("Cast", &[x], &[("to", Setting::Int(to as i64))])
    }

    /// Another shape: 0 for a dimension as it was, -1 for what is left.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.graph.ints(shape);
        self.graph.op("Reshape", &[x, &shape])
    }

    /// Another order of dimensions.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.graph.op_with("Transpose", &[x], &[("perm", Setting::Ints(order.to_vec()))])
    }

    /// Values one after the other along a dimension.
    pub fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        self.graph.op_with("Concat", values, &[("axis", Setting::Int(axis))])
    }

    /// The length of a dimension, `[1]`.
    pub fn length(&mut self, x: &Value, axis: i64) -> Value {
        let settings = [("start", Setting::Int(axis)), ("end", Setting::Int(axis + 1))];
        self.graph.op_with("Shape", &[x], &settings)
    }

    /// Two halves of the last dimension.
    pub fn halves(&mut self, x: &Value) -> [Value; 2] {
        let settings = [("axis", Setting::Int(-1)), ("num_outputs", Setting::Int(2))];
        self.graph.op_many("Split", &[x], &settings)
    }
}
