//! Weights made ready for one pass of a convolution, apart from the pass itself: whoever convolves with the same weight
//! again packs it once and keeps the panels.
//!
//! Panels depend on what a [`FilterForm`] holds, on their type, and on the instruction set, which is one for the whole
//! process. They depend neither on the size of pictures nor on padding nor on the number of threads: tiles are cut from
//! pictures, and the depth where sums are put down, without moving a value of a panel.

use super::panels::PanelLayout;
use super::phases::Phase;
use super::upsampled::{REMAINDERS, TAPS, fold, spread_taps};
use crate::element::Element;
use crate::scratch::{with_scratch, with_scratch_of};

/// Which taps go into panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Taps {
    /// Those of the weight.
    Own,
    /// The 2×2 sums of the 3×3 taps that upsampled outputs read, other ones for each remainder of their positions.
    Folded,
    /// The 4×4 sums of the 3×3 taps by which upsampled outputs read a pixel.
    Spread,
}

/// What the panels of a weight depend on besides its values. Equal forms of equal weights have equal panels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterForm {
    taps: Taps,
    /// One for each phase of the pass.
    layouts: Vec<PanelLayout>,
    weight_len: usize,
}

impl FilterForm {
    pub(super) fn new(taps: Taps, phases: &[Phase], weight_len: usize) -> FilterForm {
        FilterForm {
            taps,
            layouts: phases.iter().map(|phase| phase.layout.clone()).collect(),
            weight_len,
        }
    }

    /// Number of values of the panels.
    pub fn packed_len<E: Element>(&self) -> usize {
        self.layouts.iter().map(PanelLayout::len::<E>).sum()
    }

    /// Writes the panels of a weight `[out, in, kernel height, kernel width]`.
    ///
    /// # Panics
    /// When the weight or the room for its panels has another length.
    pub fn pack<E: Element>(&self, weight: &[f32], panels: &mut [E]) {
        assert_eq!(weight.len(), self.weight_len, "weights of {self:?}");
        assert_eq!(
            panels.len(),
            self.packed_len::<E>(),
            "values of the panels of {self:?}"
        );
        let mut rest = panels;
        for (phase, layout) in self.layouts.iter().enumerate() {
            let (part, after) = rest.split_at_mut(layout.len::<E>());
            rest = after;
            self.pack_phase(phase, layout, weight, part);
        }
    }

    fn pack_phase<E: Element>(
        &self,
        phase: usize,
        layout: &PanelLayout,
        weight: &[f32],
        panels: &mut [E],
    ) {
        let filters = weight.len() / (TAPS * TAPS);
        match self.taps {
            Taps::Own => layout.pack(weight, panels),
            Taps::Folded => with_scratch(4 * filters, |folded| {
                fold(weight, REMAINDERS[phase], folded);
                layout.pack(folded, panels);
            }),
            Taps::Spread => with_scratch(16 * filters, |spread| {
                spread_taps(weight, spread);
                layout.pack(spread, panels);
            }),
        }
    }

    /// Runs `work` with the weight packed into memory that is used again afterwards.
    ///
    /// # Panics
    /// When the weight has another length.
    pub fn with_packed<E: Element, R>(
        &self,
        weight: &[f32],
        work: impl FnOnce(PackedFilter<'_, E>) -> R,
    ) -> R {
        with_scratch_of(self.packed_len::<E>(), |panels: &mut [E]| {
            self.pack(weight, panels);
            work(PackedFilter::new(self, panels))
        })
    }
}

/// A weight in panels.
#[derive(Clone, Copy, Debug)]
pub struct PackedFilter<'a, E> {
    form: &'a FilterForm,
    panels: &'a [E],
}

impl<'a, E: Element> PackedFilter<'a, E> {
    /// What [`FilterForm::pack`] wrote.
    ///
    /// # Panics
    /// When the panels have another length than those of the form.
    pub fn new(form: &'a FilterForm, panels: &'a [E]) -> PackedFilter<'a, E> {
        let len = form.packed_len::<E>();
        assert_eq!(panels.len(), len, "values of the panels of {form:?}");
        PackedFilter { form, panels }
    }

    /// The panels, which must be those of the phases.
    pub(super) fn panels_of(&self, taps: Taps, phases: &[Phase]) -> &'a [E] {
        let layouts = phases.iter().map(|phase| &phase.layout);
        assert!(
            self.form.taps == taps && self.form.layouts.iter().eq(layouts),
            "panels of another convolution: {:?}",
            self.form
        );
        self.panels
    }
}

