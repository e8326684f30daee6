//! Which evaluations are among the best of a stage, so that their checkpoints are kept.

use crate::recipe::Recipe;

/// The values of the best checkpoints of a stage, at most as many as a recipe keeps.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    /// The best first.
    values: Vec<f32>,
    most: usize,
    rises: bool,
}

impl Best {
    /// None yet.
    pub fn new(recipe: &Recipe) -> Self {
        let rises = recipe.evaluation.metric.rises();
        Self { values: Vec::new(), most: recipe.checkpoints.keep_best, rises }
    }

    /// Whether a value is among the best; of equal ones, the earlier stays.
    pub fn takes(&self, value: f32) -> bool {
        match self.values.last() {
            _ if self.values.len() < self.most => true,
            Some(worst) if self.rises => value > *worst,
            Some(worst) => value < *worst,
            None => false,
        }
    }

    /// Adds the value of a checkpoint that was written.
    pub fn add(&mut self, value: f32) {
        self.values.push(value);
        self.values.sort_by(|a, b| if self.rises { b.total_cmp(a) } else { a.total_cmp(b) });
        self.values.truncate(self.most);
    }
}
