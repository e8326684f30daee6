//! Captions, dictation, transcription and translation on your own machine.
fn main() {}
