//! What an engine has, read from its model's files.

use crate::gui::backend::Offers;
use crate::gui::languages::Offer;
use crate::gui::worker::{Wake, Worker};
use crate::settings::Engine;

/// Starts the thread, which says what the engines have that it is asked about; nothing of those that
/// are not there.
///
/// # Errors
/// When the system has no thread left.
pub fn start(mut offers: Offers, wake: Wake) -> std::io::Result<Worker<Engine, (Engine, Offer)>> {
    Worker::start("languages", wake, move |engine, out| {
        if let Some(offer) = offers(&engine) {
            out.say((engine, offer));
        }
    })
}
