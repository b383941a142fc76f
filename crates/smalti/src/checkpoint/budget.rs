//! How much may be made out of a file. A few bytes can ask for any amount: by naming one tensor a million times, or by
//! compressing zeros. A real checkpoint unpacks to about its own size.

/// How many times the file's size may be spent, and how much more any file may, however small.
const FACTOR: u64 = 4;
const ALLOWANCE: u64 = 1 << 20;

/// What is left of one resource: tensor elements, bytes of storages, or bytes of names.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    what: &'static str,
}

impl Budget {
    /// The budget of a file of `bytes` bytes; `what` names the resource in the error.
    pub fn new(what: &'static str, bytes: u64) -> Self {
        let left = bytes.saturating_mul(FACTOR).saturating_add(ALLOWANCE);
        Self { left, what }
    }

    /// Takes `amount` off, or refuses.
    pub fn spend(&mut self, amount: usize) -> Result<(), String> {
        match self.left.checked_sub(amount as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(format!(
                "unpacks to far more {} than the file's size accounts for; no real checkpoint does",
                self.what
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget::new("tensor elements", 10);
        assert!(budget.spend(ALLOWANCE as usize + 39).is_ok());
        assert!(budget.spend(1).is_ok());
        assert!(budget.spend(1).unwrap_err().contains("tensor elements"));
        assert!(budget.spend(0).is_ok());
        let mut endless = Budget::new("bytes", u64::MAX);
        assert!(endless.spend(usize::MAX).is_ok());
    }
}
