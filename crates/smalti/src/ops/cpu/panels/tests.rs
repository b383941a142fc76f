//! Kept panels against packing at every call, with weights that change in every way they can. Every test has a number
//! of channels of its own: tests run at the same time, and a freed weight's memory may become that of another test's.

use super::*;
use crate::checkpoint::{host_values, load_parameters, parameters};
use crate::initializer::Initializer;
use crate::layers::Conv2d;
use crate::ops::Precision;
use crate::training::{Adam, AdamConfig, WeightAverage};
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use half::bf16;
use smalti_kernels::conv2d::{self, ConvShape, Epilogue, Source};

const OUTPUTS: usize = 64;

fn shape(channels: usize) -> ConvShape {
    ConvShape {
        batch: 1,
        height: 5,
        width: 4,
        in_channels: channels,
        out_channels: OUTPUTS,
        kernel: [3; 2],
        stride: [1; 2],
        padding: [1; 4],
    }
}

fn numbers<E: Value>(seed: usize, len: usize) -> Vec<E> {
    let number = |index: usize| ((index * 37 + seed * 11) % 101) as f32 / 101.0 - 0.5;
    let numbers = (0..len).map(number);
    numbers
        .map(<E as smalti_kernels::element::Element>::from_f32)
        .collect()
}

fn weight(seed: usize, channels: usize) -> FlexTensor {
    let mut values = unset::<f32>(shape(channels).weight_len());
    let drawn = numbers::<f32>(seed, values.len());
    values.copy_from_slice(&drawn);
    tensor(values, [OUTPUTS, channels, 3, 3])
}

/// The output for some picture.
fn with_kept<E: Value>(weight: &FlexTensor, channels: usize) -> Vec<E> {
    let shape = shape(channels);
    let input = numbers::<E>(7, shape.input_len());
    let mut output = numbers::<E>(8, shape.output_len());
    with_panels::<E, _>(weight, &shape.forward_form(), |filter| {
        let (source, epilogue) = (Source::plain(&input), Epilogue::default());
        conv2d::forward_packed(&shape, source, filter, &epilogue, &mut output);
    });
    output
}

/// The same, packed for this call.
fn with_fresh<E: Value>(weight: &FlexTensor, channels: usize) -> Vec<E> {
    let (shape, values) = (shape(channels), Values::of(weight));
    let input = numbers::<E>(7, shape.input_len());
    let mut output = numbers::<E>(8, shape.output_len());
    let (source, epilogue) = (Source::plain(&input), Epilogue::default());
    conv2d::forward(&shape, source, values.slice(), &epilogue, &mut output);
    output
}

#[track_caller]
fn use_once<E: Value>(weight: &FlexTensor, channels: usize) {
    let (ours, truth) = (
        with_kept::<E>(weight, channels),
        with_fresh::<E>(weight, channels),
    );
    assert!(ours == truth, "other panels than the weight's");
}

fn subject<E: Value>(weight: &FlexTensor, channels: usize) -> Subject {
    Subject {
        address: weight.bytes().as_ptr().addr(),
        dtype: E::dtype(),
        form: shape(channels).forward_form(),
    }
}

fn has_panels(subject: &Subject) -> bool {
    let notes = notes();
    notes
        .0
        .get(subject)
        .is_some_and(|note| note.panels.is_some())
}

fn are_kept<E: Value>(weight: &FlexTensor, channels: usize) -> bool {
    has_panels(&subject::<E>(weight, channels))
}

#[test]
fn panels_are_kept_from_the_second_use_on() {
    let channels = 65;
    let weight = weight(1, channels);
    use_once::<bf16>(&weight, channels);
    assert!(!are_kept::<bf16>(&weight, channels));
    for _ in 0..3 {
        use_once::<bf16>(&weight, channels);
        assert!(are_kept::<bf16>(&weight, channels));
    }
}

#[test]
fn panels_in_the_type_of_the_weight_are_not_kept() {
    let channels = 91;
    let weight = weight(1, channels);
    for _ in 0..3 {
        use_once::<f32>(&weight, channels);
        assert!(!are_kept::<f32>(&weight, channels));
    }
}

