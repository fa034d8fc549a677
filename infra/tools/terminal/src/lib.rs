//! The output of a command for people: progress and notes on stderr, its answer on stdout.
//!
//! On a terminal running work spins and shows its time; elsewhere it is a line every few seconds. Colours need a
//! terminal and respect `NO_COLOR`. Writing never fails: a reader that went away is no reason to stop.

mod progress;
mod text;

pub use progress::{Progress, step};
pub use text::{answer, failure, heading, line, note, paint, seconds};
