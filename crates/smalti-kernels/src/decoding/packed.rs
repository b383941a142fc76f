//! Matrices packed for decoding: panels of outputs, each in the order in which it is read.

use super::format::WeightFormat;
use super::lanes::{Lanes, Portable};
use super::panel::Panel;
use super::step::{Bf16Step, F32Step, Int4Step, Int8Step, Line, PANEL, STEP, Scales, Step};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::dispatch::{self, Isa};
use crate::element::{Element, bf16};
use crate::scratch::with_scratch;
use rayon::prelude::*;

/// Bytes of weights, times blocks of rows, that are worth a job of the thread pool.
const JOB: usize = 64 * 1024;

/// Rows that are worth a job where they are only copied.
const COPIED_ROWS: usize = 16;

/// The matrix of a linear layer, `[outputs, inputs]`, stored for products with few vectors.
pub struct PackedWeights {
    outputs: usize,
    inputs: usize,
    format: WeightFormat,
    panels: Box<dyn Panels>,
}

impl PackedWeights {
    /// Packs `weight` `[outputs, inputs]`, row-major.
    pub fn pack(
        weight: &[f32],
        outputs: usize,
        inputs: usize,
        format: WeightFormat,
    ) -> PackedWeights {
        assert!(outputs > 0 && inputs > 0, "empty matrix");
        assert_eq!(weight.len(), outputs * inputs, "weights");
        let panels: Box<dyn Panels> = match format {
            WeightFormat::F32 => Box::new(Packed::<F32Step>::new(weight, inputs)),
            WeightFormat::Bf16 => Box::new(Packed::<Bf16Step>::new(weight, inputs)),
            WeightFormat::Int8 => Box::new(Packed::<Int8Step>::new(weight, inputs)),
            WeightFormat::Int4 => Box::new(Packed::<Int4Step>::new(weight, inputs)),
        };
        PackedWeights {
            outputs,
            inputs,
            format,
            panels,
        }
    }

    /// Length of a product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Length of the vectors that are multiplied.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The format of the weights.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Memory that a product reads, in bytes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    /// The weights that products are computed with, `[outputs, inputs]`.
    pub fn dequantized(&self) -> Vec<f32> {
        let row = |output| (0..self.inputs).map(move |input| self.panels.weight(output, input));
        (0..self.outputs).flat_map(row).collect()
    }

    /// Writes `input · weightᵀ + bias`: `input` `[rows, inputs]`, `bias` `[outputs]`, `output`
    /// `[rows, outputs]`. Any number of rows.
    pub fn multiply(&self, input: &[f32], rows: usize, bias: Option<&[f32]>, output: &mut [f32]) {
        self.multiply_at(dispatch::isa(), input, rows, bias, output);
    }

    /// [`PackedWeights::multiply`] with an instruction set of the caller's choice.
    pub(super) fn multiply_at(
        &self,
        isa: Isa,
        input: &[f32],
        rows: usize,
        bias: Option<&[f32]>,
        output: &mut [f32],
    ) {
        assert_eq!(input.len(), rows * self.inputs, "inputs");
        assert_eq!(output.len(), rows * self.outputs, "outputs");
        if let Some(bias) = bias {
            assert_eq!(bias.len(), self.outputs, "bias");
        }
        if rows == 0 {
            return;
        }
        let panels = self.outputs.div_ceil(PANEL);
        with_scratch(panels * rows * PANEL, |products| {
            self.panels.multiply(isa, input, products);
            self.write(products, rows, bias, output);
        });
    }

    /// Collects the rows of `products` `[panels, rows, PANEL]`.
    fn write(&self, products: &[f32], rows: usize, bias: Option<&[f32]>, output: &mut [f32]) {
        let targets = output.par_chunks_mut(self.outputs).enumerate();
        let targets = targets.with_min_len(COPIED_ROWS);
        targets.for_each(|(row, target)| {
            for (panel, part) in target.chunks_mut(PANEL).enumerate() {
                let first = (panel * rows + row) * PANEL;
                part.copy_from_slice(&products[first..][..part.len()]);
            }
            if let Some(bias) = bias {
                for (value, bias) in target.iter_mut().zip(bias) {
                    *value += bias;
                }
            }
        });
    }
}

/// The panels of a matrix in any format.
trait Panels: Send + Sync {
    fn bytes(&self) -> usize;

    fn weight(&self, output: usize, input: usize) -> f32;

    /// Writes the products `[panels, rows, PANEL]` of `input` `[rows, inputs]`.
    fn multiply(&self, isa: Isa, input: &[f32], products: &mut [f32]);
}

/// The panels of a matrix in one format. Where the last panel has no outputs and the last step no
/// inputs, weights are zero.
struct Packed<S> {
    inputs: usize,
    /// `[panels, steps]`
    steps: Vec<S>,
    /// `[panels, blocks]`, or none.
    scales: Vec<Scales>,
}