#[test]
fn a_weight_written_in_place_is_not_copied_and_packed_again() {
    let channels = 67;
    let mut weight = weight(1, channels);
    let place = weight.bytes().as_ptr();
    let write = |weight: &mut FlexTensor| {
        weight.storage_mut::<f32>()[70] += 1.0;
        assert_eq!(weight.bytes().as_ptr(), place, "the memory was copied");
    };
    for _ in 0..3 {
        use_once::<bf16>(&weight, channels);
    }
    write(&mut weight);
    // It was used again before, so it is worth its panels at once.
    use_once::<bf16>(&weight, channels);
    assert!(are_kept::<bf16>(&weight, channels));
    write(&mut weight);
    // The last time it was not.
    use_once::<bf16>(&weight, channels);
    assert!(!are_kept::<bf16>(&weight, channels));
    use_once::<bf16>(&weight, channels);
    assert!(are_kept::<bf16>(&weight, channels));
}

#[test]
fn a_shared_weight_that_is_written_becomes_two() {
    let channels = 69;
    let first = weight(1, channels);
    use_once::<bf16>(&first, channels);
    use_once::<bf16>(&first, channels);
    let mut second = first.clone();
    use_once::<bf16>(&second, channels);
    second.storage_mut::<f32>()[0] += 1.0;
    for _ in 0..3 {
        use_once::<bf16>(&first, channels);
        use_once::<bf16>(&second, channels);
    }
    assert!(with_kept::<bf16>(&first, channels) != with_kept::<bf16>(&second, channels));
}

#[test]
fn panels_go_with_their_weight() {
    let channels = 71;
    let weight = weight(1, channels);
    let subject = subject::<bf16>(&weight, channels);
    use_once::<bf16>(&weight, channels);
    use_once::<bf16>(&weight, channels);
    release_panels();
    assert!(has_panels(&subject), "the weight is still there");
    drop(weight);
    release_panels();
    assert!(!has_panels(&subject));
}

#[test]
fn memory_that_becomes_another_weight_has_other_panels() {
    let channels = 73;
    for seed in 0..20 {
        let weight = weight(seed, channels);
        for _ in 0..1 + seed % 3 {
            use_once::<bf16>(&weight, channels);
        }
    }
}

#[test]
fn notes_about_weights_that_have_gone_are_limited() {
    let form = shape(3).forward_form();
    let mut notes = Notes::default();
    let (weight, kept) = (weight(1, 3), weight(2, 3));
    let subject = |address| Subject {
        address,
        dtype: DType::F32,
        form: form.clone(),
    };
    notes.advise(&subject(0), &weight.data_arc());
    for address in 1..=3 * MOST_NOTES {
        let gone = Arc::new(Bytes::from_bytes_vec(vec![0]));
        notes.advise(&subject(address), &gone);
        assert!(notes.0.len() <= MOST_NOTES);
    }
    assert!(matches!(
        notes.advise(&subject(0), &weight.data_arc()),
        Advice::Keep
    ));
    notes.keep(&subject(0), &weight.data_arc(), &kept);
    let advice = notes.advise(&subject(0), &weight.data_arc());
    assert!(matches!(advice, Advice::Take(_)));
}

#[test]
fn threads_may_ask_at_the_same_time() {
    let channels = 75;
    let weight = weight(1, channels);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..4 {
                    use_once::<bf16>(&weight, channels);
                }
            });
        }
    });
    assert!(are_kept::<bf16>(&weight, channels));
}

// From here on: layers as networks have them.

fn layer(device: &Device, channels: usize) -> Conv2d {
    Conv2d::same(&mut Initializer::seeded(device, 5), [channels, OUTPUTS])
}

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn picture(channels: usize, device: &Device) -> Tensor<4> {
    let init = &mut Initializer::seeded(device, 6);
    init.normal([1, 5, 4, channels], 1.0).val().detach()
}

/// The values of a tensor in memory of its own.
fn copied<const D: usize>(param: &Param<Tensor<D>>, device: &Device) -> Param<Tensor<D>> {
    let shape = Shape::from(param.dims());
    let data = TensorData::new(host_values(param.val()), shape);
    Param::from_tensor(Tensor::from_data(data, device))
}

/// The same layer in memory of its own.
fn copy(layer: &Conv2d, device: &Device) -> Conv2d {
    Conv2d {
        weight: copied(&layer.weight, device),
        bias: layer.bias.as_ref().map(|bias| copied(bias, device)),
        convolution: layer.convolution,
    }
}

