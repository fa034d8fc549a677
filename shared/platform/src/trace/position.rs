//! The place of a span in a trace, and its form in headers: `Root=1-<time>-<random>;Parent=<span>;Sampled=1`.

use std::fmt;

use jiff::Timestamp;

/// The bits of a trace's id after its time.
const RANDOM_BITS: u32 = 96;

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// `false` if nothing is sent of the trace: who began it did not choose it.
    pub(super) is_sampled: bool,
}

/// The id of a trace: its first 32 bits are the second at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(u128);

/// The id of a span within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(u64);

impl Position {
    /// Begins a trace, which is recorded.
    pub(super) fn begin(now: Timestamp) -> Self {
        let second = u32::try_from(now.as_second()).unwrap_or_default();
        let random = fastrand::u128(..) >> (u128::BITS - RANDOM_BITS);
        Self { trace: TraceId(u128::from(second) << RANDOM_BITS | random), span: SpanId::new(), is_sampled: true }
    }

    /// Returns a new span in the same trace.
    pub(super) fn child(self) -> Self {
        Self { span: SpanId::new(), ..self }
    }

    /// Returns the id of the trace if it is recorded.
    pub(super) fn recorded_trace(self) -> Option<String> {
        self.is_sampled.then(|| self.trace.to_string())
    }

    /// Reads a header. `None` if it names no span, as a header that was damaged or is of another format.
    pub(super) fn read(header: &str) -> Option<Self> {
        let field = |wanted: &str| {
            let mut fields = header.split(';').filter_map(|field| field.trim().split_once('='));
            fields.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        let (time, random) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let trace = hex(time, 8)? << RANDOM_BITS | hex(random, 24)?;
        let span = u64::try_from(hex(field("Parent")?, 16)?).ok()?;
        Some(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: field("Sampled") == Some("1") })
    }
}

/// Reads a number of exactly so many hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl SpanId {
    fn new() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root={};Parent={};Sampled={}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(id) = self;
        write!(f, "1-{:08x}-{:024x}", id >> RANDOM_BITS, id & (u128::MAX >> (u128::BITS - RANDOM_BITS)))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn a_header_is_written_as_it_was_read() {
        let position = Position::read(HEADER).unwrap();
        assert_eq!(position.to_string(), HEADER);
        assert_eq!(position.recorded_trace().as_deref(), Some("1-5759e988-bd862e3fe1be46a994272793"));
        let more = format!("Self=1-67891233-abcdef012345678912345678; {HEADER};Lineage=1:a87bd80c:0");
        assert_eq!(Position::read(&more), Some(position));
    }

    #[test]
    fn a_trace_that_was_not_chosen_is_passed_on_as_such() {
        for unsampled in [HEADER.replace("Sampled=1", "Sampled=0"), HEADER.replace(";Sampled=1", "")] {
            let position = Position::read(&unsampled).unwrap();
            assert_eq!(position.recorded_trace(), None);
            assert!(position.child().to_string().ends_with(";Sampled=0"));
        }
    }

    #[test]
    fn a_new_trace_has_the_time_of_its_beginning() {
        let position = Position::begin(Timestamp::from_second(0x5759_e988).unwrap());
        assert!(position.to_string().starts_with("Root=1-5759e988-"), "{position}");
        assert_eq!(Position::read(&position.to_string()), Some(position));
        let child = position.child();
        assert!(child.trace == position.trace && child.span != position.span);
    }

    #[test]
    fn what_is_no_header_is_none() {
        for text in [
            "",
            "Root",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-+d862e3fe1be46a99427279;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8adé",
        ] {
            assert_eq!(Position::read(text), None, "{text}");
        }
    }
}
