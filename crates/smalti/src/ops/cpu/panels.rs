//! Weights of convolutions in panels, kept from call to call for as long as the weight is what it was.
//!
//! That kept panels are those of a weight is not left to whoever changes it. Tensors own their memory through an `Arc`
//! and write to it by `Arc::make_mut` or `Arc::get_mut`. A note about a weight holds a weak handle of that `Arc`, taken
//! while the weight is borrowed. As long as there is one, `get_mut` gives nothing, and `make_mut` moves a sole owner's
//! memory, without copying it, into a new `Arc`. So a weight that still has the noted `Arc` has not been written since,
//! and as the handle keeps the place of the `Arc` taken, no other weight can come to have it.
//!
//! Only panels in bf16 are kept, where packing also rounds: in f32 it is 3 % of a reconstruction, and keeping them would
//! take more than half as much memory again. In bf16 they take half of what the weight takes, 16/9 of that where upsampling
//! is folded in, and as much again for gradients of inputs. They are made when a weight is used for the second time, so what is used
//! once between two changes (in a training step of one pass, everything) costs none. A note outlives a change in place:
//! a weight that was used again before has panels from its first use after. Panels are dropped when their weight is
//! found gone or changed, at the latest with the next step of an optimiser.

use super::values::{Value, Values, tensor, unset};
use burn::tensor::DType;
use burn_flex::FlexTensor;
use burn_std::Bytes;
use smalti_kernels::conv2d::{FilterForm, PackedFilter};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// Smaller panels are as quickly packed as read from memory.
const MIN_BYTES: usize = 64 * 1024;

/// With more notes than this, those about weights that have gone are dropped.
const MOST_NOTES: usize = 4096;

static NOTES: LazyLock<Mutex<Notes>> = LazyLock::new(Mutex::default);

fn notes() -> MutexGuard<'static, Notes> {
    // A panic elsewhere leaves the notes as they were: their methods do not panic.
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a note is about. The address is where the values lie: a weight that is written in place keeps it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Subject {
    address: usize,
    dtype: DType,
    form: FilterForm,
}

struct Note {
    source: Weak<Bytes>,
    /// How often the weight was used since it is what it is.
    uses: usize,
    panels: Option<FlexTensor>,
}

impl Note {
    /// At the first use.
    fn new(source: &Arc<Bytes>) -> Self {
        Self {
            source: Arc::downgrade(source),
            uses: 1,
            panels: None,
        }
    }

    fn is_about(&self, source: &Arc<Bytes>) -> bool {
        std::ptr::eq(self.source.as_ptr(), Arc::as_ptr(source))
    }
}

/// What to do about the panels of a weight.
enum Advice {
    Take(FlexTensor),
    Keep,
    PackOnce,
}

#[derive(Default)]
struct Notes(HashMap<Subject, Note>);

impl Notes {
    /// Notes a use.
    fn advise(&mut self, subject: &Subject, source: &Arc<Bytes>) -> Advice {
        let Some(note) = self.0.get_mut(subject) else {
            self.release();
            self.0.insert(subject.clone(), Note::new(source));
            return Advice::PackOnce;
        };
        if !note.is_about(source) {
            let used_again = note.uses > 1;
            *note = Note::new(source);
            return if used_again {
                Advice::Keep
            } else {
                Advice::PackOnce
            };
        }
        note.uses += 1;
        match &note.panels {
            Some(panels) => Advice::Take(panels.clone()),
            None => Advice::Keep,
        }
    }

    fn keep(&mut self, subject: &Subject, source: &Arc<Bytes>, panels: &FlexTensor) {
        if let Some(note) = self.0.get_mut(subject)
            && note.is_about(source)
        {
            note.panels = Some(panels.clone());
        }
    }

    /// Drops the panels of weights that have gone or changed.
    fn release(&mut self) {
        let gone = |note: &Note| note.source.strong_count() == 0;
        if self.0.len() >= MOST_NOTES {
            self.0.retain(|_, note| !gone(note));
        }
        for note in self.0.values_mut().filter(|note| gone(note)) {
            note.panels = None;
        }
    }
}

/// Drops the panels of weights that have gone or changed.
pub fn release_panels() {
    notes().release();
}

/// Runs `work` with the panels of a weight of f32, kept ones if there are any.
pub fn with_panels<E: Value, R>(
    weight: &FlexTensor,
    form: &FilterForm,
    work: impl FnOnce(PackedFilter<'_, E>) -> R,
) -> R {
    let values = Values::of(weight);
    // Values that had to be brought into reading order are those of this call only.
    let lasting = std::ptr::eq(values.slice().as_ptr().cast(), weight.bytes().as_ptr());
    let bytes = form.packed_len::<E>() * size_of::<E>();
    let rounded = E::dtype() != DType::F32;
    if !rounded || !lasting || bytes < MIN_BYTES {
        return form.with_packed::<E, R>(values.slice(), work);
    }
    let source = weight.data_arc();
    let subject = Subject {
        address: weight.bytes().as_ptr().addr(),
        dtype: E::dtype(),
        form: form.clone(),
    };
    let advice = notes().advise(&subject, &source);
    let panels = match advice {
        Advice::PackOnce => return form.with_packed::<E, R>(values.slice(), work),
        Advice::Take(panels) => panels,
        Advice::Keep => {
            // Not under the lock: while threads pack, this one may be given another job that asks for panels.
            let panels = packed::<E>(values.slice(), form);
            notes().keep(&subject, &source, &panels);
            panels
        }
    };
    let panels = Values::of(&panels);
    work(PackedFilter::new(form, panels.of_type::<E>()))
}

fn packed<E: Value>(weight: &[f32], form: &FilterForm) -> FlexTensor {
    let len = form.packed_len::<E>();
    let mut panels = unset::<E>(len);
    form.pack(weight, &mut panels);
    tensor(panels, [len])
}

#[cfg(test)]
mod tests;
