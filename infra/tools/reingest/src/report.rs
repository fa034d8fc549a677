//! The report at the end: the counts on stdout, everything else on stderr.

use std::io::Write as _;

use crate::{counts::Counts, progress::line, state::State, walk::End};

/// Writes the counts, then the reason for an early end and the way to resume.
pub(crate) fn report(end: &End, state: &State) {
    let (End::Finished(counts) | End::Interrupted(counts) | End::Failed(counts, _)) = end;
    let Counts { new, replaced, unchanged, rejected, passed_over } = counts;
    let total = counts.total();
    let _ = writeln!(
        std::io::stdout(),
        "{total} documents: {new} new, {replaced} replaced, {unchanged} unchanged, {rejected} rejected, \
         {passed_over} passed over"
    );
    match end {
        End::Finished(_) => return,
        End::Interrupted(_) => line("interrupted"),
        End::Failed(_, error) => line(&format!("error: {error:#}")),
    }
    match state.file() {
        Some(file) => line(&format!("the same command goes on, by {}", file.display())),
        None if state.done().is_empty() => line("nothing is done yet"),
        None => line(&format!("to go on, add: --after '{}'", state.done().replace('\'', r"'\''"))),
    }
}
