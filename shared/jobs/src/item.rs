//! Jobs as items of the table.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Item, JobsError, due};
use domain::{
    Completeness, DayDetail, ExportFile, ExportRequest, Failure, Granularity, Hold, Job, JobId, JobParts, ModelId,
    Note, ObjectTag, OrgId, Progress, State, Status, Subject, TimeRange, Totals, instant::days_after,
};

/// Lifetime of the files of items without `expires_at`, which were written when it was a constant.
const OLD_FILES_DAYS: u32 = 90;

/// The maximum of a count that grows with each write. No item reaches it; a greater one would overflow when it is counted
/// up, and a fencing token would begin again from zero.
pub(super) const MAX_COUNT: u64 = 1 << 53;

/// The sort key of the item of a job's models, which is alone in its partition.
const MODELS_SORT: &str = "MODELS";

/// An item that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("item {key} of the jobs table is not as this version writes it")]
pub struct CorruptItem {
    key: String,
    source: Option<Box<serde_dynamo::Error>>,
}

impl CorruptItem {
    pub(super) fn new(key: &str, source: impl Into<Option<serde_dynamo::Error>>) -> Self {
        Self { key: key.to_owned(), source: source.into().map(Box::new) }
    }
}

/// Reads the attributes of an item.
pub(super) fn read<'a, T: Deserialize<'a>>(attributes: Item) -> Result<T, CorruptItem> {
    let key = ["pk", "sk"].map(|name| attributes.get(name).and_then(|value| value.as_s().ok()).cloned());
    let key = key.map(Option::unwrap_or_default).join("/");
    if !attributes.values().all(is_known) {
        return Err(CorruptItem::new(&key, None));
    }
    serde_dynamo::from_item(attributes).map_err(|source| CorruptItem::new(&key, source))
}

/// Reports whether a value has a type that this version of the SDK knows. `serde_dynamo` panics at any other.
fn is_known(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::L(values) => values.iter().all(is_known),
        AttributeValue::M(values) => values.values().all(is_known),
        value => !value.is_unknown(),
    }
}

/// Returns the attributes of an item.
pub(super) fn write(item: impl Serialize) -> Result<Item, JobsError> {
    serde_dynamo::to_item(item).map_err(|source| JobsError::Serialize(Box::new(source)))
}

/// The attributes. Timestamps are RFC 3339 in UTC; absent values are not written.
#[derive(Serialize, Deserialize)]
pub(super) struct JobItem {
    pk: String,
    sk: String,
    /// `<status>#<job id>`: the sort key of the index by status.
    status_job: String,
    org_id: OrgId,
    job_id: JobId,
    granularity: Granularity,
    range: TimeRange,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<Models>,
    /// `true` if the item of the models has a note.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    noted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    subject: Subject,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    fence: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    claims_before_redrive: u64,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resend_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    exhausted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileItem>,
    /// The legal hold. A version that does not know of it lets the file expire, but not its copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
}

/// The requested models, as a job's item has them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Models {
    /// The number of models, which an item of their own lists. A version that does not know of that item cannot read a
    /// number as a list: it fails instead of exporting all models.
    Apart(usize),
    /// The models themselves, in items of before.
    Inline(Vec<ModelId>),
}

/// The item of a job's models and note. It is not in the organization's partition, whose size DynamoDB limits.
#[derive(Serialize, Deserialize)]
struct ModelsItem {
    pk: String,
    sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<Vec<ModelId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Note>,
}

/// A job whose models and note are to be read, if they are in an item of their own.
pub(super) struct StoredJob {
    job: Job,
    key: String,
    apart: Apart,
}

/// What the item of a job's models has.
struct Apart {
    models: Option<usize>,
    has_note: bool,
}

/// Returns the key of the item of a job's models. Each has a partition of its own, so none grows.
pub(super) fn models_key(org: OrgId, id: JobId) -> Item {
    primary_key(models_partition(org, id), MODELS_SORT.to_owned())
}

fn models_partition(org: OrgId, id: JobId) -> String {
    format!("MODELS#{org}#{id}")
}

/// Returns the item of a job's models and note; `None` if it exports all models and has no note.
pub(super) fn models_of(job: &Job) -> Result<Option<Item>, JobsError> {
    let models = job.request().models.clone();
    let note = job.note().cloned();
    if models.is_none() && note.is_none() {
        return Ok(None);
    }
    write(ModelsItem { pk: models_partition(job.org(), job.id()), sk: MODELS_SORT.to_owned(), models, note }).map(Some)
}

