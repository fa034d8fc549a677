//! The rights of the database's roles.

use tokio_postgres::Client;

/// A right of a role on a table or function, by the statements that take it away and give it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The statement that takes it away.
    pub revoke: String,
    /// The statement that gives it back.
    pub grant: String,
}

/// Reads all rights of a role.
///
/// # Panics
/// When they cannot be read.
pub async fn rights(client: &Client, role: &str) -> Vec<Right> {
    let rights = "select privilege_type || ' on ' || pg_class.oid::regclass
                  from pg_class, aclexplode(relacl) where grantee = to_regrole($1::text)
                  union all
                  select privilege_type || ' on function ' || pg_proc.oid::regprocedure
                  from pg_proc, aclexplode(proacl) where grantee = to_regrole($1::text)
                  order by 1";
    let rows = client.query(rights, &[&role]).await.expect("the catalog is read");
    let right = |right: String| Right {
        revoke: format!("revoke {right} from {role}"),
        grant: format!("grant {right} to {role}"),
    };
    rows.iter().map(|row| right(row.get(0))).collect()
}
