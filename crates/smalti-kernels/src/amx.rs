//! Access to the tile registers of AMX: asking for them, and the few instructions the products use.

/// Whether the processor and the operating system give this process bf16 tiles.
pub(crate) fn is_available() -> bool {
    false
}
