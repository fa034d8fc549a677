//! What the jobs table answers: every item that a function reads, and what is done with it.

use domain::{AuditFilter, Claim, Job, JobFilter, JobId, Month, OrgId, Status};
use jiff::{SignedDuration, Timestamp};
use jobs::{DueKind, JobsTable, List};

use crate::{input::Input, issuer::ORGANIZATION, world::World};

const NOW: Timestamp = Timestamp::constant(1_762_700_000, 0);

thread_local! {
    static TABLE: (World, JobsTable) = {
        let world = World::start();
        let table = world.make(JobsTable::from_env);
        (world, table)
    };
}

/// The head of the input names what is read; AWS answers with the rest.
pub(crate) fn table(bytes: &[u8]) {
    let input = Input::new(bytes);
    let org: OrgId = ORGANIZATION.parse().expect("an id");
    let id: JobId = "0192d3e4-7a10-7c55-9f21-6b8e4d2c1a90".parse().expect("an id");
    TABLE.with(|(world, table)| match input.head {
        b"job" => {
            if let Ok(Some(job)) = world.run(input, table.get(org, id)) {
                change(&job);
            }
        }
        b"jobs" => {
            let failed = JobFilter::of_status(Status::Failed);
            if let Ok(page) = world.run(input, table.list(org, failed, 2, None)) {
                page.jobs.iter().for_each(change);
                let _ = page.next.map(|next| next.encode(&List::Jobs(org, failed)));
            }
        }
        b"audit" => {
            let all = AuditFilter::default();
            if let Ok(page) = world.run(input, table.audit_trail(org, None, &all, 2, None)) {
                let _ = page.next.map(|next| next.encode(&List::Audit(org, None, all)));
            }
        }
        b"due" => {
            let _ = world.run(input, table.due(DueKind::Work, &(Timestamp::UNIX_EPOCH..=NOW), None));
        }
        b"unsucceeded" => {
            let month: Month = "2025-10".parse().expect("a month");
            let _ = world.run(input, table.unsucceeded(month));
        }
        b"run" => {
            let month: Month = "2025-10".parse().expect("a month");
            if let Ok(Some(mut run)) = world.run(input, table.last_run(month)) {
                run.begin_pass();
                let _ = world.run(input, table.write_run(&mut run));
            }
        }
        _ => {}
    });
}

/// Makes each transition that the stored state allows.
fn change(job: &Job) {
    let claim = Claim { now: NOW, lease_until: NOW + SignedDuration::from_mins(15), sent_at: NOW };
    let _ = job.clone().claim(claim).map(|transition| transition.next().attempts());
    let _ = job.sweep(NOW, 3, NOW);
    let _ = (job.status(NOW), job.is_open(), job.version(), job.expires_at());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `serde_dynamo` panics at them.
    #[test]
    fn an_attribute_of_a_type_that_the_sdk_does_not_know_is_an_error() {
        let world = World::start();
        let table = world.make(JobsTable::from_env);
        let org = ORGANIZATION.parse().unwrap();
        for value in [r#"{"XS":"new"}"#, r#"{"L":[{"XS":1}]}"#, r#"{"M":{"a":{"L":[{"XS":1}]}}}"#] {
            let answer = format!("job\n%%\n200\n\n{{\"Item\":{{\"pk\":{{\"S\":\"ORG#x\"}},\"a\":{value}}}}}");
            let read = world.run(Input::new(answer.as_bytes()), table.get(org, org.uuid().into()));
            let error = read.unwrap_err().to_string();
            assert_eq!(error, "item ORG#x/ of the jobs table is not as this version writes it", "{value}");
        }
    }
}
