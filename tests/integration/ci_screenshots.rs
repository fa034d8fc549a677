//! The report as a browser shows it: headless Chromium, whose path is in `CHROMIUM`.
//!
//! `cargo xtask test` runs these tests where Chromium is installed, and reports where it is not.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::Timestamp;
use tests::{
    CiRun, Stack,
    ci_runs::{around, unique},
    stack::variable,
};

/// The report's colours, as `report.css` has them: background, dots, medians, slower, days.
const LIGHT: [&str; 5] = ["#ffffff", "#6b8fc9", "#1f3f77", "#b3261e", "#a8d5b5"];
const DARK: [&str; 5] = ["#101317", "#6a8cc4", "#c3d6f7", "#ff8a80", "#2f6b43"];
/// The padding of the page, in pixels, less one into which a letter may lean.
const PADDING: usize = 15;

/// A folder that is deleted with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("report"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A picture without transparency, row by row.
struct Picture {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Renders a page in Chromium in a window of this size.
    fn of(page: &str, (width, height): (usize, usize), dark: bool) -> Self {
        let folder = Folder::new();
        let html = folder.0.join("report.html");
        let png = folder.0.join("report.png");
        std::fs::write(&html, page).unwrap();
        let mut browser = Command::new(variable("CHROMIUM"));
        browser
            .args(["--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", folder.0.join("profile").display()))
            .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--screenshot={}", png.display()))
            .arg(format!("file://{}", html.display()));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox refuses root.
            browser.arg("--no-sandbox");
        }
        let output = browser.output().expect("Chromium starts");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let file = std::fs::File::open(&png).unwrap_or_else(|error| panic!("{error}: {log}"));
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let size = match info.color_type {
            png::ColorType::Rgb => 3,
            png::ColorType::Rgba => 4,
            other => panic!("a picture of the type {other:?}"),
        };
        assert_eq!((info.width as usize, info.height as usize), (width, height));
        let pixels = bytes[..info.buffer_size()].chunks(size).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Self { width, pixels }
    }

    /// Counts the pixels of each colour.
    fn colours(&self) -> BTreeMap<[u8; 3], usize> {
        let mut colours = BTreeMap::new();
        for pixel in &self.pixels {
            *colours.entry(*pixel).or_default() += 1;
        }
        colours
    }

    /// Counts the pixels of some columns that differ from a colour.
    fn others(&self, columns: std::ops::Range<usize>, colour: &str) -> usize {
        let rows = self.pixels.chunks(self.width);
        rows.flat_map(|row| &row[columns.clone()]).filter(|pixel| **pixel != rgb(colour)).count()
    }
}

fn rgb(text: &str) -> [u8; 3] {
    std::array::from_fn(|n| u8::from_str_radix(&text[1 + 2 * n..3 + 2 * n], 16).unwrap())
}

/// Counts the pixels of each of the report's colours.
fn counts(picture: &Picture, colours: [&str; 5]) -> [usize; 5] {
    let found = picture.colours();
    colours.map(|colour| found.get(&rgb(colour)).copied().unwrap_or_default())
}

/// Returns the page of a service with a slowdown, a speed-up and days with failures, or of one without.
async fn page(stack: &Stack, changes: bool) -> String {
    // As long a name as any, without a place to break it.
    let service = format!("{}-{}", unique("pictured"), "x".repeat(200));
    let start: Timestamp = "2025-09-01T00:00:00Z".parse().unwrap();
    let durations =
        if changes { [around(100.0, 40), around(140.0, 40), around(80.0, 40)].concat() } else { around(100.0, 120) };
    let mut runs = CiRun::series(&service, start, &durations);
    if changes {
        let mut failed = CiRun::series(&service, start, &[50.0; 20]);
        failed.iter_mut().for_each(|run| run.status = "failure");
        runs.extend(failed);
    }
    stack.database.insert_runs(&runs).await;
    let path = format!("report?service={service}&from=2025-08-01&to=2025-10-31&month=1999-12");
    stack.ci(&path).await.expect(200).text()
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_screenshot_shows_runs_medians_and_changes_in_light_and_dark() {
    let stack = Stack::from_env().await;
    let page = page(&stack, true).await;
    for (colours, dark) in [(LIGHT, false), (DARK, true)] {
        let picture = Picture::of(&page, (1200, 1800), dark);
        let [background, dots, medians, slower, days] = counts(&picture, colours);
        assert!(background > picture.pixels.len() / 2, "dark {dark}: {background} pixels of background");
        // 120 dots of 4 pixels across; three lines of 1,000 pixels in all; dashed lines, texts, and the bars of the days.
        for (what, found, least) in
            [("dots", dots, 150), ("medians", medians, 150), ("slower", slower, 60), ("days", days, 400)]
        {
            assert!(found > least, "dark {dark}: {found} pixels of {what}");
        }
        let other = if dark { LIGHT } else { DARK };
        let wrong = counts(&picture, other);
        assert!(wrong[..3].iter().sum::<usize>() < 300, "dark {dark}: the other scheme's colours: {wrong:?}");
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_screenshot_without_changes_shows_none() {
    let stack = Stack::from_env().await;
    let picture = Picture::of(&page(&stack, false).await, (1200, 1800), false);
    let [_, dots, medians, slower, days] = counts(&picture, LIGHT);
    assert!(dots > 150 && medians > 150 && days > 400, "{dots} {medians} {days}");
    assert_eq!(slower, 0, "nothing is slower, and no day has a failure");
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_screenshot_on_a_phone_fits_its_width() {
    let stack = Stack::from_env().await;
    let page = page(&stack, true).await;
    for dark in [false, true] {
        let colours = if dark { DARK } else { LIGHT };
        let width = 390;
        let picture = Picture::of(&page, (width, 6000), dark);
        let background = colours[0];
        assert_eq!(picture.others(0..PADDING, background), 0, "something is in the left margin");
        assert_eq!(picture.others(width - PADDING..width, background), 0, "something is in the right margin");
        assert!(picture.others(PADDING..width - PADDING, background) > 60_000, "the page is nearly empty");
        // Dots are blurred at this size.
        let [_, _, medians, slower, days] = counts(&picture, colours);
        assert!(medians > 30 && slower > 20 && days > 200, "{medians} {slower} {days}");
    }
}
