//! Numbers of things, as messages say them.

/// `1 picture`, `2 pictures`: a number with its noun, of which several end in `s`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let found = [0, 1, 2].map(|count| counted(count, "picture"));
        assert_eq!(found, ["0 pictures", "1 picture", "2 pictures"]);
    }
}
