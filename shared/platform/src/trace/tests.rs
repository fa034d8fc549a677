use std::{
    net::UdpSocket,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracing::{Dispatch, dispatcher::with_default, info, info_span};
use tracing_subscriber::{fmt::format::JsonFields, layer::SubscriberExt as _};

use super::*;
use crate::json_log::JsonLine;

const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

fn invocation(header: &str) -> Span {
    info_span!("invoke", otel.kind = "server", trace.invocation = header)
}

/// A daemon of the test, on a port of its own.
struct Receiver(UdpSocket);

impl Receiver {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self(socket)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Returns the documents that came, in the order in which their spans ended.
    fn documents(&self) -> Vec<Value> {
        let mut buffer = vec![0; 1 << 16];
        let mut documents = Vec::new();
        while let Ok(length) = self.0.recv(&mut buffer) {
            let (header, document) = std::str::from_utf8(&buffer[..length]).unwrap().split_once('\n').unwrap();
            assert_eq!(serde_json::from_str::<Value>(header).unwrap(), json!({"format": "json", "version": 1}));
            documents.push(serde_json::from_str(document).unwrap());
        }
        documents
    }
}

/// Runs `work` with a log of warnings and with traces to `address`. Returns the log.
fn traced(address: &str, work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .fmt_fields(JsonFields::new())
        .event_format(JsonLine)
        .with_filter(log_filter(LevelFilter::INFO));
    let tracer = Tracer::new(Daemon::at(address), Some("exports-worker".to_owned()));
    let subscriber = tracing_subscriber::registry().with(log).with(tracer.with_filter(Part::Trace));
    with_default(&Dispatch::new(subscriber), work);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_span_goes_on_where_its_message_was_sent() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || {
        let invocation = HEADER.replace('9', "8");
        let attempt = info_span!(
            "attempt", otel.kind = "consumer", otel.name = "process exports", job_id = "j", trace.message = HEADER,
            trace.invocation = invocation, error.type = tracing::field::Empty,
        );
        let _attempt = attempt.entered();
        // A span of the log in between is no part of the trace.
        let _job = info_span!("job", org_id = "o").entered();
        fail("storage_refused");
        assert_eq!(id().as_deref(), Some("1-5759e988-bd862e3fe1be46a994272793"));
        info_span!("COPY", otel.kind = "client", db.system.name = "postgresql", rows = 3_u64).in_scope(|| ());
    });
    let [read, attempt] = daemon.documents().try_into().unwrap();
    for document in [&read, &attempt] {
        assert_eq!(document["trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
    }
    assert_eq!((&attempt["name"], &attempt["parent_id"]), (&json!("exports-worker"), &json!("53995c3f42cd8ad8")));
    assert_eq!((attempt.get("type"), &attempt["fault"]), (None, &json!(true)));
    let annotations = json!({
        "span_kind": "consumer", "span_name": "process exports", "job_id": "j", "error_type": "storage_refused",
        "faas_invocation_trace": "1-5758e888-bd862e3fe1be46a884272783",
    });
    assert_eq!(attempt["annotations"], annotations);
    assert_eq!((&read["parent_id"], &read["type"]), (&attempt["id"], &json!("subsegment")));
    assert_eq!((&read["name"], &read["namespace"]), (&json!("postgresql"), &json!("remote")));
    assert_eq!(read["annotations"], json!({"span_kind": "client", "span_name": "COPY", "rows": 3}));
    let (start, end) = (attempt["start_time"].as_f64().unwrap(), attempt["end_time"].as_f64().unwrap());
    assert!(start <= read["start_time"].as_f64().unwrap() && read["end_time"].as_f64().unwrap() <= end);
}

#[test]
fn an_invocation_without_a_header_begins_a_trace() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || {
        let _request = info_span!("request", otel.kind = "server", trace.invocation = "").entered();
        let sent = header().unwrap();
        let message = info_span!(parent: None, "attempt", otel.kind = "consumer", trace.invocation = "",
            trace.message = sent);
        message.in_scope(|| ());
    });
    let [attempt, request] = daemon.documents().try_into().unwrap();
    assert_eq!((request.get("parent_id"), request.get("type")), (None, None));
    assert_eq!((&attempt["trace_id"], &attempt["parent_id"]), (&request["trace_id"], &request["id"]));
}

