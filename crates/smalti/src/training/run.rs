//! The run folder: `config.yaml`, logs, pictures and checkpoints.
//!
//! A checkpoint is a folder `checkpoints/STEP` with the model and the training state, written under another name and
//! renamed when it is complete, so that model and state always belong together and a crash leaves the one before.

use crate::checkpoint::{TensorMap, is_temporary, write_atomic, write_tensors};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// No run takes more steps. A folder may have any number for a name, and steps are multiplied by the batch.
const MAX_STEP: u64 = 1_000_000_000_000;

/// What the names of folders of unfinished checkpoints begin with.
const UNFINISHED: &str = ".unfinished-";

/// A run folder.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
}

/// A complete checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub step: u64,
    folder: PathBuf,
}

impl Checkpoint {
    /// The model file.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// Optimisers, discriminator and counters.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state.safetensors")
    }
}

impl Run {
    /// Creates a run folder and writes its configuration.
    ///
    /// # Errors
    /// A folder that holds something already: a run is never overwritten.
    pub fn create(folder: &Path, config: &str) -> Result<Self> {
        Self::check_free(folder)?;
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let run = Self {
            folder: folder.to_path_buf(),
        };
        // The configuration comes first: with it, a run that is killed right now can be continued.
        run.write_config(config)?;
        run.make_parts()?;
        Ok(run)
    }

    /// Creates a run folder, or opens the one to be continued, and writes the configuration it now has.
    pub fn start(folder: &Path, resume: bool, config: &str) -> Result<Self> {
        if !resume {
            return Self::create(folder, config);
        }
        let run = Self::open(folder)?;
        run.remove_unfinished();
        run.make_parts()?;
        run.write_config(config)?;
        Ok(run)
    }

    fn make_parts(&self) -> Result<()> {
        for part in ["checkpoints", "images"] {
            let part = self.folder.join(part);
            std::fs::create_dir_all(&part).map_err(|error| Error::io(&part, error))?;
        }
        Ok(())
    }

    /// Refuses a folder that holds something already.
    pub fn check_free(folder: &Path) -> Result<()> {
        let left_by_a_killed_start = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.is_ok_and(|entry| is_temporary(&entry.file_name().to_string_lossy()))
        };
        let free = std::fs::read_dir(folder)
            .map_or(true, |mut entries| entries.all(left_by_a_killed_start));
        if free {
            return Ok(());
        }
        Err(Error::input(format!(
            "{} is not empty: continue that run with --resume {0}, or choose another --out",
            folder.display()
        )))
    }

    /// Opens an existing run.
    pub fn open(folder: &Path) -> Result<Self> {
        let run = Self {
            folder: folder.to_path_buf(),
        };
        if !run.config().is_file() {
            return Err(Error::input(format!(
                "{} is not a run folder: it has no config.yaml",
                folder.display()
            )));
        }
        Ok(run)
    }

    /// Removes what a program that was killed while it wrote a checkpoint has left. Only who continues a run may: another
    /// program may be writing one this moment.
    fn remove_unfinished(&self) {
        let Ok(entries) = std::fs::read_dir(self.folder.join("checkpoints")) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // What cannot be removed only takes room.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Replaces the configuration, after a change of settings in a continued run.
    pub fn write_config(&self, config: &str) -> Result<()> {
        if std::fs::read_to_string(self.config()).is_ok_and(|old| old == config) {
            return Ok(());
        }
        write_atomic(&self.config(), |file| file.write_all(config.as_bytes()))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// Where a picture of this step goes.
    pub fn picture(&self, name: &str, step: u64) -> PathBuf {
        self.folder
            .join("images")
            .join(format!("{name}-{step:08}.png"))
    }

    /// The newest complete checkpoint.
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        Ok(self.checkpoints()?.pop())
    }

    /// All complete checkpoints, oldest first.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>> {
        let folder = self.folder.join("checkpoints");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&folder, error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(&folder, error))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.parse::<u64>().ok());
            if let Some(step) = step.filter(|&step| step <= MAX_STEP) {
                found.push(Checkpoint {
                    step,
                    folder: entry.path(),
                });
            }
        }
        found.sort_by_key(|checkpoint: &Checkpoint| checkpoint.step);
        Ok(found)
    }

    /// Writes a checkpoint whole or not at all, then removes all but the newest `keep`.
    pub fn save(
        &self,
        step: u64,
        model: impl FnOnce(&Path) -> Result<()>,
        state: &TensorMap,
        keep: usize,
    ) -> Result<Checkpoint> {
        let folder = self.folder.join("checkpoints");
        let complete = Checkpoint {
            step,
            folder: folder.join(format!("{step:08}")),
        };
        if complete.folder.exists() {
            return Ok(complete);
        }
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&folder)
            .map_err(|error| Error::io(&folder, error))?;
        let draft = Checkpoint {
            step,
            folder: unfinished.path().to_path_buf(),
        };
        model(&draft.model())?;
        write_tensors(&draft.state(), state, &BTreeMap::new())?;
        open_to_others(unfinished.path()).map_err(|error| Error::io(unfinished.path(), error))?;
        std::fs::rename(unfinished.path(), &complete.folder)
            .and_then(|()| crate::checkpoint::sync_folder(&folder))
            .map_err(|error| Error::io(&complete.folder, error))?;
        let checkpoints = self.checkpoints()?;
        for old in checkpoints.iter().rev().skip(keep.max(1)) {
            std::fs::remove_dir_all(&old.folder).map_err(|error| Error::io(&old.folder, error))?;
        }
        Ok(complete)
    }
}

/// Temporary folders are private to their owner; a checkpoint is an ordinary folder.
#[cfg(unix)]
fn open_to_others(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The model file that `path` stands for: itself, or the newest checkpoint's if it is a run folder.
pub fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    match Run::open(path)?.latest()? {
        Some(checkpoint) => Ok(checkpoint.model()),
        None => Err(Error::input(format!(
            "{} has no checkpoint yet",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_no_run_made_are_no_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["00000003", "18446744073709551615", "latest", "-1", ""] {
            std::fs::create_dir_all(folder.path().join("checkpoints").join(name)).unwrap();
        }
        std::fs::write(folder.path().join("config.yaml"), "").unwrap();
        let run = Run::open(folder.path()).unwrap();
        let steps: Vec<u64> = run
            .checkpoints()
            .unwrap()
            .iter()
            .map(|found| found.step)
            .collect();
        assert_eq!(steps, [3]);
    }
}
