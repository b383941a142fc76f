//! The element types of tensors in files, and the gathering of their bytes, however laid out, into [`HostTensor`]s.

use super::tensor::{Doubles, HostTensor, Values};
use half::{bf16, f16};

/// The type of a tensor's elements in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    Bool,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// Which elements of a storage make up a tensor. Offset and strides count elements.
#[derive(Debug)]
pub struct Layout {
    element: Element,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    count: usize,
}

impl Layout {
    /// A tensor that is all of its bytes: row-major, or with `fortran` column-major.
    pub fn dense(element: Element, shape: Vec<usize>, fortran: bool) -> Result<Self, String> {
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        if !fortran {
            axes.reverse();
        }
        let mut strides = vec![0; shape.len()];
        let mut step = 1_usize;
        for axis in axes {
            strides[axis] = step;
            // Where this overflows the whole product does too, which is refused below, or it is zero.
            step = step.saturating_mul(shape[axis]);
        }
        Self::strided(element, 0, shape, strides)
    }

    /// A view into a storage.
    pub fn strided(
        element: Element,
        offset: usize,
        shape: Vec<usize>,
        mut strides: Vec<usize>,
    ) -> Result<Self, String> {
        if strides.len() != shape.len() {
            return Err(format!("has strides {strides:?} for shape {shape:?}"));
        }
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &length| count.checked_mul(length))
            .filter(|count| count.checked_mul(element.size()).is_some());
        let Some(count) = count else {
            return Err(format!("has the impossible shape {shape:?}"));
        };
        // The stride of a dimension without a second element may be anything. Zero keeps sums small.
        for (stride, &length) in strides.iter_mut().zip(&shape) {
            if length <= 1 {
                *stride = 0;
            }
        }
        Ok(Self {
            element,
            offset,
            shape,
            strides,
            count,
        })
    }

    /// How many elements the tensor has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What the description alone is charged, in elements: a tensor of no elements may still have many dimensions, and
    /// a few bytes of a pickle name it again.
    pub fn description(&self) -> usize {
        8 + 2 * self.shape.len()
    }

    /// How many bytes the tensor's elements take.
    pub fn bytes(&self) -> usize {
        self.count * self.element.size()
    }

    /// Whether all elements lie among the first `available`, and are no more than these. More would be an expanded view,
    /// of which a file without substance can have any size.
    fn check(&self, available: usize) -> Result<(), String> {
        if self.count == 0 {
            return Ok(());
        }
        let mut axes = self.shape.iter().zip(&self.strides);
        let last = axes.try_fold(self.offset, |last, (&length, &stride)| {
            last.checked_add((length - 1).checked_mul(stride)?)
        });
        if last.is_none_or(|last| last >= available) {
            return Err(format!(
                "reaches beyond its storage of {available} elements"
            ));
        }
        if self.count > available {
            return Err(format!(
                "repeats a storage of {available} elements to make {}",
                self.count
            ));
        }
        Ok(())
    }

    /// Whether the elements lie one after the other, row-major.
    fn is_contiguous(&self) -> bool {
        let mut step = 1_usize;
        for (&length, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if length > 1 && stride != step {
                return false;
            }
            step *= length;
        }
        true
    }

    /// The position of every element in the storage, row-major. Call it only after [`Self::check`].
    fn positions(&self) -> impl Iterator<Item = usize> {
        let mut index = vec![0_usize; self.shape.len()];
        let mut next = self.offset;
        (0..self.count).map(move |_| {
            let position = next;
            let axes = self.shape.iter().zip(&self.strides);
            for ((length, stride), index) in axes.zip(&mut index).rev() {
                *index += 1;
                next += stride;
                if *index < *length {
                    break;
                }
                next -= stride * length;
                *index = 0;
            }
            position
        })
    }
}