#[test]
fn under_lambdas_own_segment_a_span_is_a_part_of_it() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || invocation(HEADER).in_scope(|| ()));
    let [document] = daemon.documents().try_into().unwrap();
    assert_eq!((&document["type"], &document["name"]), (&json!("subsegment"), &json!("invoke")));
    assert_eq!(document["parent_id"], "53995c3f42cd8ad8");
}

#[test]
fn a_trace_that_was_not_chosen_is_passed_on_and_not_sent() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || {
        invocation(&HEADER.replace("Sampled=1", "Sampled=0")).in_scope(|| {
            assert_eq!(id(), None);
            let sent = header().unwrap();
            assert!(sent.starts_with("Root=1-5759e988-") && sent.ends_with(";Sampled=0"), "{sent}");
        });
    });
    assert_eq!(daemon.documents(), Vec::<Value>::new());
}

#[test]
fn a_call_outside_of_an_invocation_is_not_sent() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || {
        info_span!("COPY", otel.kind = "client").in_scope(|| assert_eq!(header(), None));
    });
    assert_eq!(daemon.documents(), Vec::<Value>::new());
}

#[test]
fn calls_of_the_sdk_are_spans_and_their_fields_are_not_in_the_log() {
    let daemon = Receiver::start();
    let log = traced(&daemon.address(), || {
        let _invocation = invocation("").entered();
        let call = tracing::debug_span!(
            target: "aws_sdk_s3::operation::put_object", "S3.PutObject", "rpc.service" = "S3",
            "rpc.method" = "PutObject", "sdk_invocation_id" = 1_u32, "rpc.system" = "aws-api",
        );
        call.in_scope(|| info!("sent"));
        tracing::debug_span!(target: "aws_smithy_runtime", "try_attempt", attempt = 1).in_scope(|| ());
    });
    let [call, invocation] = daemon.documents().try_into().unwrap();
    assert_eq!((&call["name"], &call["namespace"]), (&json!("S3"), &json!("aws")));
    assert_eq!((&call["aws"], &call["annotations"]), (&json!({"operation": "PutObject"}), &json!({})));
    assert_eq!(call["parent_id"], invocation["id"]);
    let mut line: Value = serde_json::from_str(&log).expect(&log);
    line.as_object_mut().unwrap().remove("timestamp");
    assert_eq!(line, json!({"level": "INFO", "message": "sent"}));
}

#[test]
fn the_status_of_a_request_says_whose_fault_it_was() {
    let daemon = Receiver::start();
    traced(&daemon.address(), || {
        for status in [202_u64, 404, 429, 503] {
            let span = info_span!(
                "request",
                otel.kind = "server",
                otel.name = "GET /orgs/{orgId}",
                http.request.method = "GET",
                http.response.status_code = tracing::field::Empty,
                trace.invocation = HEADER,
            );
            span.record("http.response.status_code", status);
        }
    });
    let flags: Vec<_> = daemon
        .documents()
        .iter()
        .map(|document| {
            assert_eq!(
                (&document["name"], &document["http"]["request"]),
                (&json!("GET /orgs/orgId"), &json!({"method": "GET"}))
            );
            let flag = |name| document.get(name).is_some();
            (document["http"]["response"]["status"].as_u64().unwrap(), flag("error"), flag("throttle"), flag("fault"))
        })
        .collect();
    assert_eq!(
        flags,
        [(202, false, false, false), (404, true, false, false), (429, true, true, false), (503, false, false, true)]
    );
}

#[test]
fn a_daemon_that_is_gone_or_does_not_read_costs_no_time_and_is_told_once() {
    // Nobody reads the one socket, and nobody has the other.
    let silent = Receiver::start();
    let gone = { Receiver::start().address() };
    for (address, is_counted) in [(silent.address(), false), (gone, true), ("nonsense".to_owned(), true)] {
        let start = Instant::now();
        let log = traced(&address, || {
            let _invocation = invocation(HEADER).entered();
            for _ in 0..2000 {
                info_span!("COPY", otel.kind = "client", db.system.name = "postgresql").in_scope(|| ());
            }
        });
        assert!(start.elapsed() < Duration::from_secs(2), "{address}: {:?}", start.elapsed());
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines.iter().map(|line| (&line["message"], line["dropped"].as_u64().unwrap())).collect();
        match (is_counted, told.as_slice()) {
            (false, []) => {}
            (true, [(message, dropped)]) => {
                assert!(*message == "spans of traces not sent" && *dropped >= 500, "{address}: {log}");
            }
            _ => panic!("{address}: {log}"),
        }
    }
}
