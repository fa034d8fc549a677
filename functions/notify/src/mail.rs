//! Mails: a topic of Amazon SNS, whose subscribers get a text in the words of finance.
//!
//! A text has the address of the job in this service, which asks for a login, and no link to a file.

mod slowdown;

use bytes::Bytes;
use ci::change::ChangeDetail;
use domain::{EventKind, event::Detail};
use form_urlencoded::Serializer;
use platform::{
    aws::SdkConfig,
    config::{self, ConfigError},
    signed::{CallError, Service},
};

use crate::event::Told;

/// The topic of mails.
#[derive(Debug)]
pub(crate) struct Mail {
    service: Service,
    topic: String,
    /// The address of the service, without a slash at its end.
    base: String,
}

impl Mail {
    /// Creates the client of the topic `MAIL_TOPIC`, if there is one. Texts name addresses below `PUBLIC_URL`.
    ///
    /// # Errors
    /// When there is a topic, and the address is missing.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Option<Self>, ConfigError> {
        let Some(topic) = config::optional("MAIL_TOPIC") else { return Ok(None) };
        let service = Service::with(sdk, "sns", "AWS_ENDPOINT_URL_SNS")?;
        let base = config::required("PUBLIC_URL")?.trim_end_matches('/').to_owned();
        Ok(Some(Self { service, topic, base }))
    }

    /// Sends the text of an event to the topic, with the organization as a message attribute: subscriptions are filtered
    /// by it.
    ///
    /// # Errors
    /// When SNS did not take it.
    pub(crate) async fn send(&self, told: &Told) -> Result<(), CallError> {
        let attributes = [("orgId", told.detail.org_id.to_string()), ("event", told.kind.name().to_owned())];
        self.publish(&subject(told), &text(told, &self.base), &attributes).await
    }

    /// Sends the text of a slowdown of CI to the topic. It has the service as an attribute, and no organization:
    /// subscriptions for an organization do not get it.
    ///
    /// # Errors
    /// When SNS did not take it.
    pub(crate) async fn send_slowdown(&self, detail: &ChangeDetail) -> Result<(), CallError> {
        let attributes = [("service", detail.service.clone()), ("event", slowdown::EVENT.to_owned())];
        self.publish(&slowdown::subject(detail), &slowdown::text(detail, &self.base), &attributes).await
    }

    async fn publish(&self, subject: &str, text: &str, attributes: &[(&str, String)]) -> Result<(), CallError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "Publish")
            .append_pair("Version", "2010-03-31")
            .append_pair("TopicArn", &self.topic)
            .append_pair("Subject", subject)
            .append_pair("Message", text);
        for (number, (name, value)) in (1..).zip(attributes) {
            let entry = format!("MessageAttributes.entry.{number}");
            form.append_pair(&format!("{entry}.Name"), name)
                .append_pair(&format!("{entry}.Value.DataType"), "String")
                .append_pair(&format!("{entry}.Value.StringValue"), value);
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.service.post(&headers, Bytes::from(form.finish())).await.map(drop)
    }
}

/// Returns what the event is about, such as `October 2026`.
fn what(detail: &Detail) -> String {
    match detail.period {
        Some(month) => month.start().strftime("%B %Y").to_string(),
        None => format!("{} to {}", detail.time_range.start(), detail.time_range.end()),
    }
}

/// Returns the subject: at most 100 ASCII characters in one line, as SNS requires.
fn subject(told: &Told) -> String {
    let what = what(&told.detail);
    let cost = told.detail.totals.as_ref().map(|totals| format!(": USD {}", totals.cost_total)).unwrap_or_default();
    match told.kind {
        EventKind::ExportSucceeded => format!("Usage {what} is ready{cost}"),
        EventKind::ExportFailed => format!("Usage {what} could not be exported"),
        EventKind::PeriodFinal => format!("Usage {what} is final{cost}"),
        EventKind::PeriodRestated => format!("Usage {what} was restated{cost}"),
    }
}

