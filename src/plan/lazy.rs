//! What is made at its first use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepared::Prepared;
use crate::error::Result;

/// A pass that is prepared when it is first recorded.
#[derive(Debug, Default)]
pub(super) struct Lazy(Mutex<Option<Arc<Prepared>>>);

impl Lazy {
    /// The prepared pass, if it was used.
    pub(super) fn get(&self) -> Option<Arc<Prepared>> {
        self.lock().clone()
    }

    /// The prepared pass, made now if it was not. An error leaves it as it was.
    pub(super) fn or_prepare(
        &self,
        make: impl FnOnce() -> Result<Prepared>,
    ) -> Result<Arc<Prepared>> {
        let mut slot = self.lock();
        if let Some(prepared) = &*slot {
            return Ok(prepared.clone());
        }
        Ok(slot.insert(Arc::new(make()?)).clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Prepared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
