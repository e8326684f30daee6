//! A named thread that answers requests, so that the window never waits.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;

/// Makes the window draw itself anew; called from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Requests that may wait. More than a person can press before the first is done.
const WAITING: usize = 256;
/// Answers that may wait to be drawn; a thread that is ahead waits.
const ANSWERS: usize = 256;

/// A thread that takes requests in order.
#[derive(Debug)]
pub struct Worker<Q, A> {
    requests: Sender<Q>,
    answers: Receiver<A>,
}

/// Where a worker puts what it has to say.
pub struct Answers<A> {
    sender: Sender<A>,
    wake: Wake,
}

impl<A> Answers<A> {
    /// Says something; `false` when nobody listens any more and the work may stop.
    pub fn say(&self, answer: A) -> bool {
        let heard = self.sender.send(answer).is_ok();
        (self.wake)();
        heard
    }
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    /// Starts a thread, which ends after this value does. `serve` makes one answer or more of a
    /// request.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        name: &str,
        wake: Wake,
        mut serve: impl FnMut(Q, &Answers<A>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = bounded(WAITING);
        let (sender, answers) = bounded(ANSWERS);
        let out = Answers { sender, wake };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for request in inbox {
                serve(request, &out);
            }
        })?;
        Ok(Self { requests, answers })
    }

    /// Asks; `false` when too much waits already, or the thread is gone.
    pub fn ask(&self, request: Q) -> bool {
        match self.requests.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// What has been said since the last look.
    pub fn heard(&self) -> impl Iterator<Item = A> + '_ {
        self.answers.try_iter()
    }
}