/// Outputs, and with autodiff the gradient of the input, of all forms in both precisions.
fn passes(layer: &Conv2d, device: &Device) -> Vec<Vec<f32>> {
    let channels = layer.weight.dims()[1];
    let mut all = Vec::new();
    for precision in Precision::ALL {
        for upsampled in [false, true] {
            let picture = picture(channels, device);
            let leaf = match picture.is_autodiff() {
                true => picture.require_grad(),
                false => picture,
            };
            let input = precision.of(leaf.clone());
            let output = match upsampled {
                true => layer.forward_upsampled(input),
                false => layer.forward(input),
            };
            all.push(host_values(Precision::F32.of(output.clone())));
            if leaf.is_autodiff() {
                let gradients = Precision::F32.of(output).sum().backward();
                all.push(host_values(leaf.grad(&gradients).expect("a gradient")));
            }
        }
    }
    all
}

/// Fails unless the layer does, again and again, what one in fresh memory does once.
#[track_caller]
fn assert_current(layer: &Conv2d, device: &Device) -> Vec<Vec<f32>> {
    let truth = passes(&copy(layer, device), device);
    for _ in 0..3 {
        assert!(passes(layer, device) == truth, "panels of another weight");
    }
    truth
}

#[test]
fn an_optimiser_changes_what_is_convolved_with() {
    let device = autodiff();
    let mut layer = layer(&device, 77);
    let mut adam = Adam::new(AdamConfig::tokenizer());
    let mut before = assert_current(&layer, &device);
    for _ in 0..3 {
        let loss = layer.forward(picture(77, &device)).square().sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        layer = adam.step(1e-2, 1.0, layer, gradients);
        let after = assert_current(&layer, &device);
        assert!(after != before, "nothing was learnt");
        before = after;
    }
}

#[test]
fn a_checkpoint_changes_what_is_convolved_with() {
    for (device, channels) in [(Device::flex(), 79), (autodiff(), 81)] {
        let first = layer(&device, channels);
        let before = assert_current(&first, &device);
        let mut init = Initializer::seeded(&device, 9);
        let second = Conv2d::same(&mut init, [channels, OUTPUTS]);
        let tensors = parameters(&second, "", str::to_string);
        let loaded = load_parameters(first, &tensors, "", str::to_string).expect("the parameters");
        assert!(assert_current(&loaded, &device) != before);
    }
}

struct Doubled;

impl ModuleMapper for Doubled {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|values| values * 2.0)
    }
}

#[test]
fn a_map_changes_what_is_convolved_with() {
    let device = Device::flex();
    let mut layer = layer(&device, 83);
    let mut before = assert_current(&layer, &device);
    for _ in 0..3 {
        layer = layer.map(&mut Doubled);
        let after = assert_current(&layer, &device);
        assert!(after != before);
        before = after;
    }
}

#[test]
fn an_average_changes_what_is_convolved_with() {
    let device = Device::flex();
    let (first, mut init) = (layer(&device, 85), Initializer::seeded(&device, 9));
    let newest = Conv2d::same(&mut init, [85, OUTPUTS]);
    let mut average = WeightAverage::new(first.clone(), 0.75, |_| false);
    let mut before = assert_current(&average.module, &device);
    for step in 1..4 {
        average.update(&newest, step);
        let after = assert_current(&average.module, &device);
        assert!(after != before);
        before = after;
    }
    assert_current(&first, &device);
    assert_current(&newest, &device);
}

#[test]
fn a_network_without_autodiff_shares_the_panels_of_the_trained_one() {
    let device = autodiff();
    let layer = layer(&device, 87);
    assert_current(&layer, &device);
    let frozen = layer.valid();
    assert_current(&frozen, &Device::flex());
}

#[test]
fn a_part_of_a_larger_tensor_is_a_weight() {
    let device = Device::flex();
    let whole = layer(&device, 89);
    let half = |range: std::ops::Range<usize>| Conv2d {
        weight: Param::from_tensor(whole.weight.val().slice([range])),
        bias: None,
        convolution: whole.convolution,
    };
    let (first, second) = (half(0..OUTPUTS / 2), half(OUTPUTS / 2..OUTPUTS));
    assert_current(&whole, &device);
    assert!(assert_current(&first, &device) != assert_current(&second, &device));
}
