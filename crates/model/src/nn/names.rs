//! Sets of names, given by patterns.

use crate::error::ModelError;
use glob::Pattern;

/// Names that match one of several patterns: `*` any characters, `?` one, `[45]` one of these.
///
/// ```
/// use partita_model::nn::NameSet;
///
/// let set = NameSet::parse(&["mm.a.*", "a.blk.[45].*"])?;
/// assert!(set.contains("mm.a.mlp.1.weight") && set.contains("a.blk.4.ln1.bias"));
/// assert!(!set.contains("a.blk.3.ln1.bias"));
/// # Ok::<(), partita_model::ModelError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct NameSet(Vec<Pattern>);

impl NameSet {
    /// The set of these patterns; no pattern is the empty set.
    ///
    /// # Errors
    /// When a pattern is malformed; it is named.
    pub fn parse(patterns: &[impl AsRef<str>]) -> Result<Self, ModelError> {
        let parse = |pattern: &str| {
            Pattern::new(pattern).map_err(|error| ModelError::Parameter {
                name: pattern.to_owned(),
                reason: error.to_string(),
            })
        };
        Ok(Self(patterns.iter().map(|pattern| parse(pattern.as_ref())).collect::<Result<_, _>>()?))
    }

    /// Whether a name is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// Patterns that match none of these names: most likely written wrongly.
    pub fn unmatched<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> Vec<&str> {
        let idle =
            |pattern: &&Pattern| !names.clone().into_iter().any(|name| pattern.matches(name));
        self.0.iter().filter(idle).map(Pattern::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_and_idle_patterns_are_named() {
        let error = NameSet::parse(&["a.*", "b[.weight"]).unwrap_err().to_string();
        assert!(error.contains("b[.weight"), "{error}");
        let set = NameSet::parse(&["a.*", "c.*"]).unwrap();
        assert_eq!(set.unmatched(["a.x", "b.x"]), ["c.*"]);
        assert!(!NameSet::default().contains(""));
    }
}