/// Returns the text.
fn text(told: &Told, base: &str) -> String {
    let detail = &told.detail;
    let what = what(detail);
    let mut lines = vec![match told.kind {
        EventKind::ExportSucceeded => format!("The usage file of {what} is ready."),
        EventKind::ExportFailed => format!("The usage file of {what} could not be made."),
        EventKind::PeriodFinal => format!("The usage of {what} is final, and its scheduled file is ready."),
        EventKind::PeriodRestated => format!(
            "The usage of {what} has changed since its file was booked. The figures below are the present ones."
        ),
    }];
    lines.push(String::new());
    if let Some(error) = &detail.error {
        lines.push(error.clone());
        lines.push(String::new());
    }
    if let Some(models) = detail.model_count {
        let models = if models == 1 { "1 model".to_owned() } else { format!("{models} models") };
        lines.push(format!("Limited to:      {models}; the sums are not those of all usage"));
    }
    if let Some(totals) = &detail.totals {
        lines.push(format!("State:           {}", detail.state.name()));
        lines.push(format!("Total cost:      USD {}", totals.cost_total));
        lines.push(format!("Requests:        {}", totals.request_count));
        lines.push(format!("Tokens:          {}", totals.tokens_total));
        lines.push(format!("Failed requests: {}", totals.error_count));
    }
    if let Some(rows) = detail.row_count {
        lines.push(format!("Rows:            {rows} ({})", detail.granularity.name()));
    }
    lines.push(format!("Organization:    {}", detail.org_id));
    lines.push(String::new());
    lines.push("Page, which asks for a login:".to_owned());
    lines.push(format!("{base}/analytics/v1/orgs/{}/exports/{}", detail.org_id, detail.job_id));
    lines.push(String::new());
    lines.push(format!("Event {} at {}", detail.event_id, detail.occurred_at));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://analytics.example.com";

    fn told(name: &str) -> Told {
        let path = format!("{}/../../events/bus-{name}.json", env!("CARGO_MANIFEST_DIR"));
        Told::read(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_text_says_which_month_how_much_and_how_sure() {
        let told = told("period-final");
        assert_eq!(subject(&told), "Usage October 2026 is final: USD 538.9327");
        assert_eq!(
            text(&told, BASE),
            "The usage of October 2026 is final, and its scheduled file is ready.\n\
             \n\
             State:           final\n\
             Total cost:      USD 538.9327\n\
             Requests:        30000\n\
             Tokens:          18250000\n\
             Failed requests: 412\n\
             Rows:            124 (daily)\n\
             Organization:    123e4567-e89b-12d3-a456-426614174000\n\
             \n\
             Page, which asks for a login:\n\
             https://analytics.example.com/analytics/v1/orgs/123e4567-e89b-12d3-a456-426614174000/exports/\
             0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90\n\
             \n\
             Event b0a3f7d1-54c2-5e8b-8a17-7c6d5e4f3a21 at 2026-11-01T03:12:09Z"
        );
    }

    #[test]
    fn a_failure_says_what_to_do_and_a_restatement_what_it_is_now() {
        let failed = text(&told("export-failed"), BASE);
        assert!(failed.contains("Create a new export in a few minutes") && !failed.contains("USD"), "{failed}");
        let restated = text(&told("period-restated"), BASE);
        assert!(restated.contains("has changed since its file was booked"), "{restated}");
        assert!(restated.contains("State:           restated\nTotal cost:      USD 554.4925"), "{restated}");
    }

    #[test]
    fn a_subject_is_a_short_line_whatever_the_range_and_the_sum() {
        for name in ["export-succeeded", "export-failed", "period-final", "period-restated"] {
            let mut told = told(name);
            told.detail.period = None;
            if let Some(totals) = &mut told.detail.totals {
                totals.cost_total = "-9".repeat(10) + ".9999";
            }
            let subject = subject(&told);
            assert!(subject.len() <= 100 && subject.is_ascii() && !subject.contains('\n'), "{subject}");
        }
    }
}
