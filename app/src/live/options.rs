//! How a session listens and writes.

use std::time::Duration;

/// Options of a session; they may be changed while it runs and then count from the next utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveOptions {
    /// Languages that may be spoken: one is taken as given, several are chosen among, none means
    /// any that the engine knows.
    pub languages: Vec<String>,
    /// Language to translate into.
    pub translate: Option<String>,
    /// Whether text is shown while somebody speaks.
    pub partials: bool,
    /// Speech between partial texts, when the machine keeps up.
    pub interval: Duration,
    /// Probability from which on a frame is speech, 0 to 1.
    pub threshold: f32,
    /// Phrases shorter than this are not heard.
    pub minimum_speech: Duration,
    /// The pause that ends a phrase.
    pub hang_over: Duration,
    /// Audio before the onset that is heard with it.
    pub pre_roll: Duration,
    /// Longest utterance; longer ones are cut at their best pause.
    pub longest: Duration,
    /// Hypotheses kept side by side for the final text; 1 is greedy.
    pub beam: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            languages: Vec::new(),
            translate: None,
            partials: true,
            interval: Duration::from_millis(300),
            threshold: 0.5,
            minimum_speech: Duration::from_millis(250),
            hang_over: Duration::from_millis(600),
            pre_roll: Duration::from_millis(300),
            longest: Duration::from_secs(20),
            beam: 5,
        }
    }
}