impl<S: Step> Packed<S> {
    fn new(weight: &[f32], inputs: usize) -> Packed<S> {
        let outputs = weight.len() / inputs;
        let panels = outputs.div_ceil(PANEL);
        let (count, blocks) = (inputs.div_ceil(STEP), inputs.div_ceil(S::BLOCK));
        let rows = || weight.par_chunks(PANEL * inputs);
        let mut scales = Vec::new();
        if S::SCALED {
            scales = vec![Line([bf16::ZERO; PANEL]); panels * blocks];
            let panels = scales.par_chunks_mut(blocks).zip(rows());
            panels.for_each(|(scales, rows)| write_scales::<S>(rows, inputs, scales));
        }
        let mut steps = vec![S::ZERO; panels * count];
        let panels = steps.par_chunks_mut(count).zip(rows()).enumerate();
        panels.for_each(|(index, (steps, rows))| {
            let scales = scales.get(index * blocks..).unwrap_or_default();
            write_steps(rows, inputs, scales, steps);
        });
        Packed {
            inputs,
            steps,
            scales,
        }
    }

    fn steps_per_panel(&self) -> usize {
        self.inputs.div_ceil(STEP)
    }

    fn panel(&self, index: usize) -> Panel<'_, S> {
        let (count, blocks) = (self.steps_per_panel(), self.inputs.div_ceil(S::BLOCK));
        let scales = self.scales.get(index * blocks..).unwrap_or_default();
        Panel {
            steps: &self.steps[index * count..][..count],
            scales: &scales[..blocks.min(scales.len())],
        }
    }

    fn multiply_with<L: Lanes>(&self, lanes: L, input: &[f32], products: &mut [f32]) {
        let rows = input.len() / self.inputs;
        let padded = self.steps_per_panel() * STEP;
        let panel_bytes = self.steps_per_panel() * size_of::<S>();
        let panels_per_job = JOB / (panel_bytes * rows.div_ceil(L::ROWS));
        with_scratch(rows * padded, |columns| {
            interleave(input, self.inputs, L::ROWS, columns);
            let columns = &*columns;
            let jobs = products.par_chunks_mut(rows * PANEL).enumerate();
            let jobs = jobs.with_min_len(panels_per_job.max(1));
            jobs.for_each(|(index, products)| {
                // All rows while the panel is in the cache.
                let products = products.chunks_mut(L::ROWS * PANEL);
                for (columns, products) in columns.chunks(L::ROWS * padded).zip(products) {
                    lanes.multiply(self.panel(index), columns, products);
                }
            });
        });
    }
}

impl<S: Step> Panels for Packed<S> {
    fn bytes(&self) -> usize {
        size_of_val(self.steps.as_slice()) + size_of_val(self.scales.as_slice())
    }

    fn weight(&self, output: usize, input: usize) -> f32 {
        let (panel, output) = (self.panel(output / PANEL), output % PANEL);
        let number = panel.steps[input / STEP].get(input % STEP, output);
        number * scale::<S>(panel.scales, input, output)
    }

    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    fn multiply(&self, isa: Isa, input: &[f32], products: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if isa >= Isa::Avx512
                && let Some(lanes) = Avx512::detect()
            {
                return self.multiply_with(lanes, input, products);
            }
            if isa >= Isa::Avx2
                && let Some(lanes) = Avx2::detect()
            {
                return self.multiply_with(lanes, input, products);
            }
        }
        self.multiply_with(Portable, input, products);
    }
}

/// The scale of a weight, given those of its panel.
fn scale<S: Step>(scales: &[Scales], input: usize, output: usize) -> f32 {
    match scales.get(input / S::BLOCK) {
        Some(scales) => Element::to_f32(scales.0[output]),
        None => 1.0,
    }
}

/// Writes the scales of a panel with weights `rows` `[outputs, inputs]`.
fn write_scales<S: Step>(rows: &[f32], inputs: usize, scales: &mut [Scales]) {
    for (output, row) in rows.chunks_exact(inputs).enumerate() {
        for (scales, weights) in scales.iter_mut().zip(row.chunks(S::BLOCK)) {
            scales.0[output] = bf16::from_f32(S::scale(weights));
        }
    }
}

/// Writes the steps of a panel with weights `rows` `[outputs, inputs]`.
fn write_steps<S: Step>(rows: &[f32], inputs: usize, scales: &[Scales], steps: &mut [S]) {
    for (output, row) in rows.chunks_exact(inputs).enumerate() {
        for (input, &weight) in row.iter().enumerate() {
            let scale = scale::<S>(scales, input, output);
            let quotient = if scale == 0.0 { 0.0 } else { weight / scale };
            steps[input / STEP].set(input % STEP, output, quotient);
        }
    }
}

/// Rearranges `input` `[rows, inputs]` to blocks of `rows_per_block` rows, each `[inputs, rows]`
/// and filled up with zeros to whole steps.
fn interleave(input: &[f32], inputs: usize, rows_per_block: usize, columns: &mut [f32]) {
    let padded = inputs.next_multiple_of(STEP);
    let blocks = input.par_chunks(rows_per_block * inputs);
    let targets = columns.par_chunks_mut(rows_per_block * padded);
    let jobs = targets
        .zip(blocks)
        .with_min_len(COPIED_ROWS / rows_per_block);
    jobs.for_each(|(target, block)| {
        let rows = block.len() / inputs;
        target[rows * inputs..].fill(0.0);
        for (row, values) in block.chunks_exact(inputs).enumerate() {
            let places = target[row..].iter_mut().step_by(rows);
            places
                .zip(values)
                .for_each(|(place, &value)| *place = value);
        }
    });
}
