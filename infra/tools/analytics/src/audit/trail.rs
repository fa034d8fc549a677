//! The verification of a trail: records against links, links against each other, and heads against links.

use std::collections::{BTreeMap, HashSet};

use domain::{
    OrgId,
    chain::{GENESIS, HeadStatement, Link, record_hash},
};
use serde::Serialize;

use super::line::{Linked, Record};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// The number of the link; absent of a record that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    /// The key of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// `altered`, `left out`, `put in`, `moved`, `not signed`.
    pub(super) kind: &'static str,
    /// The difference, in words.
    pub(super) reason: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.seq, &self.key) {
            (Some(seq), Some(key)) => write!(f, "record {seq} ({key}): ")?,
            (Some(seq), None) => write!(f, "record {seq}: ")?,
            (None, Some(key)) => write!(f, "a record without a number ({key}): ")?,
            (None, None) => {}
        }
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

/// A trail that is verified as it is read.
#[derive(Debug)]
pub(super) struct Trail {
    org: OrgId,
    /// The keys of records that have a link by their own account, and of those that have none and do not wait.
    present: HashSet<String>,
    waiting: HashSet<String>,
    /// The keys of links, each with its number.
    linked: BTreeMap<String, u64>,
    /// The hash of each link; a few bytes of it would do, but this is read once a year.
    hashes: BTreeMap<u64, String>,
    last: u64,
    last_hash: String,
    pub(super) findings: Vec<Finding>,
    /// The number of the last link that a signed head covers.
    pub(super) signed: u64,
}

impl Trail {
    pub(super) fn of(org: OrgId) -> Self {
        Self {
            org,
            present: HashSet::new(),
            waiting: HashSet::new(),
            linked: BTreeMap::new(),
            hashes: BTreeMap::new(),
            last: 0,
            last_hash: GENESIS.to_owned(),
            findings: Vec::new(),
            signed: 0,
        }
    }

    /// Returns the number of links.
    pub(super) const fn links(&self) -> u64 {
        self.last
    }

    /// Returns the number of records that wait to be linked.
    pub(super) fn waits(&self) -> usize {
        self.waiting.iter().filter(|key| !self.linked.contains_key(*key)).count()
    }

    /// Adds a record that is there. All come before the links.
    pub(super) fn record(&mut self, record: Record) {
        let set = if record.waits { &mut self.waiting } else { &mut self.present };
        set.insert(record.key);
    }

    /// Adds the next link.
    pub(super) fn link(&mut self, Linked { link, record }: &Linked) {
        let before = self.findings.len();
        let next = self.last + 1;
        if link.seq > next {
            let reason = format!("the chain has no link of this number; the next one has {}", link.seq);
            self.found(Some(next), None, "left out", reason);
        } else if link.seq < next {
            self.found(Some(link.seq), Some(link), "moved", format!("its link comes after that of {}", self.last));
        }
        if let Some(first) = self.linked.insert(link.key.clone(), link.seq) {
            self.found(Some(link.seq), Some(link), "put in", format!("it is linked before, as record {first}"));
        }
        match record {
            None if link.record_hash == record_hash(&link.key, None) => {
                let reason = "it was gone when it was to be linked".to_owned();
                self.found(Some(link.seq), Some(link), "left out", reason);
            }
            None => self.found(Some(link.seq), Some(link), "left out", "the record of this link is gone".to_owned()),
            Some(record) if record_hash(&link.key, Some(record)) != link.record_hash => {
                let reason = "it is not the record that was linked".to_owned();
                self.found(Some(link.seq), Some(link), "altered", reason);
            }
            Some(_) => {}
        }
        if link.expected_hash(self.org) != link.hash {
            self.found(Some(link.seq), Some(link), "altered", "its link has not the hash of what it says".to_owned());
        }
        // Where a link is missing, the next one does not fit, of course.
        let is_after_gap = self.findings.len() > before && link.seq != next;
        if link.previous_hash != self.last_hash && !is_after_gap {
            let reason = format!("its link does not follow the one of record {}", self.last);
            self.found(Some(link.seq), Some(link), "moved", reason);
        }
        self.last = self.last.max(link.seq);
        self.last_hash.clone_from(&link.hash);
        self.hashes.insert(link.seq, link.hash.clone());
    }

    /// Ends the links: finds the records that have none.
    pub(super) fn end_of_links(&mut self) {
        let mut without: Vec<String> =
            self.present.iter().filter(|key| !self.linked.contains_key(*key)).cloned().collect();
        without.sort();
        for key in without {
            let reason = "no link has it: it was put in, or written by a version without a chain".to_owned();
            self.findings.push(Finding { seq: None, key: Some(key), kind: "put in", reason });
        }
    }

    /// Compares a head whose signature is good. Heads may come in any order.
    pub(super) fn head(&mut self, head: &HeadStatement) {
        let HeadStatement { org_id, seq, hash, signed_at, .. } = head;
        if *org_id != self.org {
            let reason = format!("a signed head is of the organization {org_id}");
            return self.found(None, None, "put in", reason);
        }
        match self.hashes.get(seq) {
            Some(found) if found == hash => self.signed = self.signed.max(*seq),
            Some(_) => {
                let reason = format!(
                    "the chain is not the one that was signed at {signed_at}: this record, or one before it, was altered, \
                     put in, left out or moved, and the chain was made anew"
                );
                self.found(Some(*seq), None, "altered", reason);
            }
            None => {
                let first = self.hashes.keys().next_back().map_or(1, |last| (last + 1).min(*seq));
                let reason = format!("the chain that was signed at {signed_at} had {seq} records");
                self.found(Some(first), None, "left out", reason);
            }
        }
    }

