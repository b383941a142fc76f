//! Weights in the order the products read them.

use crate::dispatch::{self, vectorised};
use crate::element::{Element, padded};
use crate::microkernel::panel_width;
use crate::transpose::{SIDE, Square, transpose};
use rayon::prelude::*;

/// One channel direction of a weight: how many there are, and how far apart they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightAxis {
    pub len: usize,
    pub stride: usize,
}

/// How a weight becomes panels: for each of `taps` (offsets into the weight) the channels that are
/// summed over, each with all columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        if columns < self.width || !self.summed.len.is_multiple_of(E::PER_WORD) {
            packed.fill(E::default());
        }
        let source = &weight[first * self.columns.stride..];
        if self.columns.stride == 1 {
            return self.copy_rows(source, columns, packed);
        }
        for start in (0..columns).step_by(SIDE) {
            let source = &source[start * self.columns.stride..];
            self.transpose_columns(source, SIDE.min(columns - start), start, packed);
        }
    }

    /// Columns lie side by side: every channel's are a row of the panel.
    fn copy_rows<E: Element>(&self, source: &[f32], columns: usize, packed: &mut [E]) {
        let isa = dispatch::isa();
        for (index, tap) in self.taps.iter().enumerate() {
            let row = |channel: usize| &source[channel * self.summed.stride + tap..][..columns];
            for channel in (0..self.summed.len).step_by(E::PER_WORD) {
                let target = self.row(index, channel, 0, packed);
                if E::PER_WORD == 2 && channel + 1 < self.summed.len {
                    place_pairs(isa, row(channel), row(channel + 1), target);
                } else {
                    place_row(isa, row(channel), 0, target);
                }
            }
        }
    }

    /// Up to [`SIDE`] columns, of which each has its values in a run or, if taps of different
    /// channels lie apart, in a run per channel.
    fn transpose_columns<E: Element>(
        &self,
        source: &[f32],
        columns: usize,
        start: usize,
        packed: &mut [E],
    ) {
        let isa = dispatch::isa();
        let span = self.taps.iter().max().map_or(0, |last| last + 1);
        let (runs, run, per_run) = if self.summed.stride == span {
            (1, self.summed.len * span, self.summed.len)
        } else {
            (self.summed.len, span, 1)
        };
        let mut square: Square = [[0.0; SIDE]; SIDE];
        for channel in (0..runs).map(|run| run * per_run) {
            let source = &source[channel * self.summed.stride..];
            for place in (0..run).step_by(SIDE) {
                let count = SIDE.min(run - place);
                for (column, row) in square[..columns].iter_mut().enumerate() {
                    let values = &source[column * self.columns.stride + place..];
                    match values.first_chunk::<SIDE>() {
                        Some(values) => *row = *values,
                        None => row[..count].copy_from_slice(&values[..count]),
                    }
                }
                transpose(isa, &mut square);
                if E::PER_WORD == 2 && span == 1 && count == SIDE {
                    // Neighbouring channels are neighbouring rows.
                    for (index, [even, odd]) in square.as_chunks::<2>().0.iter().enumerate() {
                        let target = self.row(0, channel + place + 2 * index, start, packed);
                        place_pairs(isa, &even[..columns], &odd[..columns], target);
                    }
                    continue;
                }
                for (place, row) in (place..).zip(&square[..count]) {
                    let (channel, tap) = (channel + place / span, place % span);
                    if let Some(index) = self.taps.iter().position(|&other| other == tap) {
                        let target = self.row(index, channel, start, packed);
                        place_row(isa, &row[..columns], channel % E::PER_WORD, target);
                    }
                }
            }
        }
    }

    /// The words of a tap and channel, from column `start` on.
    fn row<'a, E>(
        &self,
        tap: usize,
        channel: usize,
        start: usize,
        packed: &'a mut [E],
    ) -> &'a mut [E]
    where
        E: Element,
    {
        let depth = (tap * padded::<E>(self.summed.len) + channel) / E::PER_WORD;
        &mut packed[(depth * self.width + start) * E::PER_WORD..]
    }
}

vectorised! {
    /// Writes values to one half of each word; the first half clears the second.
    fn place_row<E: Element>(values: &[f32], half: usize, words: &mut [E]) {
        let (squares, rest) = values.as_chunks::<SIDE>();
        let (wholes, words) = words.split_at_mut(squares.len() * SIDE * E::PER_WORD);
        let wholes = wholes.chunks_exact_mut(SIDE * E::PER_WORD);
        for (words, values) in wholes.zip(squares) {
            place(values, half, words);
        }
        place(rest, half, words);
    }
}

vectorised! {
    /// Writes whole words of two values each.
    fn place_pairs<E: Element>(even: &[f32], odd: &[f32], words: &mut [E]) {
        let (even_squares, even_rest) = even.as_chunks::<SIDE>();
        let (odd_squares, odd_rest) = odd.as_chunks::<SIDE>();
        let (squares, rest) = words.as_chunks_mut::<2>().0.as_chunks_mut::<SIDE>();
        for (words, (even, odd)) in squares.iter_mut().zip(even_squares.iter().zip(odd_squares)) {
            for (word, (even, odd)) in words.iter_mut().zip(even.iter().zip(odd)) {
                *word = [E::from_f32(*even), E::from_f32(*odd)];
            }
        }
        if even_rest.is_empty() {
            return;
        }
        let whole = squares.len().min(even_squares.len());
        let tail = if whole < squares.len() { &mut squares[whole][..] } else { rest };
        for (word, (even, odd)) in tail.iter_mut().zip(even_rest.iter().zip(odd_rest)) {
            *word = [E::from_f32(*even), E::from_f32(*odd)];
        }
    }
}

#[inline(always)]
fn place<E: Element>(values: &[f32], half: usize, words: &mut [E]) {
    if E::PER_WORD == 1 {
        words
            .iter_mut()
            .zip(values)
            .for_each(|(word, &value)| *word = E::from_f32(value));
        return;
    }
    let words = words.as_chunks_mut::<2>().0.iter_mut().zip(values);
    if half == 0 {
        words.for_each(|(word, &value)| *word = [E::from_f32(value), E::default()]);
    } else {
        words.for_each(|(word, &value)| *word = [word[0], E::from_f32(value)]);
    }
}
