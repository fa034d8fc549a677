//! `GET …/audit/chain` and `GET …/audit/heads`: the audit trail of an organization as those need it who verify it.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::{OrgId, chain::Link};
use jiff::Timestamp;
use jobs::{ChainCursor, ChainEntry, ChainPage, Receipt, SignedHead};
use platform::cursor::{self, After};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{context::Context, problem::Problem, query::Query, scope::OrgScope};

/// A page of the trail and its chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditChain {
    /// The records of the organization in the order of their keys, then the links of its chain.
    items: Vec<EntryView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A record that is there, or a link of the chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[schema(as = AuditChainEntry)]
enum EntryView {
    /// A record.
    Record(RecordView),
    /// A link.
    Link(LinkView),
}

/// A record of the trail.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditChainRecord)]
struct RecordView {
    /// The key of the record in the table.
    key: String,
    /// The number of its link; absent while it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// `true` if it was written a moment ago and waits to be linked. A record without a number that does not wait was written
    /// by no present version of the service.
    waits: bool,
    /// The record as the table has it; absent if it is linked, since its link has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
}

/// A link with its record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditChainLink)]
struct LinkView {
    #[serde(flatten)]
    link: Link,
    /// The record as the table has it; absent if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
}

/// The signed heads of an organization's chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditHeads {
    /// The number of links at present.
    seq: u64,
    /// The hash of the last link at present, which is not signed yet; 64 zeros of an empty chain.
    hash: String,
    /// `false` if the deployment has no key to sign with: the chain then proves itself to nobody.
    is_signed: bool,
    /// The signed heads, newest first: one of each day on which the chain grew.
    items: Vec<HeadView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A signed head.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditHead)]
struct HeadView {
    /// The number of links.
    seq: u64,
    /// The hash of the last link.
    hash: String,
    /// The time of the signature.
    #[schema(value_type = String, format = DateTime)]
    signed_at: Timestamp,
    /// The statement of all this with its signature by ES256: a JSON Web Signature in the compact form, of the type
    /// `audit-head+jws`. Its header names the key.
    jws: String,
    /// The key of the object in the bucket of the service that has the same.
    object: String,
}

/// The beginning of a page of signed heads, as a cursor has it.
fn heads_of(org: OrgId) -> String {
    format!("audit heads {org}")
}

/// Returns the whole audit trail of an organization with its chain, in pages: all records, then all links. Each link has the
/// hash of a record and of the link before it. `analytics audit export` saves it, and `analytics verify-audit` names the
/// first record that was altered, left out, put in or moved.
#[utoipa::path(
    get, path = "/orgs/{orgId}/audit/chain", tag = "exports", operation_id = "showAuditChain",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of entries; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page",
        ),
    ),
    responses((status = 200, description = "A page of the trail", body = AuditChain)),
    security(("bearer" = [])),
)]
pub(crate) async fn chain(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<AuditChain>, Problem> {
    let org = scope.require(Permission::ReadAudit).await?;
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| ChainCursor::decode(text, org));
    query.finish(Some(()))?;
    let ChainPage { entries, next } = context.jobs.chain_page(org, limit, after).await?;
    let items = entries.into_iter().map(EntryView::from).collect();
    Ok(Json(AuditChain { items, next_cursor: next.map(|cursor| cursor.encode(org)) }))
}

/// Lists the signed heads of an organization's chain of audit records, newest first. Keep one apart from the service: it
/// proves every record before it.
#[utoipa::path(
    get, path = "/orgs/{orgId}/audit/heads", tag = "exports", operation_id = "listAuditHeads",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of heads; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page",
        ),
    ),
    responses((status = 200, description = "A page of the heads", body = AuditHeads)),
    security(("bearer" = [])),
)]
pub(crate) async fn heads(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<AuditHeads>, Problem> {
    let org = scope.require(Permission::ReadAudit).await?;
    let limit = query.limit();
    let before = query.optional_with("cursor", |text| cursor::decode::<u64>(text, &heads_of(org)));
    query.finish(Some(()))?;
    let (heads, has_more) = context.jobs.signed_heads(org, limit, before.map(|After(seq)| seq)).await?;
    let head = context.jobs.chain_head(org).await?;
    let last = heads.last().filter(|_| has_more);
    let next_cursor = last.map(|head| cursor::encode(&head.seq, &heads_of(org)));
    let items = heads.into_iter().map(HeadView::from).collect();
    Ok(Json(AuditHeads { seq: head.seq, hash: head.hash, is_signed: context.signing.signs(), items, next_cursor }))
}

impl From<ChainEntry> for EntryView {
    fn from(entry: ChainEntry) -> Self {
        match entry {
            ChainEntry::Record { key, receipt, waits, record } => {
                Self::Record(RecordView { key, seq: receipt.map(|Receipt { seq, .. }| seq), waits, record })
            }
            ChainEntry::Link { link, record } => Self::Link(LinkView { link, record }),
        }
    }
}

impl From<SignedHead> for HeadView {
    fn from(SignedHead { seq, hash, signed_at, jws, object }: SignedHead) -> Self {
        Self { seq, hash, signed_at, jws, object }
    }
}