impl StoredJob {
    /// Returns the job without its models, if those are in an item of their own.
    pub(super) const fn job(&self) -> &Job {
        &self.job
    }

    /// Returns the key of the models' item, if the job needs it.
    pub(super) fn models_key(&self) -> Option<Item> {
        self.has_item().then(|| models_key(self.job.org(), self.job.id()))
    }

    const fn has_item(&self) -> bool {
        self.apart.models.is_some() || self.apart.has_note
    }

    /// Returns the whole job, given the item of its models and note. A missing or incomplete list is an error: an export
    /// without it would be of all models.
    pub(super) fn with_models(self, item: Option<Item>) -> Result<Job, CorruptItem> {
        if !self.has_item() {
            return Ok(self.job);
        }
        let corrupt = || CorruptItem::new(&self.key, None);
        let ModelsItem { models, note, .. } = read(item.ok_or_else(corrupt)?)?;
        let mut parts = self.job.into_parts();
        if let Some(count) = self.apart.models {
            let models = models.filter(|models| models.len() == count);
            parts.request.models = Some(models.ok_or_else(|| CorruptItem::new(&self.key, None))?);
        }
        if self.apart.has_note && note.is_none() {
            return Err(CorruptItem::new(&self.key, None));
        }
        parts.note = note;
        Ok(Job::restore(parts))
    }
}

/// The facts of a file. Sums are text, since a count may exceed the numbers that serde can pass to DynamoDB.
#[derive(Serialize, Deserialize)]
struct FileItem {
    /// Absent from files that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    software: Option<String>,
    checksum: String,
    bytes: u64,
    row_count: u64,
    request_count: String,
    tokens_total: String,
    error_count: String,
    cost_total: String,
    /// Absent from files that were made when costs were rounded by the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rounding_difference: Option<String>,
    /// Absent from files that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completeness: Option<Completeness>,
    /// Absent from files that were made before sums of their days were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days: Option<DayDetail>,
    /// The store's entity tag, absent from files that were stored before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e_tag: Option<String>,
    /// The store's checksum, absent without an entity tag, and from files in stores that keep none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store_checksum: Option<String>,
    /// Absent from files whose key does not name the attempt: they are where a first attempt stores.
    #[serde(default = "first_attempt", skip_serializing_if = "is_first_attempt")]
    attempt: u64,
}

