//! Weights in the order the products read them.

use crate::element::{Element, padded};
use crate::microkernel::panel_width;
use rayon::prelude::*;

/// Channels whose taps are moved together: what is read of all columns stays in the first-level
/// cache until every value of a cache line has been taken.
const BLOCK: usize = 16;

/// One channel direction of a weight: how many there are, and how far apart they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightAxis {
    pub len: usize,
    pub stride: usize,
}

/// How a weight becomes panels: for each of `taps` (offsets into the weight) the channels that are
/// summed over, each with all columns.
#[derive(Clone, Debug)]
pub(crate) struct PanelLayout {
    pub taps: Vec<usize>,
    pub summed: WeightAxis,
    pub columns: WeightAxis,
    /// Columns of a panel.
    pub width: usize,
}

impl PanelLayout {
    pub fn new(taps: Vec<usize>, summed: WeightAxis, columns: WeightAxis) -> PanelLayout {
        let width = panel_width(crate::dispatch::isa(), columns.len);
        PanelLayout {
            taps,
            summed,
            columns,
            width,
        }
    }

    pub fn panels(&self) -> usize {
        self.columns.len.div_ceil(self.width)
    }

    /// Words of the depth.
    pub fn depth<E: Element>(&self) -> usize {
        self.taps.len() * padded::<E>(self.summed.len) / E::PER_WORD
    }

    /// Values of one panel.
    pub fn panel_len<E: Element>(&self) -> usize {
        self.depth::<E>() * self.width * E::PER_WORD
    }

    /// Values of all panels.
    pub fn len<E: Element>(&self) -> usize {
        self.panels() * self.panel_len::<E>()
    }

    /// Writes all panels: `[panel][tap][word][column][values of a word]`, zeros where there is no
    /// channel or column.
    pub fn pack<E: Element>(&self, weight: &[f32], packed: &mut [E]) {
        if packed.is_empty() {
            return;
        }
        let panels = packed
            .par_chunks_exact_mut(self.panel_len::<E>())
            .enumerate();
        panels.for_each(|(panel, packed)| self.pack_panel(weight, panel, packed));
    }

    /// Writes one panel.
    pub fn pack_panel<E: Element>(&self, weight: &[f32], panel: usize, packed: &mut [E]) {
        let first = panel * self.width;
        let columns = self.width.min(self.columns.len - first);
        if columns < self.width || self.summed.len % E::PER_WORD != 0 {
            packed.fill(E::default());
        }
        let tap_len = padded::<E>(self.summed.len) * self.width;
        let source = &weight[first * self.columns.stride..];
        for channel in (0..self.summed.len).step_by(BLOCK) {
            let channels = channel..self.summed.len.min(channel + BLOCK);
            for (tap, packed) in self.taps.iter().zip(packed.chunks_exact_mut(tap_len)) {
                for channel in channels.clone() {
                    let values = &source[channel * self.summed.stride + tap..];
                    let word = channel / E::PER_WORD * self.width * E::PER_WORD;
                    let half = channel % E::PER_WORD;
                    let row = &mut packed[word..word + self.width * E::PER_WORD];
                    let targets = row[half..].iter_mut().step_by(E::PER_WORD).take(columns);
                    if self.columns.stride == 1 {
                        targets
                            .zip(values)
                            .for_each(|(target, &value)| *target = E::from_f32(value));
                        continue;
                    }
                    let values = values.iter().step_by(self.columns.stride);
                    targets
                        .zip(values)
                        .for_each(|(target, &value)| *target = E::from_f32(value));
                }
            }
        }
    }
}
