//! The model store: catalogue, download, verification, import.
