//! The form of an input: what arrives, and what AWS answers to the requests that follow.

/// The line between the parts of an input.
const SEPARATOR: &[u8] = b"\n%%\n";

/// An input, cut into its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The input: the event or, for some targets, a shorter form of it.
    pub(crate) head: &'a [u8],
    /// The answers of AWS, one after the other, each a [`Message`] whose first line is the status.
    rest: Option<&'a [u8]>,
}

/// A message in the form of HTTP/1: a first line, headers, an empty line, a body.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: &'a [u8],
}

impl<'a> Input<'a> {
    /// Cuts an input.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let (head, rest) = cut(bytes, SEPARATOR);
        Self { head, rest }
    }

    /// Returns the answers of AWS.
    pub(crate) fn answers(self) -> Vec<&'a [u8]> {
        let mut answers = Vec::new();
        let mut rest = self.rest;
        while let Some(bytes) = rest {
            let (answer, more) = cut(bytes, SEPARATOR);
            answers.push(answer);
            rest = more;
        }
        answers
    }
}

impl<'a> Message<'a> {
    /// Reads a message. Whatever is no header ends the headers.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (first, mut rest) = cut(bytes, b"\n");
        let mut headers = Vec::new();
        while let Some(bytes) = rest {
            let (line, more) = cut(bytes, b"\n");
            if line.is_empty() {
                return Self { first: text(first), headers, body: more.unwrap_or_default() };
            }
            let (name, Some(value)) = cut(line, b": ") else { break };
            headers.push((text(name), text(value)));
            rest = more;
        }
        Self { first: text(first), headers, body: rest.unwrap_or_default() }
    }
}

/// Cuts bytes at the first mark; `None` after it if there is no mark.
pub(crate) fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    match bytes.windows(mark.len()).position(|window| window == mark) {
        Some(at) => (&bytes[..at], Some(&bytes[at + mark.len()..])),
        None => (bytes, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_a_head_and_answers() {
        let input = Input::new(b"GET /\na: b\n%%\n200\n%%\n500\nc: d\n\nbody\n\nmore");
        let answers = input.answers();
        let [first, second] = answers[..] else { panic!("{answers:?}") };
        assert_eq!(Message::read(first).first, "200");
        let second = Message::read(second);
        assert_eq!((second.first.as_str(), second.body), ("500", &b"body\n\nmore"[..]));
        assert_eq!(second.headers, [("c".to_owned(), "d".to_owned())]);
        let head = Message::read(input.head);
        assert_eq!((head.first.as_str(), head.headers.len(), head.body), ("GET /", 1, &b""[..]));
        assert!(Input::new(b"only a head").answers().is_empty());
    }
}
