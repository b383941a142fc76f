//! A module that an optimiser moves in place.

use burn::module::Module;
use std::ops::{Deref, DerefMut};

/// A module whose parameters nobody else holds while they are moved: a second holder would make every one of them be
/// copied.
#[derive(Debug)]
pub struct Owned<M>(Option<M>);

impl<M: Module> Owned<M> {
    pub fn new(module: M) -> Self {
        Self(Some(module))
    }

    /// Replaces the module by what `change` makes of it.
    ///
    /// # Panics
    /// After a panic in an earlier `change`: the module went with it.
    pub fn update(&mut self, change: impl FnOnce(M) -> M) {
        let module = self.0.take().expect(PRESENT);
        self.0 = Some(change(module));
    }
}

const PRESENT: &str = "a module is away only while it is being changed";

impl<M> Deref for Owned<M> {
    type Target = M;

    fn deref(&self) -> &M {
        self.0.as_ref().expect(PRESENT)
    }
}

impl<M> DerefMut for Owned<M> {
    fn deref_mut(&mut self) -> &mut M {
        self.0.as_mut().expect(PRESENT)
    }
}
