//! The reader of one report. There is no standard that all writers keep, so what one of them leaves out is no error:
//!
//! - suites may be nested, or the root; a test's suite is its `classname`, else the names of the suites around it;
//! - `failure` and `error` mean that it failed in the end; without them `flakyFailure`, `flakyError`, `rerunFailure`,
//!   `rerunError` and `rerun` mean that it failed before it passed;
//! - `skipped`, or a `status` or `result` of tests that did not run, means that it was skipped.
//!
//! The reader never calls itself, resolves no entity but the five of XML, and opens no other file.

use ci::test_results::{MAX_SUITE_BYTES, MAX_TEST_NAME_BYTES, Outcome, TestName, TestResult};
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event, attributes::Attribute},
};

use super::time::milliseconds;
use crate::line::{cut, line};

/// The maximum depth of elements. Suites are nested by folders and classes.
const MAX_DEPTH: usize = 100;

/// A test and its result.
pub(super) type Result = (TestName, TestResult);

/// The reason why a file has no results.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is XML, but no report of tests.
    Other(String),
    /// It is not what it should be.
    Invalid(String),
}

/// Reads a report whole. A test that is in it twice is there twice.
///
/// # Errors
/// When it is no report, or ends early.
pub(super) fn read(bytes: &[u8]) -> std::result::Result<Vec<Result>, Unread> {
    let text = text(bytes)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let mut report = Report::default();
    loop {
        let event = reader.read_event().map_err(|error| Unread::Invalid(error.to_string()))?;
        match event {
            Event::Start(element) => report.start(&element)?,
            Event::End(_) => report.end(),
            Event::Eof if !report.open.is_empty() => return Err(Unread::Invalid("it ends early".to_owned())),
            Event::Eof if !report.has_root => return Err(Unread::Invalid("it has no element".to_owned())),
            Event::Eof => return Ok(report.results),
            _ => {}
        }
    }
}

/// Decodes a file. All writers use UTF-8, but some shells redirect to UTF-16.
fn text(bytes: &[u8]) -> std::result::Result<std::borrow::Cow<'_, str>, Unread> {
    let (units, read): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, units @ ..] => (units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => (units, u16::from_be_bytes),
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| Unread::Invalid("it is not UTF-8".to_owned()))?;
            return Ok(text.into());
        }
    };
    let (units, rest) = units.as_chunks();
    let text = char::decode_utf16(units.iter().copied().map(read)).collect::<std::result::Result<String, _>>();
    match text {
        Ok(text) if rest.is_empty() => Ok(text.into()),
        _ => Err(Unread::Invalid("it is not UTF-16".to_owned())),
    }
}

/// A report while it is read.
#[derive(Debug, Default)]
struct Report {
    has_root: bool,
    /// The elements around the current place.
    open: Vec<Element>,
    results: Vec<Result>,
}

#[derive(Debug)]
enum Element {
    /// A suite and its name.
    Suite(String),
    Test(Test),
    /// An element whose content says nothing of results.
    Other,
}

/// A test while it is read.
#[derive(Debug)]
struct Test {
    name: TestName,
    milliseconds: Option<u32>,
    /// What its elements say so far.
    outcome: Outcome,
    /// Whether an attempt failed that was repeated.
    repeated: bool,
}

impl Report {
    fn start(&mut self, element: &BytesStart<'_>) -> std::result::Result<(), Unread> {
        if self.open.len() == MAX_DEPTH {
            return Err(Unread::Invalid(format!("its elements are nested more than {MAX_DEPTH} times")));
        }
        let name = element.local_name();
        let next = match (name.into_inner(), self.open.last_mut()) {
            ("testsuites" | "testsuite", None | Some(Element::Suite(_))) => Element::Suite(suite(element)),
            (root, None) => return Err(Unread::Other(format!("its root is {}", line(root)))),
            ("testcase", Some(Element::Suite(_))) => Element::Test(self.test(element)),
            (child, Some(Element::Test(test))) => {
                test.is(child);
                Element::Other
            }
            _ => Element::Other,
        };
        self.has_root = true;
        self.open.push(next);
        Ok(())
    }

    fn end(&mut self) {
        if let Some(Element::Test(test)) = self.open.pop() {
            let outcome = if test.repeated && test.outcome == Outcome::Passed { Outcome::Flaky } else { test.outcome };
            self.results.push((test.name, TestResult { outcome, milliseconds: test.milliseconds }));
        }
    }

