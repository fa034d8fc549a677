//! Lines, colours and times.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

/// Writes the answer of a command, the only thing on stdout.
pub fn answer(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a plain line.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes the heading of something that writes its own output.
pub fn heading(text: &str) {
    line(&format!("\n{}", paint("1", text)));
}

/// Writes something worth knowing.
pub fn note(text: &str) {
    line(&format!("{} {text}", paint("33", "!")));
}

/// Writes why the command fails.
pub fn failure(text: &str) {
    line(&format!("{} {text}", paint("31", "error:")));
}

/// Returns a time as people read it: `1.3 s`.
pub fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// Colours the text by an ANSI code, on a terminal.
pub fn paint(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !std::io::stderr().is_terminal() { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// Reports whether a line of stderr may change after it was written.
pub(crate) fn is_interactive() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
