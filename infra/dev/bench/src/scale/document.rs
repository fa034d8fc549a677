//! The tables of `docs/scale.md`.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use super::{
    constants::{Constants, Value},
    cost::{bill, stacks},
    load::{Rates, loads, storage},
};
use crate::report::Table;

/// The events a month that the tables are for, with their names.
const EVENTS: [(&str, f64); 3] = [("1 billion", 1e9), ("10 billion", 1e10), ("100 billion", 1e11)];

/// The tables, each after the name by which the document has it.
pub(crate) fn tables(constants: &Constants) -> [(&'static str, String); 5] {
    [
        ("constants", measured(constants)),
        ("loads", loaded(constants)),
        ("storage", stored(constants)),
        ("bill", billed(constants)),
        ("prices", priced(constants)),
    ]
}

fn measured(constants: &Constants) -> String {
    let mut table = Table::new(["constant", "value", "unit", "to be renewed"]);
    for (what, unit, Value { value, renew }) in constants.measured.list() {
        let renew = if renew { "yes" } else { "" };
        table.row([what.to_owned(), number(value), unit.to_owned(), renew.to_owned()]);
    }
    format!("Measured on {} on {}.\n\n{table}", constants.date, constants.machine)
}

fn loaded(constants: &Constants) -> String {
    let mut table = Table::new(["resource", "limit", "1 billion", "10 billion", "100 billion", "full at"]);
    let all = EVENTS.map(|(_, events)| loads(events, constants));
    for (index, load) in all[0].iter().enumerate() {
        let cell = |at: usize| all[at].get(index).map_or_else(String::new, |load| percent(load.part));
        // Some are limited by the workers, however many the events.
        let grows = all[1].get(index).is_some_and(|ten| ten.part > load.part * 2.0);
        let full = if grows { format!("{} billion", number(1.0 / load.part)) } else { "never".to_owned() };
        table.row([load.resource.to_owned(), load.limit.clone(), cell(0), cell(1), cell(2), full]);
    }
    let mut text = table.to_string();
    text.push('\n');
    for ((name, _), loads) in EVENTS.iter().zip(&all) {
        let mut over: Vec<_> = loads.iter().filter(|load| load.part > 1.0).collect();
        over.sort_by(|one, other| other.part.total_cmp(&one.part));
        let names: Vec<_> = over.iter().map(|load| format!("{} ({})", load.resource, percent(load.part))).collect();
        let sentence = match names.as_slice() {
            [] => "nothing is beyond its limit".to_owned(),
            names => format!("beyond the limit: {}", names.join(", ")),
        };
        let _ = writeln!(text, "- **{name} events a month**: {sentence}.");
    }
    text
}

fn stored(constants: &Constants) -> String {
    let mut table = Table::new(["GB", "1 billion", "10 billion", "100 billion"]);
    let all = EVENTS.map(|(_, events)| storage(events, constants));
    for (index, (what, _)) in all[0].iter().enumerate() {
        table.row([(*what).to_owned(), number(all[0][index].1), number(all[1][index].1), number(all[2][index].1)]);
    }
    table.to_string()
}

fn billed(constants: &Constants) -> String {
    let mut text = String::new();
    for (name, events) in EVENTS {
        let stacks = stacks(events, constants);
        let stacks = if stacks > 1.0 { format!("{stacks:.0} stacks") } else { "one stack".to_owned() };
        let organizations = Rates::of(events, constants).organizations;
        let mut table = Table::new(["dollars a month", "quantity", "unit", "price of a unit or a million", "amount"]);
        let mut sum = Decimal::ZERO;
        for line in bill(events, constants) {
            sum += line.amount();
            let amount = format!("{:.2}", line.amount());
            table.row([
                line.what.to_owned(),
                line.quantity.to_string(),
                line.unit.to_owned(),
                line.price.to_string(),
                amount,
            ]);
        }
        table.row(["sum".to_owned(), String::new(), String::new(), String::new(), format!("{sum:.2}")]);
        let each = sum / format!("{organizations:.0}").parse().unwrap_or(Decimal::ONE);
        let _ = writeln!(
            text,
            "**{name} events, {organizations:.0} organizations, {stacks}**: {each:.2} dollars per organization and \
             month.\n\n{table}"
        );
    }
    text.trim_end().to_owned() + "\n"
}

fn priced(constants: &Constants) -> String {
    let prices = &constants.prices;
    let mut table = Table::new([&format!("price, {}", prices.region), "dollars", "source"]);
    let server = format!("hour of {}", constants.server.name);
    for (what, price) in [
        (server.as_str(), &prices.server_hour),
        ("GB of its storage, a month", &prices.storage_gb_month),
        ("GB-second of Lambda", &prices.lambda_gb_second),
        ("million invocations of Lambda", &prices.lambda_million),
        ("million write units of DynamoDB", &prices.table_write_million),
        ("million read units of DynamoDB", &prices.table_read_million),
        ("GB of DynamoDB, a month", &prices.table_gb_month),
        ("million requests of SQS", &prices.queue_million),
        ("million requests of the HTTP API", &prices.gateway_million),
        ("GB of S3, a month", &prices.object_gb_month),
    ] {
        table.row([what.to_owned(), price.usd.to_string(), price.source.clone()]);
    }
    table.to_string()
}

fn percent(part: f64) -> String {
    format!("{} %", number(part * 100.0))
}

/// A number with two or three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..0.001 => "< 0.001".to_owned(),
        ..0.1 => format!("{value:.3}"),
        ..1.0 => format!("{value:.2}"),
        ..10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Returns the document with these tables, each between its marks.
    fn with_tables(mut text: String, constants: &Constants) -> String {
        for (name, table) in tables(constants) {
            let mark = format!("<!-- {name}: written by the bench -->\n");
            let (before, rest) = text.split_once(&mark).unwrap_or_else(|| panic!("no mark of {name}"));
            let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("no end of {name}"));
            text = format!("{before}{mark}\n{table}\n<!-- end -->{after}");
        }
        text
    }

    #[test]
    fn the_document_has_the_tables_of_the_constants() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/scale.md");
        let text = fs::read_to_string(&path).expect("docs/scale.md");
        let right = with_tables(text.clone(), &Constants::read().expect("constants"));
        if std::env::var_os("UPDATE_SCALE").is_some() {
            fs::write(&path, right).expect("docs/scale.md is written");
        } else {
            assert!(text == right, "docs/scale.md is out of date: UPDATE_SCALE=1 cargo test --workspace --bins scale");
        }
    }
}
