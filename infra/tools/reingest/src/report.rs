//! The end of a walk as people read it: the counts on stdout, how to continue on stderr.

use terminal::{answer, failure, line};

use crate::{counts::Counts, state::State, walk::End};

/// Prints how the walk ended, and how to continue it.
pub(crate) fn print(end: &End, state: &State) {
    let (End::Finished(counts) | End::Interrupted(counts) | End::Failed(counts, _)) = end;
    let Counts { new, replaced, unchanged, rejected, passed_over } = counts;
    let total = counts.total();
    answer(&format!(
        "{total} documents: {new} new, {replaced} replaced, {unchanged} unchanged, {rejected} rejected, \
         {passed_over} passed over"
    ));
    match end {
        End::Finished(_) => return,
        End::Interrupted(_) => line("interrupted"),
        End::Failed(_, error) => failure(&format!("{error:#}")),
    }
    match state.file() {
        Some(file) => line(&format!("the same command continues, from {}", file.display())),
        None if state.done().is_empty() => line("nothing is done yet"),
        None => line(&format!("to continue, add: --after '{}'", state.done().replace('\'', r"'\''"))),
    }
}