    fn test(&self, element: &BytesStart<'_>) -> Test {
        let (mut suite, mut name, mut milliseconds_stated, mut outcome) =
            (String::new(), String::new(), None, Outcome::Passed);
        for attribute in element.attributes().with_checks(false).flatten() {
            match attribute.key.local_name().into_inner() {
                "classname" => suite = value(&attribute),
                "name" => name = value(&attribute),
                "time" | "duration" => milliseconds_stated = milliseconds(&attribute.value),
                "status" | "result" if is_skipped(&attribute.value) => outcome = Outcome::Skipped,
                _ => {}
            }
        }
        if suite.is_empty() {
            suite = self.suites();
        }
        // Surefire names no test where the preparation of a class failed.
        let name = if name.is_empty() { "(no name)".to_owned() } else { name };
        let name = TestName { suite: cut(suite, MAX_SUITE_BYTES), name: cut(name, MAX_TEST_NAME_BYTES) };
        Test { name, milliseconds: milliseconds_stated, outcome, repeated: false }
    }

    /// Returns the names of the suites around the current place.
    fn suites(&self) -> String {
        let names = self.open.iter().filter_map(|element| match element {
            Element::Suite(name) if !name.is_empty() => Some(name.as_str()),
            _ => None,
        });
        names.collect::<Vec<_>>().join(" / ")
    }
}

impl Test {
    /// Takes in a child element.
    fn is(&mut self, child: &str) {
        match child {
            "failure" => self.outcome = self.outcome.max(Outcome::Failed),
            "error" => self.outcome = self.outcome.max(Outcome::Errored),
            // Not where a preparation failed that then skipped the test.
            "skipped" | "disabled" if self.outcome == Outcome::Passed => self.outcome = Outcome::Skipped,
            "flakyFailure" | "flakyError" | "rerunFailure" | "rerunError" | "rerun" => self.repeated = true,
            _ => {}
        }
    }
}

/// The name of a suite; that of the root is the file's.
fn suite(element: &BytesStart<'_>) -> String {
    let is_root = element.local_name().into_inner() == "testsuites";
    let name = element.try_get_attribute("name").ok().flatten().filter(|_| !is_root);
    name.map(|name| value(&name)).unwrap_or_default()
}

/// The states of `GoogleTest` and `CTest`.
fn is_skipped(status: &str) -> bool {
    ["notrun", "disabled", "skipped", "suppressed"].iter().any(|name| status.eq_ignore_ascii_case(name))
}

/// Returns a value as one line. An entity that XML does not have stays as it is written.
fn value(attribute: &Attribute<'_>) -> String {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    line(&value.unwrap_or_else(|_| attribute.value.clone()))
}

#[cfg(test)]
mod tests {
    use Outcome::{Errored, Failed, Flaky, Passed, Skipped};
    use ci::test_results::Results;
    use proptest::prelude::*;

    use super::*;

    /// Returns the tests of a report, by suite and name, each with its outcome and duration.
    #[track_caller]
    fn tests(report: &[u8]) -> Vec<(String, Outcome, Option<u32>)> {
        let mut results = Results::default();
        read(report).unwrap().into_iter().for_each(|(test, result)| results.add(test, result));
        let all = results
            .iter()
            .map(|(test, result)| (format!("{}: {}", test.suite, test.name), result.outcome, result.milliseconds));
        all.collect()
    }

