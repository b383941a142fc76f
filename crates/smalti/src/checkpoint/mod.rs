//! Models and tensors in files: our own safetensors form, and the readers of other people's.

mod authors;
mod budget;
mod element;
mod file;
pub mod foreign;
pub mod model;
mod numpy;
mod parameters;
mod pickle;
mod tensor;
mod torch;

pub use authors::import;
pub(crate) use file::sync_folder;
pub use file::{read_tensors, write_atomic, write_tensors};
pub use model::{Model, ModelInfo};
pub(crate) use parameters::{ParameterPath, host_codes, host_values};
pub use parameters::{load_parameters, parameters};
pub use tensor::{HostTensor, TensorMap, Values};
