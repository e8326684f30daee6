//! Manifests of speech and parallel text, corpus readers, text normalisation, error rates.