impl Layout {
    /// Reads the tensor out of its storage's bytes.
    ///
    /// # Errors
    /// When the layout does not fit the storage, in words that want the tensor's name before them.
    pub fn gather(self, bytes: &[u8], big_endian: bool) -> Result<HostTensor, String> {
        let source = Source {
            bytes,
            big_endian,
            layout: &self,
        };
        let values = match self.element {
            Element::F16 => source.floats(|raw| f16::from_le_bytes(raw).to_f32()),
            Element::BF16 => source.floats(|raw| bf16::from_le_bytes(raw).to_f32()),
            Element::F32 => source.floats(f32::from_le_bytes),
            Element::F64 => source.floats(|raw| f64::from_le_bytes(raw) as f32),
            Element::I8 => source.integers(|raw| i64::from(i8::from_le_bytes(raw))),
            Element::I16 => source.integers(|raw| i64::from(i16::from_le_bytes(raw))),
            Element::I32 => source.integers(|raw| i64::from(i32::from_le_bytes(raw))),
            Element::I64 => source.integers(i64::from_le_bytes),
            Element::U8 => source.integers(|raw| i64::from(u8::from_le_bytes(raw))),
            Element::U16 => source.integers(|raw| i64::from(u16::from_le_bytes(raw))),
            Element::U32 => source.integers(|raw| i64::from(u32::from_le_bytes(raw))),
            Element::Bool => source.integers(|[byte]: [u8; 1]| i64::from(byte != 0)),
        }?;
        Ok(HostTensor {
            shape: self.shape,
            values,
        })
    }

    /// Reads floats out of the tensor's storage with all their digits.
    ///
    /// # Errors
    /// Those of [`Self::gather`], and elements that are whole numbers.
    pub fn gather_doubles(self, bytes: &[u8], big_endian: bool) -> Result<Doubles, String> {
        let source = Source {
            bytes,
            big_endian,
            layout: &self,
        };
        let values = match self.element {
            Element::F16 => source.read(|raw| f16::from_le_bytes(raw).to_f64()),
            Element::BF16 => source.read(|raw| bf16::from_le_bytes(raw).to_f64()),
            Element::F32 => source.read(|raw| f64::from(f32::from_le_bytes(raw))),
            Element::F64 => source.read(f64::from_le_bytes),
            _ => Err("has whole numbers as its elements where floats are wanted".into()),
        }?;
        Ok(Doubles {
            shape: self.shape,
            values,
        })
    }
}

/// A storage and the view of it that is wanted.
struct Source<'s> {
    bytes: &'s [u8],
    big_endian: bool,
    layout: &'s Layout,
}

