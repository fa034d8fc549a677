//! The four sums of an export, from each place that knows them, in exact arithmetic.

use anyhow::{Context, Result, bail, ensure};
use rust_decimal::Decimal;
use serde_json::Value;

/// The columns, as the documentation promises them.
const COLUMNS: [&str; 7] =
    ["bucket_start", "organization_id", "model_id", "request_count", "tokens_total", "error_count", "cost_total"];

/// Number of rows and the sums of the measures.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) rows: u64,
    pub(crate) counts: [i128; 3],
    pub(crate) cost: Decimal,
}

impl Sums {
    /// Adds up a CSV file, after checking its header and that every row is of this organization.
    pub(crate) fn of_csv(csv: &[u8], organization: &str) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(csv);
        ensure!(reader.headers()?.iter().eq(COLUMNS), "the CSV's columns are not those of the documentation");
        let mut sums = Self::default();
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |index: usize| record.get(index).unwrap_or_default();
            ensure!(field(1) == organization, "line {line} is of another organization");
            sums.rows += 1;
            for (index, sum) in sums.counts.iter_mut().enumerate() {
                let count: i128 = field(index + 3).parse().with_context(|| format!("line {line}"))?;
                *sum = sum.checked_add(count).context("a sum is too large")?;
            }
            let cost: Decimal = field(6).parse().with_context(|| format!("line {line}"))?;
            ensure!(cost.scale() == 4, "line {line}: cost_total has not exactly 4 decimals");
            sums.cost = sums.cost.checked_add(cost).context("a sum is too large")?;
        }
        Ok(sums)
    }

    /// Reads what psql prints for `count, sum, sum, sum, sum`.
    pub(crate) fn of_query(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.trim().split('|').collect();
        let [rows, requests, tokens, errors, cost] = fields.as_slice() else { bail!("psql answered {text}") };
        let counts = [requests.parse()?, tokens.parse()?, errors.parse()?];
        Ok(Self { rows: rows.parse()?, counts, cost: cost.parse()? })
    }

    /// Reads the `rowCount` and `totals` of a job.
    pub(crate) fn of_job(job: &Value) -> Result<Self> {
        let number = |value: &Value, name: &str| -> Result<i128> {
            value[name].to_string().parse().with_context(|| format!("the job's {name} is {}", value[name]))
        };
        let totals = &job["totals"];
        let cost = totals["costTotal"].as_str().context("the job's costTotal is no string")?;
        Ok(Self {
            rows: number(job, "rowCount")?.try_into()?,
            counts: [number(totals, "requestCount")?, number(totals, "tokensTotal")?, number(totals, "errorCount")?],
            cost: cost.parse().context("the job's costTotal")?,
        })
    }

    /// The values with their names, for a table.
    pub(crate) fn table(&self) -> Vec<(&'static str, String)> {
        let counts = self.counts.iter().map(i128::to_string);
        let values = std::iter::once(self.rows.to_string()).chain(counts).chain([self.cost.to_string()]);
        std::iter::once("rows").chain(COLUMNS[3..].iter().copied()).zip(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

    #[test]
    fn the_three_places_agree() -> Result<()> {
        let csv = format!("{HEADER}t,o,m,1,{max},2,0.1000\nt,o,,3,{max},4,-0.0999\n", max = i64::MAX);
        let csv = Sums::of_csv(csv.as_bytes(), "o")?;
        assert_eq!(csv, Sums::of_query("2|4|18446744073709551614|6|0.0001\n")?);
        let totals = r#"{"requestCount":4,"tokensTotal":18446744073709551614,"errorCount":6,"costTotal":"0.0001"}"#;
        let job = format!(r#"{{"rowCount":2,"totals":{totals}}}"#);
        assert_eq!(csv, Sums::of_job(&serde_json::from_str(&job)?)?);
        Ok(())
    }

    #[test]
    fn what_is_not_an_export_is_refused() {
        assert!(Sums::of_csv(b"a,b\n", "o").is_err());
        assert!(Sums::of_csv(format!("{HEADER}t,other,m,1,1,1,1.0000\n").as_bytes(), "o").is_err());
        assert!(Sums::of_csv(format!("{HEADER}t,o,m,1,1,1,1.0\n").as_bytes(), "o").is_err());
        assert!(Sums::of_query("1|2|3").is_err());
    }
}
