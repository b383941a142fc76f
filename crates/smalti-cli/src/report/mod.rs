//! Figures as a person reads them: a table on the terminal, and a page that holds everything it shows.

mod figures;
pub mod page;
mod pictures;
pub mod plot;
mod training;

pub use figures::{Figure, protocol_lines, table};
pub use page::Page;
pub use pictures::shown;
pub use training::add_curves;