    /// Returns all findings, that of the first record first.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.seq.unwrap_or(u64::MAX));
        self.findings
    }

    fn found(&mut self, seq: Option<u64>, link: Option<&Link>, kind: &'static str, reason: String) {
        self.findings.push(Finding { seq, key: link.map(|link| link.key.clone()), kind, reason });
    }
}

#[cfg(test)]
mod tests {
    use domain::chain::Head;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn org() -> OrgId {
        uuid::Uuid::from_u128(1).into()
    }

    fn record(number: usize) -> Value {
        json!({"action": "download", "at": "2024-01-01T00:00:00Z", "subject": {"name": format!("person {number}")}})
    }

    /// A chain of ten records.
    fn chain() -> Vec<Linked> {
        let mut head = Head::default();
        let link = |number: usize| {
            let key = format!("ORG#{number}");
            let hash = record_hash(&key, Some(&record(number)));
            Linked { link: head.append(org(), &key, hash, Timestamp::UNIX_EPOCH), record: Some(record(number)) }
        };
        (1..=10).map(link).collect()
    }

    /// Signs the chain as it should be after so many records.
    fn head(seq: u64) -> HeadStatement {
        let hash = chain()[usize::try_from(seq).unwrap() - 1].link.hash.clone();
        let signed_at = Timestamp::UNIX_EPOCH;
        HeadStatement { schema_version: HeadStatement::VERSION, org_id: org(), seq, hash, signed_at }
    }

    fn verify(links: &[Linked], more: &[&str], heads: &[HeadStatement]) -> Vec<String> {
        let mut trail = Trail::of(org());
        let keys = links.iter().filter(|linked| linked.record.is_some()).map(|linked| linked.link.key.as_str());
        for key in keys.chain(more.iter().copied()) {
            trail.record(Record { key: key.to_owned(), seq: Some(1), waits: false, record: None });
        }
        links.iter().for_each(|linked| trail.link(linked));
        trail.end_of_links();
        heads.iter().for_each(|head| trail.head(head));
        trail.finish().iter().map(ToString::to_string).collect()
    }

    /// Makes all links anew, as one would who may write them all.
    fn anew(links: &mut [Linked]) {
        let mut head = Head::default();
        for linked in links {
            let hash = record_hash(&linked.link.key, linked.record.as_ref());
            linked.link = head.append(org(), &linked.link.key.clone(), hash, Timestamp::UNIX_EPOCH);
        }
    }

    #[test]
    fn a_whole_chain_has_no_finding() {
        assert_eq!(verify(&chain(), &[], &[head(4), head(10)]), Vec::<String>::new());
        assert_eq!(verify(&[], &[], &[]), Vec::<String>::new());
    }

    /// What is done to a chain, how, and the finding.
    type Case = (&'static str, fn(&mut Vec<Linked>), &'static str);

    #[test]
    fn the_first_record_that_is_wrong_is_named() {
        let changes: [Case; 8] = [
            ("altered", |links| links[3].record = Some(record(99)), "record 4 (ORG#4): altered"),
            ("gone", |links| links[3].record = None, "record 4 (ORG#4): left out"),
            ("gone with its link", |links| drop(links.remove(3)), "record 4: left out"),
            (
                "exchanged",
                |links| {
                    let other = links[6].record.take();
                    links[6].record = std::mem::replace(&mut links[3].record, other);
                },
                "record 4 (ORG#4): altered",
            ),
            ("links exchanged", |links| links.swap(3, 6), "record 4: left out"),
            (
                "links exchanged with their numbers",
                |links| {
                    links.swap(3, 6);
                    (links[3].link.seq, links[6].link.seq) = (4, 7);
                },
                "record 4 (ORG#7): altered",
            ),
            ("a link altered", |links| links[3].link.linked_at.push('0'), "record 4 (ORG#4): altered"),
            (
                "put in with a link of its own",
                |links| {
                    let mut at = Head { seq: 3, hash: links[2].link.hash.clone() };
                    let hash = record_hash("ORG#3a", Some(&record(99)));
                    let link = at.append(org(), "ORG#3a", hash, Timestamp::UNIX_EPOCH);
                    links.insert(3, Linked { link, record: Some(record(99)) });
                },
                "record 4 (ORG#4): moved",
            ),
        ];
        for (what, change, named) in changes {
            let mut links = chain();
            change(&mut links);
            let told = verify(&links, &[], &[]);
            assert!(told.first().is_some_and(|first| first.starts_with(named)), "{what}: {told:#?}");
        }
    }

    #[test]
    fn a_record_that_no_link_has_was_put_in() {
        let told = verify(&chain(), &["ORG#5a"], &[head(10)]);
        assert!(told.len() == 1 && told[0].starts_with("a record without a number (ORG#5a): put in"), "{told:?}");
    }

    #[test]
    fn a_chain_made_anew_differs_from_the_signed_head() {
        let mut links = chain();
        links[6].record = Some(record(99));
        anew(&mut links);
        assert_eq!(verify(&links, &[], &[]), Vec::<String>::new(), "the chain alone does not tell");
        let told = verify(&links, &[], &[head(6), head(7), head(10)]);
        assert!(told.len() == 2 && told[0].starts_with("record 7: altered"), "{told:?}");
        // The end is left out.
        links.truncate(8);
        let told = verify(&chain()[..8], &[], &[head(10)]);
        assert!(told.len() == 1 && told[0].starts_with("record 9: left out"), "{told:?}");
    }

    #[test]
    fn records_that_wait_are_no_finding() {
        let mut trail = Trail::of(org());
        let record = Record { key: "ORG#1".to_owned(), seq: None, waits: true, record: Some(record(1)) };
        trail.record(record);
        trail.end_of_links();
        assert_eq!((trail.waits(), trail.finish()), (1, Vec::new()));
    }
}
