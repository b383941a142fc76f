//! Tensors in files: our own safetensors form, the readers of other people's, and the way from files to a network's
//! parameters and back. Nothing here knows a network.

mod budget;
mod element;
mod file;
pub mod foreign;
mod mapped;
mod npy;
mod npz;
mod numpy;
mod parameters;
mod pickle;
mod spool;
mod tensor;
mod torch;
mod zip_entry;

pub(crate) use file::{is_temporary, sync_folder};
pub use file::{
    read_doubles, read_tensors, write_atomic, write_doubles, write_plain_tensors, write_tensors,
};
pub(crate) use npy::MAGIC as NPY_MAGIC;
pub use npy::read_npy;
pub use npz::{read_npz, write_npz};
pub(crate) use parameters::{ParameterPath, host_codes, host_indices, host_values};
pub use parameters::{load_parameters, parameter_keys, parameters};
pub use tensor::{Doubles, DoublesMap, HostTensor, TensorMap, Values};
pub use torch::write_torch;

pub use mapped::{MappedTensors, Rows};
pub use spool::Spool;
