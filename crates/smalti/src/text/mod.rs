//! Texts as a condition: an encoder that makes one vector of a text, and the captions of a data set's pictures.

mod captions;
mod encoder;
mod table;
#[cfg(test)]
mod tiny;
mod tokenizer;

pub use captions::Captions;
pub use encoder::TextEncoder;
pub use tokenizer::Tokenizer;