#[cfg(test)]
mod tests {
    use super::super::upsampled::{self, UpsampledShape};
    use super::super::{self as conv2d, ConvShape, Epilogue, Source};
    use super::*;
    use crate::element::bf16;
    use crate::testing::{in_pool, values};

    /// Pictures of several sizes and paddings for the same weight.
    fn pictures(
        channels: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> impl Iterator<Item = ConvShape> {
        let sizes = [[1, 5, 4], [2, 9, 17], [1, 3, 70], [1, 40, 37]];
        let paddings = [[2; 4], [0, 1, 0, 1], [1; 4], [0; 4]];
        let fits = move |shape: &ConvShape| {
            let [top, bottom, left, right] = shape.padding;
            shape.height + top + bottom >= kernel[0] && shape.width + left + right >= kernel[1]
        };
        let shapes =
            sizes
                .into_iter()
                .zip(paddings)
                .map(move |([batch, height, width], padding)| ConvShape {
                    batch,
                    height,
                    width,
                    in_channels: channels[0],
                    out_channels: channels[1],
                    kernel,
                    stride,
                    padding,
                });
        shapes.filter(fits)
    }

    fn numbers<E: Element>(seed: u64, len: usize) -> Vec<E> {
        values(seed, len).into_iter().map(E::from_f32).collect()
    }

    fn packed<E: Element>(form: &FilterForm, weight: &[f32]) -> Vec<E> {
        let mut panels = vec![E::from_f32(f32::NAN); form.packed_len::<E>()];
        form.pack(weight, &mut panels);
        panels
    }

    /// Panels packed once, for the first picture, against packing at every call.
    fn one_packing_serves_all<E: Element>(shapes: &[ConvShape]) {
        let weight = values(2, shapes[0].weight_len());
        let (to_output, to_input) = (shapes[0].forward_form(), shapes[0].backward_input_form());
        let (forward_panels, backward_panels) = (
            packed::<E>(&to_output, &weight),
            packed::<E>(&to_input, &weight),
        );
        for shape in shapes {
            assert_eq!(shape.forward_form(), to_output);
            assert_eq!(shape.backward_input_form(), to_input);
            let input = numbers::<E>(1, shape.input_len());
            let gradient = numbers::<E>(3, shape.output_len());
            let bias = values(4, shape.out_channels);
            let epilogue = Epilogue {
                bias: Some(&bias),
                ..Epilogue::default()
            };
            let source = Source::plain(&input);
            let (mut ours, mut truth) = (gradient.clone(), gradient.clone());
            let filter = PackedFilter::new(&to_output, &forward_panels);
            conv2d::forward_packed(shape, source, filter, &epilogue, &mut ours);
            conv2d::forward(shape, source, &weight, &epilogue, &mut truth);
            assert_eq!(ours, truth, "output of {shape:?}");
            let (mut ours, mut truth) = (input.clone(), input.clone());
            let filter = PackedFilter::new(&to_input, &backward_panels);
            conv2d::backward_input_packed(shape, &gradient, filter, &mut ours);
            conv2d::backward_input(shape, &gradient, &weight, &mut truth);
            assert_eq!(ours, truth, "input gradient of {shape:?}");
        }
    }

    #[test]
    fn panels_serve_pictures_of_every_size() {
        for (channels, kernel, stride) in [
            ([1, 1], [1, 1], [1, 1]),
            ([33, 5], [1, 1], [2, 2]),
            ([5, 70], [3, 3], [1, 1]),
            ([40, 33], [3, 3], [2, 2]),
            ([3, 35], [4, 4], [2, 2]),
            ([7, 9], [3, 1], [1, 2]),
            // Some remainders of the positions read no tap, and have no panels.
            ([9, 4], [2, 2], [3, 3]),
            // Deeper than what is multiplied at once.
            ([300, 3], [3, 3], [1, 1]),
        ] {
            let shapes: Vec<ConvShape> = pictures(channels, kernel, stride).collect();
            assert!(shapes.len() > 1);
            for threads in [1, 3] {
                in_pool(threads, || {
                    one_packing_serves_all::<f32>(&shapes);
                    one_packing_serves_all::<bf16>(&shapes);
                });
            }
        }
    }

    fn one_packing_serves_all_upsampled<E: Element>([in_channels, out_channels]: [usize; 2]) {
        let shape = |[batch, height, width]: [usize; 3]| UpsampledShape {
            batch,
            height,
            width,
            in_channels,
            out_channels,
        };
        let first = shape([1, 2, 2]);
        let weight = values(2, first.doubled().weight_len());
        let (to_output, to_input) = (first.forward_form(), first.backward_input_form());
        let (forward_panels, backward_panels) = (
            packed::<E>(&to_output, &weight),
            packed::<E>(&to_input, &weight),
        );
        for shape in [[1, 1, 1], [2, 3, 5], [1, 9, 40]].map(shape) {
            let large = shape.doubled();
            let input = numbers::<E>(1, large.input_len() / 4);
            let gradient = numbers::<E>(3, large.output_len());
            let (source, epilogue) = (Source::plain(&input), Epilogue::default());
            let (mut ours, mut truth) = (gradient.clone(), gradient.clone());
            let filter = PackedFilter::new(&to_output, &forward_panels);
            upsampled::forward_packed(&shape, source, filter, &epilogue, &mut ours);
            upsampled::forward(&shape, source, &weight, &epilogue, &mut truth);
            assert_eq!(ours, truth, "output of {shape:?}");
            let (mut ours, mut truth) = (input.clone(), input.clone());
            let filter = PackedFilter::new(&to_input, &backward_panels);
            upsampled::backward_input_packed(&shape, &gradient, filter, &mut ours);
            upsampled::backward_input(&shape, &gradient, &weight, &mut truth);
            assert_eq!(ours, truth, "input gradient of {shape:?}");
        }
    }

    #[test]
    fn panels_serve_doubled_pictures_of_every_size() {
        for channels in [[1, 1], [3, 35], [40, 5]] {
            one_packing_serves_all_upsampled::<f32>(channels);
            one_packing_serves_all_upsampled::<bf16>(channels);
        }
    }

    #[test]
    fn forms_differ_where_panels_do() {
        let shape = |channels, kernel, stride| {
            let mut pictures = pictures(channels, kernel, stride);
            pictures.next().expect("a picture")
        };
        let square = shape([8, 8], [3, 3], [1, 1]);
        let forms = [
            square.forward_form(),
            square.backward_input_form(),
            shape([8, 8], [3, 3], [2, 2]).backward_input_form(),
            shape([8, 9], [3, 3], [1, 1]).forward_form(),
            shape([9, 8], [3, 3], [1, 1]).forward_form(),
            UpsampledShape {
                batch: 1,
                height: 2,
                width: 2,
                in_channels: 8,
                out_channels: 8,
            }
            .forward_form(),
        ];
        for (index, form) in forms.iter().enumerate() {
            assert!(!forms[index + 1..].contains(form), "{form:?}");
        }
    }

    #[test]
    #[should_panic(expected = "panels of another convolution")]
    fn panels_of_another_convolution_are_refused() {
        let shape = pictures([4, 4], [3, 3], [1, 1]).next().expect("a picture");
        let (input, weight) = (values(1, shape.input_len()), values(2, shape.weight_len()));
        let mut output = vec![0.0; shape.output_len()];
        let form = shape.backward_input_form();
        let panels = packed::<f32>(&form, &weight);
        conv2d::forward_packed(
            &shape,
            Source::plain(&input),
            PackedFilter::new(&form, &panels),
            &Epilogue::default(),
            &mut output,
        );
    }

    #[test]
    #[should_panic(expected = "weights of")]
    fn weights_of_another_length_are_refused() {
        let shape = pictures([4, 4], [3, 3], [1, 1]).next().expect("a picture");
        packed::<f32>(&shape.forward_form(), &[0.0; 7]);
    }
}