    #[track_caller]
    fn assert_tests(report: &[u8], expected: &[(&str, Outcome, Option<u32>)]) {
        let found = tests(report);
        let found: Vec<_> = found.iter().map(|(name, outcome, time)| (name.as_str(), *outcome, *time)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn pytest() {
        assert_tests(
            include_bytes!("../../tests/junit/pytest.xml"),
            &[
                (r"tests.test_cart: test_currency[a b\x1b]", Passed, Some(11)),
                ("tests.test_cart: test_known_bug", Skipped, Some(3)),
                ("tests.test_cart: test_teardown", Errored, Some(20)),
                ("tests.test_cart: test_windows", Skipped, Some(0)),
                ("tests.test_cart.TestTotal: test_empty", Passed, Some(2)),
                ("tests.test_cart.TestTotal: test_round[0.005-half even]", Failed, Some(1)),
            ],
        );
    }

    #[test]
    fn nextest() {
        assert_tests(
            include_bytes!("../../tests/junit/nextest.xml"),
            &[
                ("shop: total::rounds", Passed, Some(2)),
                ("shop::cart: network::fails", Failed, Some(501)),
                ("shop::cart: network::retries", Flaky, Some(312)),
                ("shop::cart: total::rounds", Passed, Some(4)),
            ],
        );
    }

    #[test]
    fn jest() {
        assert_tests(
            include_bytes!("../../tests/junit/jest.xml"),
            &[
                ("Cart adds <items> & totals: Cart adds <items> & totals", Passed, Some(6)),
                ("Cart fails: Cart fails", Failed, Some(12)),
                ("Cart later: Cart later", Skipped, Some(0)),
            ],
        );
    }

    #[test]
    fn surefire() {
        assert_tests(
            include_bytes!("../../tests/junit/surefire.xml"),
            &[
                ("com.example.shop.BrokenTest: (no name)", Errored, Some(2)),
                ("com.example.shop.CartTest: connects", Flaky, Some(300)),
                ("com.example.shop.CartTest: imports", Passed, Some(1_234_567)),
                ("com.example.shop.CartTest: later", Skipped, Some(0)),
                ("com.example.shop.CartTest: rounds(String, int)[1]", Failed, Some(201)),
                ("com.example.shop.CartTest: totals", Passed, Some(15)),
            ],
        );
    }

    #[test]
    fn gotestsum() {
        assert_tests(
            include_bytes!("../../tests/junit/gotestsum.xml"),
            &[
                ("example.com/shop/cart: TestRetried", Flaky, Some(220)),
                ("example.com/shop/cart: TestSkipped", Skipped, Some(0)),
                ("example.com/shop/cart: TestTotal", Passed, Some(10)),
                ("example.com/shop/cart: TestTotal/with_a_\"quote\"", Passed, Some(0)),
            ],
        );
    }

    #[test]
    fn phpunit() {
        assert_tests(
            include_bytes!("../../tests/junit/phpunit.xml"),
            &[
                ("App.Tests.CartTest: testEmpty", Passed, Some(3)),
                ("App.Tests.CartTest: testThrows", Errored, Some(41)),
                ("App.Tests.CartTest: testTotal with data set \"two items\"", Passed, Some(4)),
                ("App.Tests.CartTest: testTotal with data set #1", Passed, Some(2)),
            ],
        );
    }

    #[test]
    fn dotnet() {
        assert_tests(
            include_bytes!("../../tests/junit/dotnet.xml"),
            &[
                ("Shop.Tests.CartTests: Later", Skipped, Some(0)),
                ("Shop.Tests.CartTests: Rounds", Failed, Some(12)),
                ("Shop.Tests.CartTests: Total(items: [1, 2], currency: \"EUR\")", Passed, Some(0)),
            ],
        );
    }

    #[test]
    fn googletest() {
        assert_tests(
            include_bytes!("../../tests/junit/googletest.xml"),
            &[
                ("CartTest: DISABLED_Later", Skipped, Some(0)),
                ("CartTest: Total", Passed, Some(4)),
                ("Sizes/CartTest/0: Fits", Passed, None),
            ],
        );
    }

    #[test]
    fn what_is_no_report_says_why() {
        let other = |report: &str| match read(report.as_bytes()) {
            Err(Unread::Other(why)) => why,
            found => panic!("{found:?}"),
        };
        assert_eq!(other("<!-- x --><coverage version='1'/>"), "its root is coverage");
        assert_eq!(other("<TestRun xmlns='urn:x'><testsuite/></TestRun>"), "its root is TestRun");
        assert_eq!(other("<testcase name='a'/>"), "its root is testcase");
        let whole = "<testsuites><testsuite name='s'><testcase name='a'></testcase></testsuite></testsuites>";
        for (report, why) in [
            ("", "it has no element"),
            ("no report", "it has no element"),
            (whole.strip_suffix("</testsuites>").unwrap(), "it ends early"),
            (&whole[..40], ""),
            (whole.replace("</testsuite>", "</testcase>").as_str(), ""),
            ("<testsuite><testcase name='a'", ""),
        ] {
            let found = read(report.as_bytes());
            assert!(matches!(&found, Err(Unread::Invalid(found)) if found.contains(why)), "{report}: {found:?}");
        }
        assert_eq!(read(b"<testsuite name='\xff'/>"), Err(Unread::Invalid("it is not UTF-8".to_owned())));
    }

    #[test]
    fn entities_are_not_expanded_and_no_file_is_opened() {
        let bomb = r#"<!DOCTYPE testsuite [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">
            <!ENTITY c SYSTEM "file:///etc/passwd">]>
            <testsuite name="s"><testcase name="&b; &c; &lt;&#x41;&#0;"/><testcase name="&amp;&#65;">&b;</testcase></testsuite>"#;
        assert_tests(bomb.as_bytes(), &[("s: &A", Passed, None), ("s: &b; &c; &lt;&#x41;&#0;", Passed, None)]);
    }

    #[test]
    fn nesting_has_a_limit_and_wide_reports_none() {
        let nested = |depth: usize| format!("{}{}", "<testsuite name='a'>".repeat(depth), "</testsuite>".repeat(depth));
        assert_eq!(read(nested(MAX_DEPTH).as_bytes()), Ok(vec![]));
        assert!(matches!(read(nested(MAX_DEPTH + 1).as_bytes()), Err(Unread::Invalid(why)) if why.contains("nested")));
        let text = "x".repeat(1 << 20);
        let wide = format!("<testsuite name='s'>{}</testsuite>", format!("<testcase name='{text}'/>").repeat(8));
        let found = tests(wide.as_bytes());
        assert!(matches!(found.as_slice(), [(name, Passed, None)] if name.len() < MAX_TEST_NAME_BYTES + 4));
    }

    #[test]
    fn a_suite_without_a_class_is_named_by_the_suites_around_it() {
        let report = "<testsuites name='all'><testsuite name='a'><testsuite name='b'><testcase name='t'/></testsuite>\
                      <testsuite><testcase name='t'/></testsuite></testsuite><testcase name='t'/></testsuites>";
        assert_tests(report.as_bytes(), &[(": t", Passed, None), ("a: t", Passed, None), ("a / b: t", Passed, None)]);
    }

    #[test]
    fn reruns_that_pass_in_the_end_are_flaky() {
        let with = |children: &str| {
            tests(format!("<testsuite name='s'><testcase name='t'>{children}</testcase></testsuite>").as_bytes())[0].1
        };
        for (children, outcome) in [
            ("<rerun/>", Flaky),
            ("<flakyFailure/><flakyError/>", Flaky),
            ("<failure/><rerunFailure/>", Failed),
            ("<rerunError/><error/>", Errored),
            ("<failure/><error/>", Errored),
            ("<failure/><skipped/>", Failed),
            ("<skipped/><error/>", Errored),
            ("<system-out><failure/></system-out>", Passed),
        ] {
            assert_eq!(with(children), outcome, "{children}");
        }
    }

    #[test]
    fn a_shell_may_have_made_it_utf_16() {
        let report = "<testsuite name='é'><testcase name='𝄞'/></testsuite>";
        let units = || "\u{feff}".encode_utf16().chain(report.encode_utf16());
        let expected = [("é: 𝄞", Passed, None)];
        assert_tests(&units().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), &expected);
        let mut big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        assert_tests(&big, &expected);
        big.pop();
        assert_eq!(read(&big), Err(Unread::Invalid("it is not UTF-16".to_owned())));
    }

    fn escape(text: &str) -> String {
        quick_xml::escape::escape(text).replace('\n', "&#10;").replace('\t', "&#9;").replace('\r', "&#13;")
    }

    proptest! {
        #[test]
        fn any_name_reads_back_as_one_line(name in "\\PC{1,20}|[\\x01-\\x7f]{1,20}", suite in "\\PC{0,20}") {
            let (written, class) = (escape(&name), escape(&suite));
            let report = format!("<testsuite><testcase classname=\"{class}\" name=\"{written}\"/></testsuite>");
            let found = read(report.as_bytes()).unwrap();
            let expected = if line(&name).is_empty() { "(no name)".to_owned() } else { line(&name) };
            prop_assert_eq!((&found[0].0.name, &found[0].0.suite), (&expected, &line(&suite)));
            prop_assert!(!found[0].0.name.contains(char::is_control));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0_usize..3000) {
            let _ = read(&bytes);
            let mut damaged = include_bytes!("../../tests/junit/surefire.xml").to_vec();
            let at = at.min(damaged.len());
            damaged.splice(at..(at + bytes.len() / 2).min(damaged.len()), bytes);
            let _ = read(&damaged);
        }
    }
}
