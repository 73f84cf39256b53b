//! The pure parts of Gapura, compiled by themselves so that they can be fuzzed.
//!
//! What is fuzzed are rules and parsers: they do no I/O and need few crates. Taking their files instead of the whole
//! program means that an instrumented build takes seconds and needs neither libvirt's headers nor a C compiler.

/// Rules without I/O.
#[path = "../../src/cloud"]
pub mod cloud {
    pub mod image_format;
}
