//! Signed heads of audit chains. Their keys are outside of what the bucket's lifecycle deletes.

use domain::{OrgId, chain::HeadStatement};
use platform::StoreError;

use super::{ExportStore, failed};

/// The media type of a JWS in the compact form.
const CONTENT_TYPE: &str = "application/jose";

impl ExportStore {
    /// Stores a signed head, and returns its key. The key names day and number, so that only a repeated signature of the same
    /// head replaces one.
    ///
    /// # Errors
    /// When the store refuses it.
    pub async fn put_head(&self, head: &HeadStatement, jws: &str) -> Result<String, StoreError> {
        let key = head_key(head);
        let (encryption, kms_key) = self.encryption.headers();
        let request = self.client.put_object().bucket(&self.bucket).key(&key);
        let request = request
            .content_type(CONTENT_TYPE)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .body(jws.as_bytes().to_vec().into());
        request.send().await.map_err(|error| failed("put", &key, error))?;
        Ok(key)
    }
}

fn head_key(HeadStatement { org_id, seq, signed_at, .. }: &HeadStatement) -> String {
    let prefix = head_prefix(*org_id);
    format!("{prefix}{}-{seq:012}.jws", signed_at.strftime("%Y-%m-%d"))
}

/// Returns the beginning of the keys of an organization's signed heads.
pub fn head_prefix(org: OrgId) -> String {
    format!("analytics/audit-heads/{org}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_documented() {
        let head = HeadStatement {
            schema_version: HeadStatement::VERSION,
            org_id: "123e4567-e89b-12d3-a456-426614174000".parse().unwrap(),
            seq: 17,
            hash: String::new(),
            signed_at: "2024-01-02T00:03:00Z".parse().unwrap(),
        };
        let key = "analytics/audit-heads/123e4567-e89b-12d3-a456-426614174000/2024-01-02-000000000017.jws";
        assert_eq!(head_key(&head), key);
    }
}
