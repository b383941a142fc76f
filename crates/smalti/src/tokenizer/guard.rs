//! The guard against steps whose losses or gradients are no numbers: such a step moves nothing, its batch is kept for
//! whoever wants to know why, and too many in a row end the run.

use crate::checkpoint::{HostTensor, TensorMap, host_values, write_tensors};
use crate::error::{Error, Result};
use burn::tensor::Tensor;
use std::path::{Path, PathBuf};

/// Counts what was left out.
pub struct Guard {
    run: PathBuf,
    at_most: u64,
    skipped: u64,
    in_a_row: u64,
    notes: Vec<String>,
}

impl Guard {
    /// For a run in the folder `run` that may leave out `at_most` steps in a row.
    pub fn new(run: &Path, at_most: u64) -> Self {
        Self {
            run: run.to_path_buf(),
            at_most,
            skipped: 0,
            in_a_row: 0,
            notes: Vec::new(),
        }
    }

    /// How many steps were left out in this session.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was not said yet.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// A step that went well.
    pub fn passed(&mut self) {
        self.in_a_row = 0;
    }

    /// Step `step` (from 1) was left out because `what` was no number. `pixels` `[b, h, w, c]` and the numbers of their
    /// pictures in the data set are written to `RUN/skipped/`.
    ///
    /// # Errors
    /// Too many such steps one after the other, or a disk that fails.
    pub fn left_out(
        &mut self,
        step: u64,
        what: &str,
        pixels: Tensor<4>,
        pictures: &[usize],
    ) -> Result<()> {
        self.skipped += 1;
        self.in_a_row += 1;
        let folder = self.run.join("skipped");
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let path = folder.join(format!("step-{step:08}.safetensors"));
        let pictures: Vec<i64> = pictures.iter().map(|&picture| picture as i64).collect();
        let tensors = TensorMap::from([
            (
                "pixels".into(),
                HostTensor::f32(pixels.dims(), host_values(pixels)),
            ),
            (
                "pictures".into(),
                HostTensor::i64([pictures.len()], pictures),
            ),
        ]);
        write_tensors(&path, &tensors, &Default::default())?;
        if self.in_a_row > self.at_most {
            return Err(Error::file(
                &self.run,
                format!(
                    "{what} is not a number at step {step}, the last of {} such steps in a row; the checkpoints before \
                     are good. Go on with --resume and a lower learning_rate, or gradient_clip=1 (--set); the batches \
                     are in {}",
                    self.in_a_row,
                    folder.display()
                ),
            ));
        }
        self.notes.push(format!(
            "step {step} was left out: {what} is not a number; its batch is in {}",
            path.display()
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::read_tensors;
    use burn::tensor::Device;

    #[test]
    fn keeps_the_batch_and_stops_after_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = Guard::new(folder.path(), 2);
        let pixels = || Tensor::<4>::full([1, 2, 2, 3], 0.5, &Device::flex());
        guard.left_out(7, "p_loss", pixels(), &[4]).unwrap();
        assert!(guard.notes()[0].contains("step 7 was left out: p_loss"));
        let kept = folder.path().join("skipped/step-00000007.safetensors");
        let (tensors, _) = read_tensors(&kept).unwrap();
        assert_eq!(tensors["pixels"].as_f32().unwrap(), [0.5; 12]);
        assert_eq!(tensors["pictures"].as_i64().unwrap(), [4]);
        guard.left_out(8, "p_loss", pixels(), &[4]).unwrap();
        guard.passed();
        guard.left_out(10, "p_loss", pixels(), &[4]).unwrap();
        guard.left_out(11, "p_loss", pixels(), &[4]).unwrap();
        let error = guard.left_out(12, "grad_norm", pixels(), &[4]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("grad_norm is not a number at step 12"),
            "{error}"
        );
        assert_eq!(guard.skipped(), 5);
    }
}
