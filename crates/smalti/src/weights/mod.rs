//! Weights of networks other people trained, which this program measures and trains with: which there are
//! ([`catalogue`], and of what layers the [`classifier`]s consist: [`inception`], [`efficientnet`]), how they are
//! read from the forms people have them in ([`import`]), where they are kept ([`cache`]) and how they are got
//! ([`fetch`]). Nothing here touches the network unless a file is asked for that is not on the machine.

pub mod cache;
pub mod catalogue;
pub mod classifier;
pub mod efficientnet;
pub mod fetch;
pub mod hed;
pub mod import;
pub mod inception;
