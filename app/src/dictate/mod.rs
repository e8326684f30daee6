//! Typing what is said into other programs.
