//! An engine that computes on threads of its own: how many of them can change while the program runs.

use partita_model::ModelError;
use partita_model::engine::{
    Capabilities, Draft, Engine, LiveEngine, Request, Transcript, Written,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Opens an engine on so many threads, which it keeps. Those of the process are used where they are
/// as many.
///
/// Quantized products are the exception: candle's pool for them begins with the process and never
/// changes.
///
/// # Errors
/// Those of `open`, or when the system has no threads left.
pub fn on_threads(
    threads: usize,
    open: impl FnOnce() -> anyhow::Result<Box<dyn LiveEngine>> + Send,
) -> anyhow::Result<Box<dyn LiveEngine>> {
    if threads == rayon::current_num_threads() {
        return open();
    }
    let name = |number| format!("engine-{number}");
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()?;
    let engine = pool.install(open)?;
    Ok(Box::new(Pooled { engine, pool }))
}

/// An engine and its threads.
struct Pooled {
    engine: Box<dyn LiveEngine>,
    pool: ThreadPool,
}

impl Engine for Pooled {
    fn capabilities(&self) -> &Capabilities {
        self.engine.capabilities()
    }

    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError> {
        let engine = &mut self.engine;
        self.pool.install(|| engine.transcribe(samples, request))
    }
}

impl LiveEngine for Pooled {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        let engine = &mut self.engine;
        self.pool.install(|| engine.hear(samples))
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        let engine = &mut self.engine;
        self.pool.install(|| engine.write(request, draft))
    }

    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError> {
        let engine = &mut self.engine;
        self.pool.install(|| engine.translate(target, written))
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.engine.spell(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Keeps how many threads it is asked on.
    struct Counter {
        can: Capabilities,
        seen: Arc<Mutex<Vec<usize>>>,
    }

    impl Counter {
        fn count(&self) {
            self.seen.lock().unwrap().push(rayon::current_num_threads());
        }
    }

    impl Engine for Counter {
        fn capabilities(&self) -> &Capabilities {
            &self.can
        }

        fn transcribe(&mut self, _: &[f32], _: &Request) -> Result<Transcript, ModelError> {
            self.count();
            Ok(Transcript {
                language: "en".to_owned(),
                language_probability: 1.0,
                no_speech: 0.0,
                text: Default::default(),
                translation: None,
                resume: None,
            })
        }
    }

    impl LiveEngine for Counter {
        fn hear(&mut self, _: &[f32]) -> Result<(), ModelError> {
            self.count();
            Ok(())
        }

        fn write(&mut self, _: &Request, _: Draft) -> Result<Written, ModelError> {
            self.count();
            Ok(Written::default())
        }

        fn translate(&mut self, _: &str, _: &Written) -> Result<String, ModelError> {
            self.count();
            Ok(String::new())
        }

        fn spell(&self, _: &[u32]) -> Result<String, ModelError> {
            Ok(String::new())
        }
    }

    #[test]
    fn an_engine_is_loaded_and_asked_on_as_many_threads_as_it_is_given() {
        let own = rayon::current_num_threads();
        for threads in [1, 3, own, own + 1] {
            let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
            let of_engine = seen.clone();
            let mut engine = on_threads(threads, move || {
                let counter = Counter {
                    can: Capabilities {
                        engine: "counter",
                        languages: vec!["en".to_owned()],
                        translation_targets: Vec::new(),
                        timestamps: false,
                        longest_window: 30.0,
                    },
                    seen: of_engine,
                };
                counter.count();
                Ok(Box::new(counter))
            })
            .unwrap();
            assert_eq!(engine.capabilities().engine, "counter");
            engine.transcribe(&[], &Request::default()).unwrap();
            engine.hear(&[]).unwrap();
            let written = engine.write(&Request::default(), Draft::default()).unwrap();
            engine.translate("de", &written).unwrap();
            assert_eq!(*seen.lock().unwrap(), [threads; 5]);
        }
        let refused = on_threads(own + 1, || anyhow::bail!("no weights")).err().unwrap();
        assert_eq!(refused.to_string(), "no weights");
    }
}