impl Source<'_> {
    fn floats<const N: usize>(&self, convert: impl Fn([u8; N]) -> f32) -> Result<Values, String> {
        Ok(Values::F32(self.read(convert)?))
    }

    fn integers<const N: usize>(&self, convert: impl Fn([u8; N]) -> i64) -> Result<Values, String> {
        Ok(Values::I64(self.read(convert)?))
    }

    /// The elements in order, each made from its `N` little-endian bytes.
    fn read<const N: usize, T>(&self, convert: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        let (cells, _) = self.bytes.as_chunks::<N>();
        self.layout.check(cells.len())?;
        let value = |cell: &[u8; N]| {
            let mut raw = *cell;
            if self.big_endian {
                raw.reverse();
            }
            convert(raw)
        };
        let (offset, count) = (self.layout.offset, self.layout.count);
        if count == 0 {
            return Ok(Vec::new());
        }
        if self.layout.is_contiguous() {
            let run = cells.get(offset..offset + count).unwrap_or_default();
            return Ok(run.iter().map(value).collect());
        }
        let cells = self
            .layout
            .positions()
            .filter_map(|position| cells.get(position));
        Ok(cells.map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(values: &[f32]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }

    fn floats(layout: Layout, bytes: &[u8]) -> Vec<f32> {
        let tensor = layout.gather(bytes, false).unwrap();
        tensor.as_f32().unwrap().to_vec()
    }

    #[test]
    fn views_are_gathered_row_major() {
        let bytes = bytes_of(&[0., 1., 2., 3., 4., 5.]);
        let view = |offset, shape: &[usize], strides: &[usize]| {
            let layout = Layout::strided(Element::F32, offset, shape.to_vec(), strides.to_vec());
            floats(layout.unwrap(), &bytes)
        };
        assert_eq!(view(0, &[2, 3], &[3, 1]), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(view(0, &[3, 2], &[1, 3]), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(view(1, &[2, 2], &[2, 1]), [1., 2., 3., 4.]);
        assert_eq!(view(4, &[], &[]), [4.]);
        assert_eq!(view(2, &[1, 2, 1], &[usize::MAX, 3, usize::MAX]), [2., 5.]);
        assert_eq!(view(1, &[2, 2], &[0, 1]), [1., 2., 1., 2.]);
        assert!(view(99, &[3, 0], &[1, 1]).is_empty());
        let fortran = Layout::dense(Element::F32, vec![3, 2], true).unwrap();
        assert_eq!(floats(fortran, &bytes), [0., 3., 1., 4., 2., 5.]);
        let dense = Layout::dense(Element::F32, vec![3, 2], false).unwrap();
        assert_eq!(floats(dense, &bytes), [0., 1., 2., 3., 4., 5.]);
    }

    #[test]
    fn views_that_do_not_fit_are_refused() {
        let bytes = bytes_of(&[0., 1., 2., 3.]);
        let refuses = |offset, shape: &[usize], strides: &[usize], reason: &str| {
            let layout = Layout::strided(Element::F32, offset, shape.to_vec(), strides.to_vec());
            let error = layout
                .and_then(|layout| layout.gather(&bytes, false))
                .unwrap_err();
            assert!(error.contains(reason), "{error}");
        };
        refuses(0, &[5], &[1], "beyond its storage");
        refuses(4, &[1], &[1], "beyond its storage");
        refuses(1, &[2, 2], &[2, 1], "beyond its storage");
        refuses(usize::MAX, &[2], &[1], "beyond its storage");
        refuses(0, &[3], &[usize::MAX], "beyond its storage");
        refuses(0, &[5], &[0], "repeats a storage");
        refuses(0, &[2], &[1, 1], "strides");
        refuses(0, &[usize::MAX, 2], &[0, 0], "impossible shape");
        refuses(0, &[usize::MAX / 2], &[0], "impossible shape");
    }

    #[test]
    fn all_types_are_widened() {
        let read = |element: Element, bytes: &[u8], big: bool| {
            let layout = Layout::dense(element, vec![bytes.len() / element.size()], false);
            layout.unwrap().gather(bytes, big).unwrap().values
        };
        let half = f16::from_f32(1.5).to_le_bytes();
        let brain = bf16::from_f32(-2.5).to_le_bytes();
        assert_eq!(read(Element::F16, &half, false), Values::F32(vec![1.5]));
        assert_eq!(read(Element::BF16, &brain, false), Values::F32(vec![-2.5]));
        let double = 0.25_f64.to_be_bytes();
        assert_eq!(read(Element::F64, &double, true), Values::F32(vec![0.25]));
        let integers: [(Element, Vec<u8>, i64); 8] = [
            (Element::I8, vec![0xff], -1),
            (Element::U8, vec![0xff], 255),
            (Element::I16, vec![0xff, 0xfe], -2),
            (Element::U16, vec![0xff, 0xfe], 0xfffe),
            (Element::I32, vec![0, 0, 1, 0], 256),
            (Element::U32, vec![0xff; 4], 0xffff_ffff),
            (Element::I64, vec![0xff; 8], -1),
            (Element::Bool, vec![2], 1),
        ];
        for (element, bytes, expected) in integers {
            assert_eq!(read(element, &bytes, true), Values::I64(vec![expected]));
        }
    }

    #[test]
    fn doubles_keep_their_digits() {
        let read = |element: Element, bytes: &[u8], big: bool| {
            let layout = Layout::dense(element, vec![bytes.len() / element.size()], false);
            layout.unwrap().gather_doubles(bytes, big)
        };
        let third = 1.0_f64 / 3.0;
        let wide = read(Element::F64, &third.to_be_bytes(), true).unwrap();
        assert_eq!((wide.shape, wide.values), (vec![1], vec![third]));
        let single = read(Element::F32, &0.1_f32.to_le_bytes(), false).unwrap();
        assert_eq!(single.values, [f64::from(0.1_f32)]);
        let half = read(Element::F16, &f16::from_f32(1.5).to_le_bytes(), false).unwrap();
        assert_eq!(half.values, [1.5]);
        let whole = read(Element::I32, &[0; 4], false).unwrap_err();
        assert!(whole.contains("floats are wanted"), "{whole}");
    }
}
