//! The window without a display: pressed and read by the names that its widgets have for whoever
//! cannot see them. Sessions are served by events as real ones tell them; files, history, settings
//! and the store are real.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod live;
mod pages;
mod painter;
mod pictures;
mod support;
mod work;
