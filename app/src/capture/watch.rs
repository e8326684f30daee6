//! Levels of devices that nobody listens to yet.

use super::feed::{self, Feeds, Post};
use super::{CaptureError, Meter, Source};
use std::sync::Arc;

/// Listens to devices for their levels only, as a page of settings shows them; nothing is kept or
/// converted. Devices that cannot be opened are tried again every second and are not
/// [present](super::Level::present) meanwhile. Dropping it closes the devices.
pub struct Watch {
    meter: Arc<Meter>,
    _feeds: Feeds,
}

impl Watch {
    /// Begins to listen to these, without waiting for them; a file has no level here.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn open(sources: &[Source]) -> Result<Self, CaptureError> {
        let meter = Arc::new(Meter::new(sources.len()));
        let mut feeds = Feeds::default();
        for (lane, source) in sources.iter().cloned().enumerate() {
            if matches!(source, Source::File(_)) {
                continue;
            }
            let post = Post { lane, sender: None, meter: meter.clone(), stop: feeds.stop() };
            feeds.start(move || feed::run(&source, &post, None))?;
        }
        Ok(Self { meter, _feeds: feeds })
    }

    /// The levels, in the order in which the sources were named.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}