const fn first_attempt() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first_attempt(attempt: &u64) -> bool {
    *attempt == first_attempt()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn partition(org: OrgId) -> String {
    format!("ORG#{org}")
}

pub(super) fn sort(id: JobId) -> String {
    format!("JOB#{id}")
}

pub(super) fn status_sort(status: Status, id: impl ToString) -> String {
    format!("{status}#{}", id.to_string())
}

/// Returns the key of an organization's number of open jobs.
pub(super) fn open_key(org: OrgId) -> Item {
    primary_key(partition(org), "OPEN".to_owned())
}

pub(super) fn primary_key(pk: String, sk: String) -> Item {
    Item::from([("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))])
}

pub(super) fn key(org: OrgId, id: JobId) -> Item {
    primary_key(partition(org), sort(id))
}

impl JobItem {
    pub(super) fn write(job: &Job) -> Result<Item, JobsError> {
        let ExportRequest { range, granularity, models } = job.request().clone();
        let status = job.state().name();
        let mut item = Self {
            pk: partition(job.org()),
            sk: sort(job.id()),
            status_job: status_sort(status, job.id()),
            org_id: job.org(),
            job_id: job.id(),
            granularity,
            range,
            models: models.map(|models| Models::Apart(models.len())),
            noted: job.note().is_some(),
            version: job.version_of_month(),
            subject: job.subject().clone(),
            created_at: job.created_at(),
            request_id: job.request_id().map(str::to_owned),
            warnings: job.warnings().to_vec(),
            fence: job.fence(),
            claims_before_redrive: job.fence() - job.attempts(),
            status,
            resend_at: None,
            unsent: false,
            lease_until: None,
            progress: None,
            completed_at: None,
            expires_at: None,
            failure: None,
            exhausted: false,
            file: None,
            hold: job.hold().cloned(),
        };
        match job.state() {
            State::Pending { sent, resend_at } => {
                item.unsent = !sent;
                item.resend_at = Some(*resend_at);
            }
            State::Running { lease_until, progress } => {
                item.lease_until = Some(*lease_until);
                item.progress = *progress;
            }
            State::Failed { completed_at, failure, exhausted } => {
                item.completed_at = Some(*completed_at);
                item.failure = Some(*failure);
                item.exhausted = *exhausted;
            }
            State::Succeeded { completed_at, expires_at, file, attempt }
            | State::Expired { completed_at, expires_at, file, attempt } => {
                item.completed_at = Some(*completed_at);
                item.expires_at = Some(*expires_at);
                item.file = Some(FileItem::write(file, *attempt));
            }
        }
        let mut item = write(item)?;
        due::index(&mut item, job);
        Ok(item)
    }

    pub(super) fn read(attributes: Item) -> Result<StoredJob, CorruptItem> {
        let mut item: Self = read(attributes)?;
        let key = format!("{}/{}", item.pk, item.sk);
        let has_note = item.noted;
        let (models, apart) = match item.models.take() {
            None => (None, None),
            Some(Models::Inline(models)) => (Some(models), None),
            Some(Models::Apart(count)) => (None, Some(count)),
        };
        let job = item.into_job(models).ok_or_else(|| CorruptItem::new(&key, None))?;
        Ok(StoredJob { job, key, apart: Apart { models: apart, has_note } })
    }

    fn into_job(self, models: Option<Vec<ModelId>>) -> Option<Job> {
        if self.fence > MAX_COUNT {
            return None;
        }
        let expires_at =
            self.expires_at.or_else(|| self.completed_at.map(|completed| days_after(completed, OLD_FILES_DAYS)));
        let state = match self.status {
            Status::Pending => State::Pending { sent: !self.unsent, resend_at: self.resend_at? },
            Status::Running => State::Running { lease_until: self.lease_until?, progress: self.progress },
            Status::Succeeded => {
                let (file, attempt) = self.file?.read()?;
                State::Succeeded { completed_at: self.completed_at?, expires_at: expires_at?, file, attempt }
            }
            Status::Failed => {
                State::Failed { completed_at: self.completed_at?, failure: self.failure?, exhausted: self.exhausted }
            }
            Status::Expired => {
                let (file, attempt) = self.file?.read()?;
                State::Expired { completed_at: self.completed_at?, expires_at: expires_at?, file, attempt }
            }
        };
        Some(Job::restore(JobParts {
            id: self.job_id,
            org: self.org_id,
            request: ExportRequest { range: self.range, granularity: self.granularity, models },
            version: self.version,
            // In an item of its own.
            note: None,
            subject: self.subject,
            created_at: self.created_at,
            request_id: self.request_id,
            warnings: self.warnings,
            fence: self.fence,
            claims_before_redrive: self.claims_before_redrive,
            hold: self.hold,
            state,
        }))
    }
}

impl FileItem {
    fn write(file: &ExportFile, attempt: u64) -> Self {
        Self {
            software: file.software.clone(),
            checksum: file.checksum.clone(),
            bytes: file.bytes,
            row_count: file.row_count,
            request_count: file.totals.request_count.to_string(),
            tokens_total: file.totals.tokens_total.to_string(),
            error_count: file.totals.error_count.to_string(),
            cost_total: file.totals.cost_total.to_string(),
            rounding_difference: file.rounding_difference.map(|difference| difference.to_string()),
            completeness: file.completeness.clone(),
            days: file.days,
            e_tag: file.tag.as_ref().map(|tag| tag.e_tag.clone()),
            store_checksum: file.tag.as_ref().and_then(|tag| tag.checksum.clone()),
            attempt,
        }
    }

    /// Returns the file and the attempt that stored it.
    fn read(self) -> Option<(ExportFile, u64)> {
        let totals = Totals {
            request_count: self.request_count.parse().ok()?,
            tokens_total: self.tokens_total.parse().ok()?,
            error_count: self.error_count.parse().ok()?,
            cost_total: self.cost_total.parse::<Decimal>().ok()?,
        };
        let rounding_difference = self.rounding_difference.map(|text| text.parse()).transpose().ok()?;
        let file = ExportFile {
            software: self.software,
            checksum: self.checksum,
            bytes: self.bytes,
            row_count: self.row_count,
            totals,
            rounding_difference,
            completeness: self.completeness,
            days: self.days,
            tag: self.e_tag.map(|e_tag| ObjectTag { e_tag, checksum: self.store_checksum }),
        };
        Some((file, self.attempt))
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        completeness::{Reason, ReasonCode},
        hold::Protection,
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    prop_compose! {
        fn file()(
            sums in any::<[i128; 3]>(),
            cost in any::<i64>(),
            rounding in prop::option::of((any::<i64>(), 0u32..=28)),
            completeness in prop::option::of(completeness()),
            days in prop::option::of(prop::sample::select(vec![DayDetail::Models, DayDetail::Days])),
            software in prop::option::of("[0-9a-f]{12}"),
            tag in prop::option::of((".*", prop::option::of(".*"))),
            rows in any::<u64>(),
            bytes in any::<u64>(),
        ) -> ExportFile {
            let rounding_difference = rounding.map(|(digits, scale)| Decimal::new(digits, scale));
            let [request_count, tokens_total, error_count] = sums;
            let totals = Totals { request_count, tokens_total, error_count, cost_total: Decimal::new(cost, 4) };
            ExportFile {
                software,
                checksum: "sha256:00".to_owned(),
                bytes,
                row_count: rows,
                totals,
                rounding_difference,
                completeness,
                days,
                tag: tag.map(|(e_tag, checksum)| ObjectTag { e_tag, checksum }),
            }
        }
    }

    prop_compose! {
        fn completeness()(
            watermark in prop::option::of(instant()),
            waiting_hours in prop::collection::vec(instant(), 0..3),
            buckets in any::<u32>(),
            refused_events in any::<u32>(),
            changed_at in prop::option::of(instant()),
        ) -> Completeness {
            let reasons = vec![
                Reason::of_range(ReasonCode::AfterWatermark),
                Reason { code: ReasonCode::HoursWaiting, buckets: buckets.into(), first: watermark, last: changed_at },
            ];
            let refused_events = refused_events.into();
            Completeness { watermark, waiting_hours, reasons, refused_events, changed_at }
        }
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        (0i64..4_102_444_800).prop_map(|second| Timestamp::from_second(second).unwrap())
    }

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            (any::<bool>(), instant()).prop_map(|(sent, resend_at)| State::Pending { sent, resend_at }),
            (instant(), prop::option::of(any::<(u64, u64, u16)>())).prop_map(|(lease_until, progress)| {
                let progress = progress.map(|(rows, bytes, thousandths)| Progress { rows, bytes, thousandths });
                State::Running { lease_until, progress }
            }),
            (instant(), instant(), file(), any::<u64>()).prop_map(|(completed_at, expires_at, file, attempt)| {
                State::Succeeded { completed_at, expires_at, file, attempt }
            }),
            (instant(), any::<bool>()).prop_map(|(completed_at, exhausted)| {
                State::Failed { completed_at, failure: Failure::WorkerLost, exhausted }
            }),
            (instant(), instant(), file(), any::<u64>()).prop_map(|(completed_at, expires_at, file, attempt)| {
                State::Expired { completed_at, expires_at, file, attempt }
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_item_reads_back_as_the_job_it_was(
            ids in any::<[u128; 3]>(),
            (created_at, seconds) in (instant(), 1i64..2_678_400),
            models in prop::option::of(prop::collection::vec(any::<u128>(), 1..4)),
            (version, note) in (prop::option::of(1_u32..), prop::option::of("[a-zöü ]{0,20}x")),
            request_id in prop::option::of("\\PC*"),
            warnings in prop::collection::vec("\\PC*", 0..3),
            (issuer, name, is_of_further_issuer) in ("\\PC*", "\\PC*", any::<bool>()),
            fence in 0..=MAX_COUNT,
            claims_before_redrive in any::<u64>(),
            hold in prop::option::of((any::<u32>(), instant())),
            state in state(),
        ) {
            let end = Timestamp::from_second(created_at.as_second() + seconds).unwrap();
            let job = Job::restore(JobParts {
                id: Uuid::from_u128(ids[0]).into(),
                org: Uuid::from_u128(ids[1]).into(),
                request: ExportRequest {
                    range: TimeRange::new(created_at, end).unwrap(),
                    granularity: Granularity::Monthly,
                    models: models.map(|models| models.into_iter().map(|id| Uuid::from_u128(id).into()).collect()),
                },
                version,
                note: note.map(|note| note.parse().unwrap()),
                subject: Subject { issuer, name, is_of_further_issuer },
                created_at,
                request_id,
                warnings,
                fence,
                claims_before_redrive: claims_before_redrive.min(fence),
                hold: hold.map(|(version, at)| Hold {
                    version,
                    at,
                    reason: "a proceeding".parse().unwrap(),
                    subject: Subject::system("tests"),
                    protection: Protection::ObjectLock,
                }),
                state,
            });
            let item = JobItem::write(&job).unwrap();
            let stored = JobItem::read(item.clone()).unwrap();
            prop_assert!(item.get("models").is_none_or(AttributeValue::is_n), "the models are in the job's item");
            if job.request().models.is_some() {
                prop_assert!(JobItem::read(item.clone()).unwrap().with_models(None).is_err());
            }
            let has_item = job.request().models.is_some() || job.note().is_some();
            prop_assert_eq!(stored.models_key().is_some(), has_item);
            prop_assert!(!has_item || JobItem::read(item.clone()).unwrap().with_models(None).is_err());
            prop_assert_eq!(stored.with_models(models_of(&job).unwrap()).unwrap(), job.clone());
            // Items of before have the models themselves.
            let mut before = item;
            if let Some(list) = models_of(&job).unwrap().and_then(|mut item| item.remove("models")) {
                before.insert("models".to_owned(), list);
            }
            if job.note().is_none() {
                prop_assert_eq!(JobItem::read(before).unwrap().with_models(None).unwrap(), job);
            }
        }
    }

    #[test]
    fn a_file_without_an_expiry_expires_after_90_days() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let state = State::Succeeded {
            completed_at: at(5),
            expires_at: at(6),
            file: FileItem {
                software: None,
                checksum: "sha256:00".to_owned(),
                bytes: 0,
                row_count: 0,
                request_count: "0".to_owned(),
                tokens_total: "0".to_owned(),
                error_count: "0".to_owned(),
                cost_total: "0".to_owned(),
                rounding_difference: None,
                completeness: None,
                days: None,
                e_tag: None,
                store_checksum: None,
                attempt: 1,
            }
            .read()
            .unwrap()
            .0,
            attempt: 1,
        };
        let request = ExportRequest {
            range: TimeRange::new(at(0), at(1)).unwrap(),
            granularity: Granularity::Daily,
            models: None,
        };
        let nil = Uuid::nil();
        let job = Job::restore(JobParts {
            id: nil.into(),
            org: nil.into(),
            request,
            version: None,
            note: None,
            subject: Subject::system("tests"),
            created_at: at(0),
            request_id: None,
            warnings: Vec::new(),
            fence: 1,
            claims_before_redrive: 0,
            hold: None,
            state,
        });
        let mut item = JobItem::write(&job).unwrap();
        assert_eq!(JobItem::read(item.clone()).unwrap().with_models(None).unwrap().expires_at(), Some(at(6)));
        item.remove("expires_at");
        assert_eq!(JobItem::read(item).unwrap().with_models(None).unwrap().expires_at(), Some(at(5 + 90 * 86_400)));
    }

    #[test]
    fn a_fence_that_cannot_be_counted_up_is_an_error() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let range = TimeRange::new(at(0), at(1)).unwrap();
        let job = |fence| {
            let nil = Uuid::nil();
            Job::restore(JobParts {
                id: nil.into(),
                org: nil.into(),
                request: ExportRequest { range, granularity: Granularity::Daily, models: None },
                version: None,
                note: None,
                subject: Subject::system("tests"),
                created_at: at(0),
                request_id: None,
                warnings: Vec::new(),
                fence,
                claims_before_redrive: 0,
                hold: None,
                state: State::Pending { sent: true, resend_at: at(1) },
            })
        };
        let read = |fence| JobItem::read(JobItem::write(&job(fence)).unwrap());
        assert!(read(MAX_COUNT).is_ok());
        for fence in [MAX_COUNT + 1, u64::MAX] {
            assert!(read(fence).is_err(), "{fence}");
        }
    }

    #[test]
    fn an_item_that_is_no_job_is_an_error_that_names_it() {
        let item = Item::from([("pk".to_owned(), AttributeValue::S("ORG#x".to_owned()))]);
        assert_eq!(
            JobItem::read(item).err().unwrap().to_string(),
            "item ORG#x/ of the jobs table is not as this version writes it"
        );
    }
}
